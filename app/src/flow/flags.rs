//! Flags in flows: what a rollback turns off, turning flags off without a rollback, setting them back.

use std::collections::BTreeSet;

use serde::Serialize;
use unship_core::capsule::FlagEra;
use unship_core::evidence::Evidence;
use unship_core::flags::{
    DeployedFlags, Fate, FlagDifference, FlagFacts, FlagName, FlagState, FlagWas, differences,
};
use unship_core::history::History;
use unship_core::journal::{StepState, fold};
use unship_core::plan::{Plan, RunKind, Step, Wave};
use unship_core::release::{Release, RunId};

use super::FlowError;
use super::aside::read;
use super::claims::claims_of;
use super::observe::serving;
use super::resume::settled;
use super::run::Prepared;
use crate::ports::World;

/// What an operator said of flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagWishes {
    /// To be turned off.
    pub off: BTreeSet<FlagName>,
    /// To be left as they are.
    pub keep: BTreeSet<FlagName>,
}

/// The flags, compared with those of the target's era.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagReport {
    /// Where they were read.
    pub source: String,
    /// Those that differ.
    pub differences: Vec<FlagDifference>,
    /// What is not known and could matter.
    pub unknown: Vec<String>,
}

impl FlagReport {
    /// The flags of a fate.
    pub fn of(&self, fate: Fate) -> impl Iterator<Item = &FlagDifference> {
        self.differences.iter().filter(move |difference| difference.fate == fate)
    }

    /// The flags to turn off.
    pub fn to_turn_off(&self) -> Vec<FlagWas> {
        self.of(Fate::TurnOff)
            .map(|flag| FlagWas { name: flag.name.clone(), was: flag.now.clone() })
            .collect()
    }

    /// The flags that somebody turned on and that stay on.
    pub fn left(&self) -> Vec<FlagName> {
        self.of(Fate::Ask).map(|flag| flag.name.clone()).collect()
    }
}

/// Compares the flags now with those of the target's era. None when no flags are configured.
pub(super) async fn compare(
    world: &World,
    history: &History,
    bad: Option<&Release>,
    target: &Release,
    wishes: &FlagWishes,
) -> Result<Option<FlagReport>, FlowError> {
    let Some(source) = &world.flags else { return Ok(None) };
    let source = source.name();
    let now = match read(world).await {
        Evidence::Known { value, .. } => value,
        Evidence::Missing { why } => {
            let unknown = vec![format!("the flags could not be read: {why}")];
            return Ok(Some(FlagReport { source, differences: Vec::new(), unknown }));
        }
    };
    wished_exist(&now, wishes)?;
    let mut unknown = Vec::new();
    let mut eras = Vec::new();
    for release in span(history, bad, target) {
        let era = match world.source.kept(&release).await {
            Ok(artifact) => artifact.capsule.flag_era,
            Err(_) => FlagEra::default(),
        };
        if era.before.value().is_none() && era.introduced.value().is_none() {
            unknown.push(format!("which flags {release} brought is not known: nothing was recorded of it"));
        }
        eras.push((release, era));
    }
    let span: Vec<DeployedFlags<'_>> = eras
        .iter()
        .map(|(release, era)| DeployedFlags {
            release,
            before: era.before.value().map(Vec::as_slice),
            after: era.after.value().map(Vec::as_slice),
            introduced: era.introduced.value().map_or(&[], Vec::as_slice),
        })
        .collect();
    let its = world.source.kept(target).await.ok().map(|artifact| artifact.capsule.flag_era);
    let its = its.as_ref().and_then(|era| era.after.value().or(era.before.value()));
    let era = its.map(Vec::as_slice).or_else(|| span.first().and_then(|first| first.before));
    if era.is_none() {
        unknown.push(format!("which flags were on while {target} served is not known"));
    }
    let facts = FlagFacts { era, now: &now, span: &span, off: &wishes.off, keep: &wishes.keep };
    Ok(Some(FlagReport { source, differences: differences(&facts), unknown }))
}

/// A flag that was named and is not there was misspelt, or is somebody's whose absence should be known.
fn wished_exist(now: &[FlagState], wishes: &FlagWishes) -> Result<(), FlowError> {
    for name in wishes.off.iter().chain(&wishes.keep) {
        if !now.iter().any(|flag| flag.name == *name) {
            let known = now.iter().map(|flag| flag.name.clone()).collect();
            return Err(FlowError::UnknownFlag { name: name.clone(), known });
        }
    }
    Ok(())
}

/// The releases that are taken back, oldest first: those that were deployed after the target, up to the bad one.
fn span(history: &History, bad: Option<&Release>, target: &Release) -> Vec<Release> {
    let Some(bad) = bad else { return Vec::new() };
    let place = |of: &Release| history.releases.iter().position(|known| known.release.digest == of.digest);
    match (place(target), place(bad)) {
        (Some(from), Some(until)) if from < until => {
            let between = history.releases.get(from + 1..=until).unwrap_or_default();
            between.iter().map(|record| record.release.clone()).collect()
        }
        _ => vec![bad.clone()],
    }
}

/// All flags, for people.
pub async fn list(world: &World) -> Result<Vec<FlagState>, FlowError> {
    let source = world.flags.as_ref().ok_or(FlowError::NoFlags)?;
    let mut flags = source.read().await.map_err(|failure| FlowError::Flags { failure })?;
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(flags)
}

/// The plan that turns flags off and does nothing else: what mends a small bug behind a flag.
pub async fn turn_off(
    world: &World,
    run: RunId,
    names: &BTreeSet<FlagName>,
    reason: &str,
) -> Result<Prepared, FlowError> {
    let now = list(world).await?;
    wished_exist(&now, &FlagWishes { off: names.clone(), keep: BTreeSet::new() })?;
    let flags = now.into_iter().filter(|flag| names.contains(&flag.name));
    let flags = flags.map(|flag| FlagWas { name: flag.name, was: flag.value }).collect();
    set(world, run, reason, Step::TurnOffFlags { flags, left: Vec::new() }).await
}

/// The plan that sets the flags back that a run turned off.
pub async fn restore(world: &World, run: RunId, of: &RunId) -> Result<Prepared, FlowError> {
    let entries = world.ledger.entries(of).await?;
    let state = fold(&entries)
        .map_err(|error| FlowError::JournalBroken { run: of.clone(), why: error.to_string() })?;
    let mut flags = Vec::new();
    for (step, came) in state.plan.steps().zip(&state.steps) {
        match (step, came) {
            // One that failed or was cut off may have turned some of them off.
            (Step::TurnOffFlags { .. }, StepState::NotTried) => {}
            (Step::TurnOffFlags { flags: off, .. }, _) => flags.extend(off.iter().cloned()),
            _ => {}
        }
    }
    if flags.is_empty() {
        return Err(FlowError::NoFlagsTurnedOff { run: of.clone() });
    }
    set(world, run, &format!("what run {of} turned off"), Step::RestoreFlags { flags }).await
}

async fn set(world: &World, run: RunId, reason: &str, step: Step) -> Result<Prepared, FlowError> {
    if world.flags.is_none() {
        return Err(FlowError::NoFlags);
    }
    let hosts = settled(world, &run).await?.hosts;
    let serves = serving(&hosts)?;
    let plan = Plan {
        kind: RunKind::Flags,
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        from: Some(serves.clone()),
        to: serves,
        reason: reason.to_owned(),
        waves: vec![Wave::alone(step)],
        without: Vec::new(),
    };
    Ok(Prepared { run, plan, seen: claims_of(&hosts), marks: Vec::new(), decided: None })
}
