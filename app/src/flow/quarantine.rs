//! Which releases are bad, and lifting that.

use unship_core::history::{self, Mark, MarkEntry, ReleaseRecord, Standing};
use unship_core::protocol::{Holder, HostReply, HostRequest};
use unship_core::release::{Release, RunId, Tag};

use super::FlowError;
use super::observe::{observe, question, unexpected};
use super::run::{claim, highest_epoch};
use crate::ports::World;
use unship_core::protocol::Epoch;

/// The releases that must not be started.
pub async fn bad(world: &World) -> Result<Vec<ReleaseRecord>, FlowError> {
    let mut releases = history::fold(&world.ledger.marks().await?).releases;
    releases.retain(|record| record.standing == Standing::Bad);
    Ok(releases)
}

/// Takes the mark off a release, on every host and then in the ledger. Asking again after an interruption
/// does the rest.
pub async fn lift(world: &World, run: RunId, tag: &Tag, reason: &str) -> Result<Release, FlowError> {
    let bad = bad(world).await?;
    let Some(record) = bad.iter().find(|record| record.release.tag == *tag) else {
        let bad = bad.iter().map(|record| record.release.tag.clone()).collect();
        return Err(FlowError::NotQuarantined { tag: tag.clone(), bad });
    };
    let release = record.release.clone();
    let holder = Holder {
        run: run.clone(),
        who: world.target.who.clone(),
        since: world.clock.now(),
        what: format!("lift the quarantine of {release}"),
    };
    world.ledger.acquire(&holder).await?;
    let lifted = lift_everywhere(world, &holder, &release, reason).await;
    let released = world.ledger.release(&run).await;
    lifted?;
    released?;
    Ok(release)
}

async fn lift_everywhere(
    world: &World,
    holder: &Holder,
    release: &Release,
    reason: &str,
) -> Result<(), FlowError> {
    let hosts = observe(world, &holder.run).await?;
    let epoch = Epoch(highest_epoch(&hosts).0 + 1);
    claim(world, holder, epoch).await?;
    for host in &world.hosts {
        for request in [HostRequest::LiftQuarantine { release: release.clone() }, HostRequest::Unclaim] {
            let mut envelope = question(&holder.run, request);
            envelope.epoch = epoch;
            match host.transport.call(envelope).await? {
                HostReply::Done { .. } => {}
                reply => return Err(unexpected(host, reply)),
            }
        }
    }
    let mark = MarkEntry {
        release: release.clone(),
        mark: Mark::Lifted,
        why: format!("{} ({})", reason, holder.who),
        at: world.clock.now(),
        run: None,
    };
    world.ledger.mark(&mark).await?;
    Ok(())
}
