//! `hold`: keeps what serves from serving while people decide, and lets it serve again.
//!
//! A rollback, or a deploy of a hotfix, ends a hold by itself: the host answers 503 until the other release is
//! proved there.

use unship_core::decision::FailureMode;
use unship_core::history::Mark;
use unship_core::plan::{self, HoldFacts, RunKind};
use unship_core::release::RunId;

use super::FlowError;
use super::claims::claims_of;
use super::observe::{Fleet, live, unanswered};
use super::resume::settled;
use super::run::Prepared;
use crate::ports::World;

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// How the release fails.
    pub mode: FailureMode,
    /// More words on why.
    pub reason: Option<String>,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u32,
}

/// A hold that can be executed, with what a person has to see first.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What to execute.
    pub prepared: Prepared,
    /// What a person should know before saying yes.
    pub risks: Vec<String>,
}

/// Makes the plan of a hold; changes nothing. The hosts that do not answer are named and gone on without.
pub async fn plan(world: &World, run: RunId, request: &Request) -> Result<Proposal, FlowError> {
    if world.deploy.is_some() {
        return Err(FlowError::HoldWithCommand);
    }
    let Fleet { hosts, missing } = settled(world, &run).await?;
    let mut reason = request.mode.words().to_owned();
    if let Some(more) = &request.reason {
        reason = format!("{reason}: {more}");
    }
    let seen = claims_of(&hosts);
    let mut risks = Vec::new();
    let marks = match live(&hosts).as_slice() {
        [one] => vec![((*one).clone(), Mark::Bad, format!("held: {reason}"))],
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            risks.push(format!(
                "the hosts serve {}; all are held, and none is marked as bad",
                names.join(" and ")
            ));
            Vec::new()
        }
    };
    let units = &world.target.service.units;
    let stopped: Vec<&str> =
        units.iter().filter(|unit| unit.listen.is_none()).map(|unit| unit.name.as_str()).collect();
    if stopped.len() == units.len() {
        risks.push("no unit has a listener: they are stopped, and nothing answers meanwhile".into());
    } else if !stopped.is_empty() {
        risks.push(format!("{} has no listener and is stopped", stopped.join(", ")));
    }
    risks.extend(unanswered(&hosts, units));
    let facts = HoldFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        reason,
        hosts,
        missing,
        retry_after_s: request.retry_after_s,
        size: world.target.waves,
    };
    let plan = plan::hold(&facts)?;
    debug_assert_eq!(plan.kind, RunKind::Hold);
    Ok(Proposal { prepared: Prepared { run, plan, seen, decided: None, marks }, risks })
}

/// Makes the plan that lets held hosts serve again what they served; changes nothing. Needs every host, but for
/// those that the operator leaves out.
pub async fn release(world: &World, run: RunId, reason: &str) -> Result<Prepared, FlowError> {
    let Fleet { hosts, missing } = settled(world, &run).await?.but_left_out(world)?;
    let seen = claims_of(&hosts);
    let facts = HoldFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        reason: reason.to_owned(),
        hosts,
        missing,
        retry_after_s: 0,
        size: world.target.waves,
    };
    let plan = plan::release_hold(&facts)?;
    Ok(Prepared { run, plan, seen, decided: None, marks: Vec::new() })
}
