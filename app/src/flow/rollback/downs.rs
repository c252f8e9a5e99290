//! Option 3, the last resort: which migrations would be taken down, what that destroys, and whether that was accepted.

use std::collections::BTreeSet;

use unship_core::decision::Down;
use unship_core::down::{LossReport, Program, Refusal};
use unship_core::release::{Digest, Release};
use unship_core::time::Timestamp;

use super::Request;
use crate::flow::FlowError;
use crate::flow::down::{Downs, Wanted, propose};
use crate::flow::span::set_of;
use crate::ports::World;

/// What is known of option 3.
#[derive(Debug, Clone)]
pub(super) enum Looked {
    /// It was not looked at, or could not be: why.
    Not { why: String },
    /// What would be done.
    At(Box<Downs>),
}

/// Looks at the live database and tries the downs on a throwaway one. Changes nothing.
pub(super) async fn look(
    world: &World,
    bad: &Release,
    target: &Release,
    deployed_at: Option<Timestamp>,
    not_atomic: &BTreeSet<String>,
) -> Looked {
    match look_at(world, bad, target, deployed_at, not_atomic).await {
        Ok(downs) => Looked::At(Box::new(downs)),
        Err(why) => Looked::Not { why },
    }
}

async fn look_at(
    world: &World,
    bad: &Release,
    target: &Release,
    deployed_at: Option<Timestamp>,
    not_atomic: &BTreeSet<String>,
) -> Result<Downs, String> {
    if world.database.is_none() {
        return Err("unship.toml has no [database], so no migration can be taken down from here".into());
    }
    let settings = world.shadows.as_ref().ok_or("unship.toml has no [migrations]")?.settings();
    let mut sets = Vec::new();
    for release in [bad, target] {
        let kept = world.source.kept(release).await;
        let kept = kept.map_err(|error| format!("the capsule of {release} is not here: {error}"))?;
        sets.push(set_of(settings, &kept.capsule)?);
    }
    let [set, of_target] = sets.as_slice() else { return Err("a capsule is missing".into()) };
    let keep = of_target.migrations.iter().map(|one| one.version.recorded().to_owned()).collect();
    let wanted = Wanted { set, keep: &keep, deployed_at, fence: true, not_atomic };
    propose(world, &wanted).await.map_err(|error| error.to_string())
}

impl Looked {
    /// What the table looks at.
    pub fn fact(&self) -> Down {
        let downs = match self {
            Looked::Not { .. } => return Down::NotKnown,
            Looked::At(downs) => downs,
        };
        if let Some(refusal) = downs.steps.iter().flat_map(|step| &step.refusals).next() {
            return refused(refusal);
        }
        Down::Runs { loss: downs.steps.iter().flat_map(|step| lost(&step.report)).collect() }
    }

    /// The programs to execute, newest first. Refused where one of them has none, or where a loss is not accepted.
    pub fn programs(
        &self,
        bad: &Release,
        target: &Release,
        request: &Request,
    ) -> Result<Vec<Program>, FlowError> {
        let (bad, target) = (bad.clone(), target.clone());
        let downs = match self {
            Looked::Not { why } => return Err(FlowError::DownRefused { bad, target, why: why.clone() }),
            Looked::At(downs) => downs,
        };
        let refusals: Vec<String> =
            downs.steps.iter().flat_map(|step| &step.refusals).map(ToString::to_string).collect();
        if !refusals.is_empty() {
            return Err(FlowError::DownRefused { bad, target, why: refusals.join("; ") });
        }
        let accepted = |report: &LossReport| request.accept_loss.contains(&report.digest());
        let open = downs.steps.iter().map(|step| &step.report);
        let open: Vec<LossReport> =
            open.filter(|report| !report.is_nothing() && !accepted(report)).cloned().collect();
        if !open.is_empty() {
            return Err(FlowError::LossNotAccepted { bad, target, reports: open });
        }
        Ok(downs.steps.iter().filter_map(|step| step.program.clone()).collect())
    }

    /// The downs, for a person to see.
    pub fn into_downs(self) -> Option<Downs> {
        match self {
            Looked::Not { .. } => None,
            Looked::At(downs) => Some(*downs),
        }
    }
}

fn refused(refusal: &Refusal) -> Down {
    let (why, text) = (refusal.to_string(), |text: &str| text.to_owned());
    match refusal {
        Refusal::Missing { migration } | Refusal::Empty { migration } => {
            Down::Missing { migration: text(migration) }
        }
        Refusal::LeavesUnfit { why, .. } => Down::LeavesUnfit { why: text(why) },
        Refusal::Fails { migration, why }
        | Refusal::FailsOnData { migration, why }
        | Refusal::NotAtomic { migration, why }
        | Refusal::NotPossible { migration, why } => {
            Down::Fails { migration: text(migration), why: text(why) }
        }
        Refusal::Drift { migration, .. } => Down::Fails { migration: text(migration), why },
    }
}

/// What a report's losses are, a line each.
fn lost(report: &LossReport) -> Vec<String> {
    let touched = report.losses.iter().filter(|loss| loss.affected > 0);
    touched.map(|loss| format!("{}: {}", report.migration, unship_core::explain::loss(loss))).collect()
}

/// What was said on the command line, as digests.
pub type Accepted = BTreeSet<Digest>;
