//! Option 2: forward, to a hotfix on top of the bad release.
//!
//! [`start`] makes the branch and says what the hotfix has to show; [`plan`] holds it to that and ships it: it marks
//! the bad release as bad and lifts the fences around what was taken down with it.

use serde::Serialize;
use unship_core::decision::FailureMode;
use unship_core::history::{self, History, Mark, Standing};
use unship_core::protocol::HostState;
use unship_core::release::{Release, RunId, Tag};
use unship_core::verdict::{SpanVerdict, Verdict};

use super::ci::{self, CiReport};
use super::observe::{observe, serving};
use super::run::Prepared;
use super::{FlowError, deploy};
use crate::ports::World;

/// Where a hotfix begins.
#[derive(Debug, Clone, Serialize)]
pub struct Started {
    /// The release that it mends.
    pub bad: Release,
    /// The known-good release that a rollback would go to, if there is one.
    pub target: Option<Release>,
    /// The branch that was made at the bad release's commit.
    pub branch: String,
    /// What the hotfix is to be tagged as.
    pub tag: Tag,
    /// What it has to show before it ships, a sentence each.
    pub must: Vec<String>,
}

/// Makes the branch of a hotfix of `on`, or of what serves.
pub async fn start(world: &World, run: &RunId, on: Option<&Tag>) -> Result<Started, FlowError> {
    let history = history::fold(&world.ledger.marks().await?);
    let bad = bad(world, run, &history, on).await?;
    let tag = bad.tag.next_patch(&world.repository.tags().await?).map_err(|error| {
        crate::ports::SourceError { message: error.to_string(), hint: Some("choose a tag yourself".into()) }
    })?;
    let branch = format!("hotfix/{tag}");
    let target = history.target(&bad).ok();
    world.repository.branch(&branch, &bad.tag).await?;
    let mut must = vec![format!("it has everything that {bad} has")];
    if world.shadows.is_some() && !world.target.stateless {
        must.push(format!("{bad} runs on its schema: both serve while it is brought out"));
        must.extend(target.iter().map(|target| format!("whether {target} runs on its schema is known")));
    }
    if world.ci.is_some() {
        must.push("it passed CI".into());
    }
    Ok(Started { bad, target, branch, tag, must })
}

/// The release that a hotfix is for: the one that was named, or what serves.
async fn bad(world: &World, run: &RunId, history: &History, on: Option<&Tag>) -> Result<Release, FlowError> {
    let Some(tag) = on else { return serving(&observe(world, run).await?) };
    let known = || history.releases.iter().map(|record| &record.release);
    let found = known().rev().find(|release| release.tag == *tag).cloned();
    found.ok_or_else(|| FlowError::UnknownRelease {
        tag: tag.clone(),
        known: known().map(|release| release.tag.clone()).collect(),
    })
}

/// What the operator says of a hotfix.
#[derive(Debug, Clone)]
pub struct Request {
    /// The release that it mends; what serves unless given.
    pub on: Option<Tag>,
    /// How that one fails.
    pub mode: FailureMode,
    /// Why it is shipped although it has not shown all that it must.
    pub overrule: Option<String>,
}

/// A hotfix that can be shipped.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What to execute.
    pub prepared: Prepared,
    /// The release that it mends.
    pub bad: Release,
    /// Whether the bad release runs on its schema, if that was judged.
    pub towards_bad: Option<SpanVerdict>,
    /// The known-good release that one could go back to from it, and whether it runs on its schema.
    pub towards_good: Option<(Release, Option<SpanVerdict>)>,
    /// What CI says of it; none when no CI is configured.
    pub ci: Option<CiReport>,
    /// What it has not shown, and is shipped without.
    pub unproven: Vec<String>,
}

/// Builds the hotfix, holds it to what it must show, and plans to bring it out.
pub async fn plan(world: &World, run: RunId, tag: &Tag, request: &Request) -> Result<Proposal, FlowError> {
    let history = history::fold(&world.ledger.marks().await?);
    let bad = bad(world, &run, &history, request.on.as_ref()).await?;
    if !world.repository.is_on_top(tag, &bad.tag).await? {
        return Err(FlowError::NotOnTop { tag: tag.clone(), bad: bad.tag });
    }
    let hosts = observe(world, &run).await?;
    let serves = hosts.iter().any(|host| is_live(&host.state, &bad));
    let why = format!("{}; mended by {tag}", request.mode.words());
    let superseded_for = hosts.iter().any(|host| host.serves() == Some(&bad)).then_some(why.as_str());
    let mut prepared = deploy::on_top_of(world, run, tag, superseded_for, Some(&bad)).await?;
    let release = prepared.plan.to.clone();
    let towards = judged(world, &release).await;
    let verdict = |to: &Release| {
        let found = towards.iter().find(|(target, _)| target.digest == to.digest);
        found.map(|(_, span)| span.clone())
    };
    let good = history
        .releases
        .iter()
        .rev()
        .find(|record| record.standing == Standing::KnownGood && record.release.digest != bad.digest);
    let towards_bad = verdict(&bad);
    let towards_good = good.map(|record| (record.release.clone(), verdict(&record.release)));
    let ci = ci::report(world, &release).await;
    let mut unproven = Vec::new();
    if serves && towards_bad.as_ref().is_some_and(|span| span.overall() == Verdict::Breaks) {
        unproven
            .push(format!("{bad} cannot run on its schema, and serves beside it while it is brought out"));
    }
    if let Some(ci) = ci.as_ref().filter(|ci| !ci.standing.is_green()) {
        unproven.push(format!("{tag} {}", ci.standing.words()));
    }
    if !unproven.is_empty() && request.overrule.is_none() {
        return Err(FlowError::HotfixUnproven { tag: tag.clone(), why: unproven });
    }
    if let (false, Some(reason)) = (unproven.is_empty(), &request.overrule) {
        let bad_marks = prepared.marks.iter_mut().filter(|(_, mark, _)| *mark == Mark::Bad);
        bad_marks.for_each(|(_, _, why)| why.push_str(&format!(", which was shipped unproven: {reason}")));
    }
    Ok(Proposal { prepared, bad, towards_bad, towards_good, ci, unproven })
}

/// Whether processes of the release take requests on the host.
fn is_live(state: &HostState, release: &Release) -> bool {
    state.instances.iter().any(|instance| instance.release.digest == release.digest)
}

/// The verdicts that the release carries.
pub(super) async fn judged(world: &World, release: &Release) -> Vec<(Release, SpanVerdict)> {
    let Ok(artifact) = world.source.kept(release).await else { return Vec::new() };
    let verdicts = artifact.capsule.verdicts.value().cloned().unwrap_or_default();
    verdicts.into_iter().map(|verdict| (verdict.target, verdict.span)).collect()
}
