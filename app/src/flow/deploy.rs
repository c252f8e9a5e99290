//! `deploy`: build the tag's release, put it on every host, flip host by host with proof.

use unship_core::capsule::Capsule;
use unship_core::history::{self, Mark, Standing};
use unship_core::plan::{self, CommandFacts, DeployFacts, HostFacts};
use unship_core::release::{Release, RunId, Tag};

use super::FlowError;
use super::claims::claims_of;
use super::observe::{Fleet, serves_well, serving};
use super::resume::settled;
use super::run::Prepared;
use super::span;
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
    on_top_of(world, run, tag, superseded_for, None).await
}

/// The same for a hotfix of `bad`: what was taken down with that one is fenced, and may be applied again with this.
pub(super) async fn on_top_of(
    world: &World,
    run: RunId,
    tag: &Tag,
    superseded_for: Option<&str>,
    bad: Option<&Release>,
) -> Result<Prepared, FlowError> {
    let Fleet { hosts, missing } = settled(world, &run).await?.but_left_out(world)?;
    let history = history::fold(&world.ledger.marks().await?);
    let named = history.releases.iter().find(|record| record.release.tag == *tag);
    if let Some(record) = named.filter(|record| record.standing == Standing::Bad) {
        return Err(FlowError::Quarantined { release: record.release.clone(), why: record.why.clone() });
    }
    let progress = world.progress.as_ref();
    let artifact = match &world.deploy {
        Some(command) => command.prepare(tag, progress).await?,
        None => world.source.build(tag, progress).await?,
    };
    let release = artifact.manifest.release();
    // The same artifact under another tag is the same release.
    if let Some(record) = history.get(&release.digest).filter(|record| record.standing == Standing::Bad) {
        return Err(FlowError::Quarantined { release: record.release.clone(), why: record.why.clone() });
    }
    let serves = hosts.first().and_then(HostFacts::serves).cloned();
    let good = history.releases.iter().rev().filter(|record| record.standing == Standing::KnownGood);
    // What serves while it is brought out, and what a hotfix mends, are asked about first.
    let mut targets: Vec<Release> =
        serves.iter().chain(bad.filter(|bad| Some(*bad) != serves.as_ref())).cloned().collect();
    targets.extend(good.map(|record| record.release.clone()).filter(|good| Some(good) != serves.as_ref()));
    for target in &targets {
        // One that was taken over, or built elsewhere, is not kept here, and its evidence stays as it is.
        if world.source.kept(target).await.is_ok()
            && let Err(error) = world.source.refresh(target).await
        {
            progress.note(&format!("what {target} carries was not read again: {error}"));
        }
    }
    span::store(world, &release, serves.as_ref(), &targets).await;
    let unfences = unfenced(world, &artifact.capsule, bad).await?;
    let facts = DeployFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        release: release.clone(),
        migrates: world.target.migrates,
        smokes: world.target.smokes,
        command: command_facts(world, &history, &hosts, &release),
        missing,
        size: world.target.waves,
        keep: keep(world, &history, &release, serves.as_ref()),
        records: world.flags.is_some() || world.ci.is_some(),
        installs_flags: world.target.installs_flags,
        unfences,
        hosts,
    };
    let plan = plan::deploy(&facts)?;
    let marks = match (&plan.from, superseded_for) {
        (Some(from), _) if from.digest == release.digest => None,
        (Some(from), Some(why)) => Some((from.clone(), Mark::Bad, format!("superseded by {tag}: {why}"))),
        (Some(from), None) => good_mark(world, &facts.hosts, from).await,
        (None, _) => None,
    };
    Ok(Prepared {
        run,
        plan,
        seen: claims_of(&facts.hosts),
        marks: marks.into_iter().collect(),
        decided: None,
    })
}

/// Refuses a release that would apply again what was taken down, unless it is a hotfix on top of the release that it
/// was taken down with; that release, if its fences stand.
async fn unfenced(
    world: &World,
    capsule: &Capsule,
    bad: Option<&Release>,
) -> Result<Option<Release>, FlowError> {
    let (Some(database), Some(shadows)) = (&world.database, &world.shadows) else { return Ok(None) };
    // What the release carries is not known where it has no readable migrations: then its tool meets the fence.
    let Ok(set) = span::set_of(shadows.settings(), capsule) else { return Ok(None) };
    let fences = match database.fences().await {
        Ok(fences) => fences,
        // It may be reached from the hosts alone. Whoever applies a fenced migration there runs into the fence itself.
        Err(failure) => {
            world.progress.note(&format!("whether a fence stands was not asked: {failure}"));
            return Ok(None);
        }
    };
    let mut met = fences.into_iter().filter(|fence| set.find(&fence.version).is_some()).peekable();
    if met.peek().is_none() {
        return Ok(None);
    }
    for fence in met {
        let own = |bad: &&Release| fence.release.as_ref().is_some_and(|of| of.digest == bad.digest);
        if !bad.as_ref().is_some_and(own) {
            return Err(FlowError::fenced(fence));
        }
    }
    Ok(bad.cloned())
}

/// What is known of the user's own deploy command, where that is the strategy. It goes back only to a release whose
/// tag is known.
pub(super) fn command_facts(
    world: &World,
    history: &history::History,
    hosts: &[HostFacts],
    release: &Release,
) -> Option<CommandFacts> {
    let command = world.deploy.as_ref()?;
    let from = serving(hosts).ok().filter(|from| from.digest != release.digest);
    let from = from.filter(|from| history.get(&from.digest).is_some());
    Some(CommandFacts { lines: command.shown(release), from })
}

/// The release that serves now is known good if it serves well, inside and outside, at the moment in which it
/// is superseded.
async fn good_mark(world: &World, hosts: &[HostFacts], from: &Release) -> Option<(Release, Mark, String)> {
    // A host that serves nothing yet says nothing of it.
    let hosts: Vec<HostFacts> = hosts.iter().filter(|host| host.serves().is_some()).cloned().collect();
    serves_well(&hosts, from, world.target.service.units.len()).ok()?;
    for host in &hosts {
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
