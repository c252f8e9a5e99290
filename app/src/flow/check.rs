//! `check`: what did these migrations do, and can each be taken back?
//!
//! [`plan`] says which migrations are run and which of them are judged; [`execute`] runs them on a shadow and
//! has core judge what was seen. Every judged migration gets an answer, also when it could not be run.

mod groups;
mod report;

use std::sync::Arc;
use std::time::Instant;

use unship_core::sql::{self, Facts};
use unship_core::tools::{Migration, MigrationSet};
use unship_core::verdict::{StepReport, Told, judge};

use crate::ports::{Shadow, ShadowFailure};
use groups::Groups;
pub use report::{CheckReport, Span, Summary, is_wrong_down};

/// Which migrations to run, oldest first.
#[derive(Debug, Clone)]
pub struct CheckPlan {
    pub tool: String,
    pub span: Option<Span>,
    /// Only applied, so that the judged ones find the schema they expect.
    base: Vec<Arc<Migration>>,
    judged: Vec<Arc<Migration>>,
    /// What is worth saying before anything has run.
    remarks: Vec<String>,
}

impl CheckPlan {
    /// How many steps are judged.
    pub fn len(&self) -> usize {
        self.judged.len()
    }

    pub fn is_empty(&self) -> bool {
        self.judged.is_empty()
    }
}

/// Sees the steps as they are done.
pub trait StepsSeen: Send {
    /// The migration that is run now, judged or not.
    fn begins(&mut self, id: &str);
    fn judged(&mut self, report: &StepReport);
}

/// Judges every migration of a folder, each on the schema that those before it leave.
pub fn plan(set: &MigrationSet) -> CheckPlan {
    CheckPlan {
        tool: set.tool.to_string(),
        span: None,
        base: Vec::new(),
        judged: set.migrations.iter().cloned().map(Arc::new).collect(),
        remarks: remarks(set),
    }
}

/// Judges what `new` has and `old` has not, on the schema that `old` leaves.
pub fn plan_span(old: &MigrationSet, new: &MigrationSet, span: Span) -> CheckPlan {
    let compared = unship_core::tools::compare(old, new);
    let mut remarks = remarks(new);
    remarks.extend(report::span_remarks(&compared));
    CheckPlan {
        tool: new.tool.to_string(),
        span: Some(span),
        base: old.migrations.iter().cloned().map(Arc::new).collect(),
        judged: compared.added.iter().map(|migration| Arc::new((*migration).clone())).collect(),
        remarks,
    }
}

fn remarks(set: &MigrationSet) -> Vec<String> {
    set.remarks.iter().map(|remark| format!("{}: {}", remark.path, remark.text)).collect()
}

/// Runs the plan. Fails only if the shadow itself does.
pub async fn execute(
    plan: CheckPlan,
    shadow: &mut dyn Shadow,
    seen: &mut dyn StepsSeen,
) -> Result<CheckReport, ShadowFailure> {
    let started = Instant::now();
    let mut remarks = plan.remarks;
    for migration in &plan.base {
        seen.begins(&migration.id);
        if let Err(failure) = shadow.apply(migration).await? {
            remarks.push(format!("{} could not run, because {}", migration.id, failure.placed()));
        }
    }
    let judging = Instant::now();
    let mut steps: Vec<StepReport> = Vec::with_capacity(plan.judged.len());
    let mut groups = Groups::default();
    for migration in &plan.judged {
        seen.begins(&migration.id);
        // Reading the text and running it take different things: one this process, one the server.
        let told = tokio::task::spawn_blocking({
            let migration = Arc::clone(migration);
            move || read(&migration)
        });
        let run = shadow.step(migration).await?;
        let told = told.await.map_err(|error| ShadowFailure {
            message: format!("reading `{}` failed: {error}", migration.id),
            hint: None,
        })?;
        let step = judge(migration, &told, &run);
        groups.add(Arc::clone(migration), &step, run.before);
        steps.push(step);
        groups.settle(shadow, &mut steps).await?;
        if let Some(step) = steps.last() {
            seen.judged(step);
        }
    }
    Ok(CheckReport::of(
        plan.tool,
        shadow.name(),
        plan.span,
        steps,
        remarks,
        started.elapsed(),
        judging.elapsed(),
    ))
}

fn read(migration: &Migration) -> Told {
    Told {
        up: sql::facts(&migration.up.sql),
        down: migration.down.script().map_or_else(Facts::default, |down| sql::facts(&down.sql)),
    }
}
