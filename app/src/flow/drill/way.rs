//! The scenario's way out, planned through the same flows as an operator's.

use std::collections::BTreeSet;

use unship_core::decision::{Act, Flag, Hotfix};
use unship_core::down::LossReport;
use unship_core::explain;
use unship_core::flags::FlagName;
use unship_core::plan::{RunKind, Step};
use unship_core::release::RunId;

use super::{DrillError, Scenario, Way};
use crate::flow::decide::{self, Said};
use crate::flow::rollback::{self, Request};
use crate::flow::run::Prepared;
use crate::flow::{FlowError, flags, hotfix};
use crate::ports::World;

/// How often losses are looked at and accepted: users write meanwhile, and may write more than was accepted.
const LOOKS_MAX: usize = 3;

/// A way out that can be executed.
pub(super) struct Planned {
    pub prepared: Prepared,
    /// What it destroys and what the drill accepted, a line each.
    pub losses: Vec<String>,
}

/// That a plan holds the service.
pub(super) struct Holds {
    /// The titles of the steps that do it.
    pub titles: Vec<String>,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u32,
}

/// Plans the scenario's way; changes nothing.
pub(super) async fn plan(world: &World, run: RunId, scenario: &Scenario) -> Result<Planned, DrillError> {
    match &scenario.way {
        Way::Flag(flag) => flag_off(world, run, scenario, flag).await,
        Way::Hotfix(tag) => {
            let request =
                hotfix::Request { on: Some(scenario.bad.clone()), mode: scenario.mode, overrule: None };
            let proposal = hotfix::plan(world, run, tag, &request).await?;
            Ok(Planned { prepared: proposal.prepared, losses: Vec::new() })
        }
        Way::Back | Way::Down => Ok(back(world, run, scenario).await?),
    }
}

/// As an operator does: asks what to do, and turns the flag off when that is the answer.
async fn flag_off(
    world: &World,
    run: RunId,
    scenario: &Scenario,
    flag: &FlagName,
) -> Result<Planned, DrillError> {
    let mut said = Said::mode(scenario.mode);
    let known = flags::list(world).await?.iter().any(|known| known.name == *flag);
    let name = flag.to_string();
    said.flag = if known {
        Flag::Known { name }
    } else {
        Flag::NotKnown { name, why: "the flag source does not know it".into() }
    };
    let advice = decide::advise(world, &run, &said).await;
    if advice.decision.act != Act::FlagOff {
        let reasons = explain::reasons(&advice.facts, &advice.decision).join("; ");
        let headline = explain::headline(&advice.facts, &advice.decision);
        return Err(DrillError::Advice { instead: format!("{headline} ({reasons})") });
    }
    let names = BTreeSet::from([flag.clone()]);
    let prepared = flags::turn_off(world, run, &names, &format!("drill {}", scenario.name)).await?;
    Ok(Planned { prepared, losses: Vec::new() })
}

async fn back(world: &World, run: RunId, scenario: &Scenario) -> Result<Planned, FlowError> {
    let mut said = Said::mode(scenario.mode);
    if scenario.way == Way::Down {
        said.hotfix = Hotfix::OutOfTheQuestion;
    }
    let mut request = Request {
        reason: Some(format!("drill {}", scenario.name)),
        accept_unknown_schema: scenario.accept_unknown_schema,
        ..Request::of(said)
    };
    let mut looks = 1;
    let proposal = loop {
        match rollback::plan(world, run.clone(), &request).await {
            // What an operator does who reads what would be lost, and accepts it.
            Err(FlowError::LossNotAccepted { reports, .. })
                if scenario.way == Way::Down && looks < LOOKS_MAX =>
            {
                looks += 1;
                request.accept_loss = reports.iter().map(LossReport::digest).collect::<BTreeSet<_>>();
            }
            planned => break planned?,
        }
    };
    let steps = proposal.downs.iter().flat_map(|downs| &downs.steps);
    let losses = steps.flat_map(|step| {
        let touched = step.report.losses.iter().filter(|loss| loss.affected > 0);
        touched.map(|loss| format!("{}: {}", step.migration, explain::loss(loss)))
    });
    let losses = losses.collect();
    Ok(Planned { prepared: proposal.prepared, losses })
}

/// The option of the runbook that a plan is; none where it sets flags alone.
pub(super) fn option(prepared: &Prepared) -> Option<u8> {
    let takes_down = prepared.plan.steps().any(|step| matches!(step, Step::StepDown { .. }));
    match prepared.plan.kind {
        RunKind::Rollback if takes_down => Some(3),
        RunKind::Rollback => Some(1),
        RunKind::Deploy => Some(2),
        RunKind::Adopt | RunKind::Hold | RunKind::ReleaseHold | RunKind::Flags => None,
    }
}

/// The steps of a plan that hold the service, if any does.
pub(super) fn holds(prepared: &Prepared) -> Option<Holds> {
    let mut holds: Option<Holds> = None;
    for step in prepared.plan.steps() {
        if let Step::Hold { retry_after_s, .. } = step {
            let all = holds.get_or_insert(Holds { titles: Vec::new(), retry_after_s: *retry_after_s });
            all.titles.push(step.title());
        }
    }
    holds
}

/// What a run of the way is called.
pub(super) fn name(way: &Way) -> &'static str {
    match way {
        Way::Back => "rollback",
        Way::Flag(_) => "flag",
        Way::Hotfix(_) => "hotfix",
        Way::Down => "down",
    }
}
