//! `deploy`: build the tag's release, put it on every host, flip host by host with proof.

use unship_core::history::{self, Mark, Standing};
use unship_core::plan::{self, DeployFacts, HostFacts};
use unship_core::release::{Release, RunId, Tag};

use super::FlowError;
use super::observe::serves_well;
use super::resume::settled;
use super::run::{Prepared, claims_of};
use crate::ports::World;

/// Makes the plan of a deploy. Builds the release on this machine; changes nothing on any host.
///
/// `superseded_for` is why the release that serves now is bad, if it is: then it is never gone back to.
pub async fn plan(
    world: &World,
    run: RunId,
    tag: &Tag,
    superseded_for: Option<&str>,
) -> Result<Prepared, FlowError> {
    let hosts = settled(world, &run).await?;
    let history = history::fold(&world.ledger.marks().await?);
    let named = history.releases.iter().find(|record| record.release.tag == *tag);
    if let Some(record) = named.filter(|record| record.standing == Standing::Bad) {
        return Err(FlowError::Quarantined { release: record.release.clone(), why: record.why.clone() });
    }
    let artifact = world.source.build(tag, world.progress.as_ref()).await?;
    let release = artifact.manifest.release();
    // The same artifact under another tag is the same release.
    if let Some(record) = history.get(&release.digest).filter(|record| record.standing == Standing::Bad) {
        return Err(FlowError::Quarantined { release: record.release.clone(), why: record.why.clone() });
    }
    let serves = hosts.first().and_then(HostFacts::serves).cloned();
    let facts = DeployFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        release: release.clone(),
        migrates: world.target.migrates,
        smokes: world.target.smokes,
        keep: keep(world, &history, &release, serves.as_ref()),
        hosts,
    };
    let plan = plan::deploy(&facts)?;
    let marks = match (&plan.from, superseded_for) {
        (Some(from), _) if from.digest == release.digest => None,
        (Some(from), Some(why)) => Some((from.clone(), Mark::Bad, format!("superseded by {tag}: {why}"))),
        (Some(from), None) => good_mark(world, &facts.hosts, from).await,
        (None, _) => None,
    };
    Ok(Prepared { run, plan, seen: claims_of(&facts.hosts), marks: marks.into_iter().collect() })
}

/// The release that serves now is known good if it serves well, inside and outside, at the moment in which it
/// is superseded.
async fn good_mark(world: &World, hosts: &[HostFacts], from: &Release) -> Option<(Release, Mark, String)> {
    serves_well(hosts, from, world.target.service.units.len()).ok()?;
    for host in hosts {
        world.prober.probe(&host.host, &from.tag).await.ok()?;
    }
    Some((from.clone(), Mark::KnownGood, "served without a restart until the next deploy".into()))
}

/// What must stay on the hosts: what serves now, every known-good release that a rollback may choose, and
/// the newest others up to the configured number.
fn keep(world: &World, history: &history::History, new: &Release, serves: Option<&Release>) -> Vec<Release> {
    let mut keep: Vec<Release> = vec![new.clone()];
    keep.extend(serves.cloned());
    let target = history.target(new).ok();
    keep.extend(target);
    let newest = history.releases.iter().rev().take(world.target.keep_releases);
    keep.extend(newest.map(|record| record.release.clone()));
    let mut seen = std::collections::BTreeSet::new();
    keep.retain(|release| seen.insert(release.digest));
    keep
}
