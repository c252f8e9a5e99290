//! `advise`: what is known about the failing release, and what the table says to do about it. Changes nothing.

use unship_core::decision::{Ceremony, Decision, Down, Facts, FailureMode, Flag, Hotfix, Span, decide};
use unship_core::history;
use unship_core::journal::{Outcome, fold};
use unship_core::plan::{HostFacts, RunKind};
use unship_core::release::{Release, RunId};
use unship_core::verdict::Verdict;

use super::observe::{observe, serving};
use super::schema::{Schema, compare};
use super::{FlowError, rollback};
use crate::ports::World;

/// How many of the newest runs are looked at for the time that going back takes.
const RUNS_MAX: u32 = 50;

/// What the operator said of the failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How the release fails.
    pub mode: FailureMode,
    /// When a hotfix could be there.
    pub hotfix: Hotfix,
    /// The flag that the fault sits behind, as the flag source knows it.
    pub flag: Flag,
    /// How long a rehearsed rollback took, in milliseconds.
    pub rehearsed_ms: Option<u64>,
}

impl Said {
    /// A failure of which nothing but its mode is known.
    pub fn mode(mode: FailureMode) -> Said {
        Said { mode, hotfix: Hotfix::NotKnown, flag: Flag::None, rehearsed_ms: None }
    }
}

/// What to do, for which releases, and from what.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Advice {
    /// What serves and fails, if the hosts agree.
    pub from: Option<Release>,
    /// What would serve again.
    pub to: Option<Release>,
    /// What was known.
    pub facts: Facts,
    /// What the table says.
    pub decision: Decision,
}

/// Says what to do. What cannot be learned counts as not known, so that there is advice also while hosts are away.
pub async fn advise(world: &World, run: &RunId, said: &Said) -> Advice {
    let found = match observe(world, run).await {
        Ok(hosts) => serving(&hosts).map(|from| (from, contained(&hosts))),
        Err(error) => Err(error),
    };
    match found {
        Ok((from, contained)) => advise_for(world, &from, contained, said).await,
        Err(error) => {
            let unknown = Span::Unknown { what: vec![error.to_string()] };
            let facts = facts(world, said, unknown, false, &earlier_ms(world).await);
            Advice { decision: decide(&facts), facts, from: None, to: None }
        }
    }
}

/// The same for a release that is known to be the failing one.
pub async fn advise_for(world: &World, from: &Release, contained: bool, said: &Said) -> Advice {
    let target = match world.ledger.marks().await {
        Ok(marks) => history::fold(&marks).target(from).map_err(FlowError::from),
        Err(error) => Err(error.into()),
    };
    let (to, span, down) = match target {
        Ok(to) => {
            let schema = compare(world, from, &to).await;
            // As a rollback does: only where nothing else is left.
            let down = match schema.broken() {
                Some(_) => rollback::down(world, from, &to).await,
                None => Down::NotKnown,
            };
            (Some(to), span(&schema), down)
        }
        Err(error) => (None, Span::Unknown { what: vec![error.to_string()] }, Down::NotKnown),
    };
    let facts = Facts { down, ..facts(world, said, span, contained, &earlier_ms(world).await) };
    Advice { decision: decide(&facts), facts, from: Some(from.clone()), to }
}

/// Whether what fails is kept from doing harm on every host.
pub(super) fn contained(hosts: &[HostFacts]) -> bool {
    !hosts.is_empty() && hosts.iter().all(|host| host.held().is_some())
}

/// Everything that the table looks at. `earlier_ms` is how long rollbacks took.
pub(super) fn facts(world: &World, said: &Said, span: Span, contained: bool, earlier_ms: &[u64]) -> Facts {
    Facts {
        mode: said.mode,
        contained,
        flag: said.flag.clone(),
        hotfix: said.hotfix,
        ceremony: Ceremony::of(earlier_ms.to_vec(), said.rehearsed_ms),
        span,
        hosts: world.hosts.len(),
        // What the user's own deploy command starts, it alone can stop.
        can_be_held: world.deploy.is_none()
            && world.target.service.units.iter().any(|unit| unit.listen.is_some()),
        can_be_borne: said.mode.can_be_borne(),
        down: Down::NotKnown,
    }
}

/// How long the completed rollbacks of this environment took. A ledger that cannot be read knows none.
pub(super) async fn earlier_ms(world: &World) -> Vec<u64> {
    let mut times = Vec::new();
    for run in world.ledger.runs(RUNS_MAX).await.unwrap_or_default() {
        let Ok(entries) = world.ledger.entries(&run).await else { continue };
        let Ok(state) = fold(&entries) else { continue };
        let here = state.plan.environment == world.target.environment;
        // One that somebody had to resume says how long people waited, not how long going back takes.
        let straight = state.outcome == Some(Outcome::Completed) && state.resumed == 0;
        if here && straight && state.plan.kind == RunKind::Rollback {
            times.extend(entries.last().map(|last| last.at.since_ms(state.holder.since)));
        }
    }
    times
}

/// What the schema means for the decision.
pub(super) fn span(schema: &Schema) -> Span {
    match schema {
        Schema::Same => Span::Compatible { why: "both releases have the same migrations".into() },
        Schema::TakenDown => {
            Span::Compatible { why: "the database has only migrations that the target knows".into() }
        }
        Schema::Unknown { why, .. } => Span::Unknown { what: vec![why.clone()] },
        Schema::Judged { span } => match span.overall() {
            Verdict::Compatible => Span::Compatible { why: span.why().join("; ") },
            Verdict::Unknown => Span::Unknown { what: span.why() },
            Verdict::Breaks => Span::Breaks { what: span.why() },
        },
    }
}
