//! Which release is taken back, and which one serves again.

use unship_core::history::{History, TargetError};
use unship_core::plan::{HostFacts, PlanError};
use unship_core::release::{Release, Tag};

use super::{Aim, Request};
use crate::flow::observe::{live, serves_well, serving};
use crate::flow::{FlowError, ci};
use crate::ports::World;

/// The releases of a rollback.
pub(super) struct Ends {
    /// What is taken back; none when some host only lacks what it should serve already.
    pub bad: Option<Release>,
    /// What serves again.
    pub target: Release,
}

/// Finds both, as the operator wants them.
pub(super) async fn ends(
    world: &World,
    hosts: &[HostFacts],
    history: &History,
    request: &Request,
) -> Result<Ends, FlowError> {
    let named = match &request.to {
        Aim::Named(tag) => Some(named(world, hosts, history, tag).await?),
        Aim::Newest | Aim::NewestGreen => None,
    };
    let bad = bad(world, hosts, named.as_ref())?;
    let target = match (named, &bad) {
        (Some(target), _) => {
            history.check_target(&target, bad.as_ref().unwrap_or(&target))?;
            target
        }
        (None, Some(bad)) if request.break_glass => stored_before(hosts, bad)?,
        (None, Some(bad)) if request.to == Aim::NewestGreen => {
            let target = match ci::newest_green(world, history, &[bad]).await {
                Some(green) => green.release,
                None => history.target(bad)?,
            };
            built_anew(world, target).await?
        }
        (None, Some(bad)) => built_anew(world, history.target(bad)?).await?,
        (None, None) => return Err(FlowError::NothingServes),
    };
    Ok(Ends { bad, target })
}

/// The release to take back: what the hosts serve and is not the target. None when all that is wrong is that
/// a host does not serve the target well: an earlier run did not get through there.
fn bad(world: &World, hosts: &[HostFacts], target: Option<&Release>) -> Result<Option<Release>, FlowError> {
    let Some(target) = target else {
        return serving(hosts).map(Some);
    };
    let others: Vec<&Release> =
        live(hosts).into_iter().filter(|served| served.digest != target.digest).collect();
    match others.as_slice() {
        [] if serves_well(hosts, target, world.target.service.units.len()).is_ok() => {
            Err(PlanError::SameRelease { target: target.clone() }.into())
        }
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => {
            Err(FlowError::HostsDiffer { releases: several.iter().map(ToString::to_string).collect() })
        }
    }
}

/// The release that the operator named. The user's own deploy command can bring out every tag, also one that no
/// history knows.
async fn named(
    world: &World,
    hosts: &[HostFacts],
    history: &History,
    tag: &Tag,
) -> Result<Release, FlowError> {
    let Some(command) = &world.deploy else { return find(hosts, history, tag) };
    // What was taken back is not brought out again by building it anew.
    for record in history.releases.iter().filter(|record| record.release.tag == *tag) {
        history.check_target(&record.release, &record.release)?;
    }
    Ok(command.prepare(tag, world.progress.as_ref()).await?.manifest.release())
}

/// The target as the user's own deploy command will bring it out, which may build it anew.
async fn built_anew(world: &World, target: Release) -> Result<Release, FlowError> {
    match &world.deploy {
        Some(command) => Ok(command.prepare(&target.tag, world.progress.as_ref()).await?.manifest.release()),
        None => Ok(target),
    }
}

/// The release of a tag. The hosts know what is stored under it; the ledger knows what ever was.
fn find(hosts: &[HostFacts], history: &History, tag: &Tag) -> Result<Release, FlowError> {
    let stored =
        hosts.iter().flat_map(|host| &host.state.releases).map(|stored| &stored.release).collect::<Vec<_>>();
    let known = history.releases.iter().map(|record| &record.release);
    stored.iter().copied().chain(known).find(|release| release.tag == *tag).cloned().ok_or_else(|| {
        let mut known: Vec<Tag> = stored.iter().map(|release| release.tag.clone()).collect();
        known.sort();
        known.dedup();
        FlowError::UnknownRelease { tag: tag.clone(), known }
    })
}

/// Without a ledger: the newest release that the first host stored before the bad one and that is not in
/// quarantine there. Whether it was ever good is not known, and is said.
fn stored_before(hosts: &[HostFacts], bad: &Release) -> Result<Release, FlowError> {
    let none = || TargetError::NoneKnownGood { unproven: Vec::new() };
    let state = &hosts.first().ok_or_else(none)?.state;
    let older = state.releases.iter().take_while(|stored| stored.release.digest != bad.digest);
    let marked =
        |release: &Release| state.quarantined.iter().any(|mark| mark.release.digest == release.digest);
    let target = older.map(|stored| &stored.release).filter(|release| !marked(release)).last();
    Ok(target.ok_or_else(none)?.clone())
}
