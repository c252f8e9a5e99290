//! `check`: what did these migrations do, and can each be taken back?
//!
//! [`plan`] says which migrations are run and which of them are judged; [`execute`] runs them on a shadow and
//! has core judge what was seen. Every judged migration gets an answer, also when it could not be run.

mod between;
mod groups;
mod report;

use std::sync::Arc;
use std::time::Instant;

use unship_core::sql::{self, Facts};
use unship_core::tools::{Migration, MigrationSet};
use unship_core::verdict::{StepReport, StepRun, Told, judge};

use crate::ports::{AtStart, Shadow, ShadowFailure};
pub use between::OldQueries;
use between::{Between, Side};
use groups::Groups;
pub use report::{CheckReport, Schemas, Span, Summary, is_wrong_down};

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
    /// What else is known of the two releases, if there are two.
    between: Option<Between>,
}

impl CheckPlan {
    /// How many steps are judged.
    pub fn len(&self) -> usize {
        self.judged.len()
    }

    pub fn is_empty(&self) -> bool {
        self.judged.is_empty()
    }

    /// Adds what is worth saying beforehand.
    pub fn remark(&mut self, remark: Option<String>) {
        self.remarks.extend(remark);
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
        between: None,
    }
}

/// Judges what comes after the migration `id` in one folder, as if the older release ended with it.
pub fn plan_after(
    set: &MigrationSet,
    id: &str,
    queries: Option<OldQueries>,
    start: AtStart,
) -> Option<CheckPlan> {
    let place = set.migrations.iter().position(|migration| {
        migration.id == id || migration.version.recorded() == id || migration.version.to_string() == id
    })?;
    let old = MigrationSet {
        migrations: set.migrations[..=place].to_vec(),
        ignored: Vec::new(),
        remarks: Vec::new(),
        ..set.clone()
    };
    let newest = set.newest().map_or_else(String::new, |newest| newest.id.clone());
    let span = Span { old: set.migrations[place].id.clone(), new: newest };
    Some(plan_span(&old, set, span, queries, start))
}

/// Judges what `new` has and `old` has not, on the schema that `old` leaves.
pub fn plan_span(
    old: &MigrationSet,
    new: &MigrationSet,
    span: Span,
    queries: Option<OldQueries>,
    start: AtStart,
) -> CheckPlan {
    let compared = unship_core::tools::compare(old, new);
    let mut remarks = remarks(new);
    remarks.extend(report::span_remarks(&compared));
    CheckPlan {
        tool: new.tool.to_string(),
        span: Some(span),
        base: old.migrations.iter().cloned().map(Arc::new).collect(),
        judged: compared.added.iter().map(|migration| Arc::new((*migration).clone())).collect(),
        remarks,
        between: Some(Between::of(old, new, queries, start)),
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
    if plan.between.is_some() {
        shadow.watch_locks();
    }
    for migration in &plan.base {
        seen.begins(&migration.id);
        if let Err(failure) = shadow.apply(migration).await? {
            remarks.push(format!("{} could not run, because {}", migration.id, failure.placed()));
        }
    }
    let before = match &plan.between {
        Some(between) => Some(Side::look(shadow, between).await?),
        None => None,
    };
    let judging = Instant::now();
    let mut steps: Vec<StepReport> = Vec::with_capacity(plan.judged.len());
    let mut ran: Vec<(Told, StepRun)> = Vec::new();
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
        let step = judge(migration, &told, &run, None);
        groups.add(Arc::clone(migration), &step, run.before.clone());
        steps.push(step);
        if before.is_some() {
            ran.push((told, run));
        }
        groups.settle(shadow, &mut steps).await?;
        if let Some(step) = steps.last() {
            seen.judged(step);
        }
    }
    let mut schemas = None;
    let span_verdict = match (&plan.between, before) {
        (Some(between), Some(before)) => {
            let after = Side::look(shadow, between).await?;
            schemas = Some(Schemas { before: before.catalog().clone(), after: after.catalog().clone() });
            Some(between.judge(&plan.judged, &mut steps, &ran, before, after))
        }
        _ => None,
    };
    Ok(CheckReport::of(
        [plan.tool, shadow.name()],
        plan.span,
        span_verdict,
        steps,
        remarks,
        schemas,
        [started.elapsed(), judging.elapsed()],
    ))
}

fn read(migration: &Migration) -> Told {
    Told {
        up: sql::facts(&migration.up.sql),
        down: migration.down.script().map_or_else(Facts::default, |down| sql::facts(&down.sql)),
    }
}
