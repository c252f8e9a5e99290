//! Which releases are bad, and lifting that. Ledger, journals and hosts are asked alike: each of them keeps a
//! release from being started.

use serde::Serialize;
use unship_core::history::{self, Mark, MarkEntry, Standing};
use unship_core::journal::{Event, fold};
use unship_core::protocol::{Epoch, Holder, HostReply, HostRequest};
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::time::Timestamp;

use super::claims::{claim, highest_epoch, whose};
use super::observe::{look, question, unexpected};
use super::{FlowError, unfinished};
use crate::ports::World;

/// A release that must not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRelease {
    /// The release.
    pub release: Release,
    /// Why it is bad.
    pub why: String,
    /// Since when; none when only hosts say so, who keep no times.
    pub since: Option<Timestamp>,
    /// The hosts that have it in quarantine.
    pub hosts: Vec<HostName>,
}

/// The releases that must not be started: for the ledger, into which runs that ended are merged first, for a
/// run that was begun, or for a host. `run` is the name under which hosts are asked.
pub async fn bad(world: &World, run: &RunId) -> Result<Vec<BadRelease>, FlowError> {
    unfinished(world).await?;
    let mut marks = world.ledger.marks().await?;
    let begun = begun_marks(world, &marks)?;
    marks.extend(begun);
    let mut bad: Vec<BadRelease> = history::fold(&marks)
        .releases
        .into_iter()
        .filter(|record| record.standing == Standing::Bad)
        .map(|record| BadRelease {
            release: record.release,
            why: record.why,
            since: Some(record.since),
            hosts: Vec::new(),
        })
        .collect();
    let fleet = look(world, run).await?;
    for missing in fleet.missing {
        world.progress.note(&format!("{} was not asked: {}", missing.host, missing.why));
    }
    for facts in fleet.hosts {
        for mark in facts.state.quarantined {
            // Under another tag it is listed again, so that whoever knows only that tag finds it.
            match bad.iter_mut().find(|known| known.release == mark.release) {
                Some(known) => known.hosts.push(facts.host.clone()),
                None => bad.push(BadRelease {
                    release: mark.release,
                    why: mark.reason,
                    since: None,
                    hosts: vec![facts.host.clone()],
                }),
            }
        }
    }
    Ok(bad)
}

/// What runs that were begun and not closed say of releases, as far as the ledger does not have it from them.
fn begun_marks(world: &World, known: &[MarkEntry]) -> Result<Vec<MarkEntry>, FlowError> {
    let mut marks = Vec::new();
    for run in world.journals.open_runs()? {
        let entries = world.journals.read(&run)?;
        // What it was to say first, and has not said yet.
        let unsaid = match fold(&entries) {
            Ok(state) => state.unmarked,
            Err(_) if entries.is_empty() => continue,
            Err(error) => return Err(FlowError::JournalBroken { run, why: error.to_string() }),
        };
        let mut begun: Vec<MarkEntry> = Vec::new();
        for entry in &entries {
            if let Event::Marked { release, mark, why } = &entry.event {
                let (release, why) = (release.clone(), why.clone());
                begun.push(MarkEntry { release, mark: *mark, why, at: entry.at, run: Some(run.clone()) });
            }
        }
        let at = entries.first().map_or(Timestamp(0), |entry| entry.at);
        begun.extend(unsaid.into_iter().map(|new| MarkEntry {
            release: new.release,
            mark: new.mark,
            why: new.why,
            at,
            run: Some(run.clone()),
        }));
        // A lift that came after the ledger had it stays a lift.
        begun.retain(|mark| {
            let same = |other: &&MarkEntry| {
                (&other.run, &other.release, other.mark) == (&mark.run, &mark.release, mark.mark)
            };
            !known.iter().any(|other| same(&other))
        });
        marks.extend(begun);
    }
    Ok(marks)
}

/// Takes the mark off a release, on every host and then in the ledger, whichever of them has it. Asking again
/// after an interruption does the rest.
pub async fn lift(world: &World, run: RunId, tag: &Tag, reason: &str) -> Result<Release, FlowError> {
    let bad = bad(world, &run).await?;
    let Some(found) = bad.iter().find(|bad| bad.release.tag == *tag) else {
        // An earlier lift may not have reached the database.
        if let Some(release) = fenced(world, tag).await? {
            lift_fences(world, &release).await;
            return Ok(release);
        }
        let bad = bad.into_iter().map(|bad| bad.release.tag).collect();
        return Err(FlowError::NotQuarantined { tag: tag.clone(), bad });
    };
    let release = found.release.clone();
    let holder = Holder {
        run: run.clone(),
        who: world.target.who.clone(),
        since: world.clock.now(),
        what: format!("lift the quarantine of {release}"),
    };
    world.ledger.acquire(&holder).await?;
    let lifted = match going_to_mark(world, &release).await {
        Ok(()) => lift_everywhere(world, &holder, &release, reason).await,
        Err(error) => Err(error),
    };
    let released = world.ledger.release(&run).await;
    lifted?;
    released?;
    Ok(release)
}

/// Fails while a run is not finished that says the release is bad: going on with it would say so again.
async fn going_to_mark(world: &World, release: &Release) -> Result<(), FlowError> {
    let known = world.ledger.marks().await?;
    let marks = begun_marks(world, &known)?;
    let again = marks.iter().any(|mark| mark.mark == Mark::Bad && mark.release.digest == release.digest);
    match unfinished(world).await? {
        Some((_, state)) if again => {
            let Holder { run, what, who, .. } = state.holder;
            Err(FlowError::Unfinished { run, what, who })
        }
        _ => Ok(()),
    }
}

async fn lift_everywhere(
    world: &World,
    holder: &Holder,
    release: &Release,
    reason: &str,
) -> Result<(), FlowError> {
    let (claims, missing) = whose(world, &holder.run).await?;
    if !missing.is_empty() {
        return Err(FlowError::HostsMissing { hosts: missing });
    }
    let epoch = Epoch(highest_epoch(&claims).0 + 1);
    if let Some((_, error)) = claim(world.hosts.iter(), holder, epoch).await?.into_iter().next() {
        return Err(error);
    }
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
    lift_fences(world, release).await;
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

/// The release of that tag whose migrations are fenced, if there is one.
async fn fenced(world: &World, tag: &Tag) -> Result<Option<Release>, FlowError> {
    let Some(database) = &world.database else { return Ok(None) };
    // One that cannot be asked is asked the next time.
    let fences = database.fences().await.unwrap_or_default();
    Ok(fences.into_iter().filter_map(|fence| fence.release).find(|release| release.tag == *tag))
}

/// Lets its migrations be applied again. A database that cannot be reached keeps nobody from lifting the rest.
async fn lift_fences(world: &World, release: &Release) {
    let Some(database) = &world.database else { return };
    match database.lift_fences(release).await {
        Ok(fences) => {
            for fence in fences {
                world.progress.note(&format!("{} may be applied again", fence.migration));
            }
        }
        Err(failure) => world.progress.note(&format!(
            "whether its migrations are fenced was not asked; where the database can be reached, lift {release} again: \
             {failure}"
        )),
    }
}
