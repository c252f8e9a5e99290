//! What taking migrations down would do to the live database, before anything is touched: each tried on a throwaway
//! database, its loss counted on the live one, and compiled to a program; or why it is refused.

use std::collections::BTreeSet;

use serde::Serialize;
use unship_core::down::{
    Around, Dialect, Known, Loss, LossKind, LossReport, Program, Refusal, Said, Session, Trial, compile,
    newest_not_in, unfit,
};
use unship_core::release::Digest;
use unship_core::schema::{Catalog, Kind, Name};
use unship_core::sql::{self, Facts};
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, MigrationSet, Rows, about};

use super::FlowError;
use crate::ports::{Clock, Database, DatabaseFailure, Live, Progress, Shadow, ShadowFailure, Shadows, World};

/// The steps down that lead to the migrations that stay.
#[derive(Debug, Clone, Serialize)]
pub struct Downs {
    /// The database as it is.
    pub live: Live,
    /// Newest first, in the order in which they are taken; empty if nothing has to be taken down.
    pub steps: Vec<ProposedDown>,
}

/// One step down.
#[derive(Debug, Clone, Serialize)]
pub struct ProposedDown {
    /// The migration's id.
    pub migration: String,
    /// What it destroys, counted on the live database.
    pub report: LossReport,
    /// What will be executed; none where it is refused.
    pub program: Option<Program>,
    /// Why it is refused, all reasons.
    pub refusals: Vec<Refusal>,
    /// What a person should know and that decides nothing: another column order, objects that remain.
    pub remarks: Vec<String>,
}

/// What a proposal is about.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The migrations with their downs, as the bad release carries them.
    pub set: &'a MigrationSet,
    /// The versions that stay applied, as the tool records them.
    pub keep: &'a BTreeSet<String>,
    /// When the release whose writes would be lost was deployed.
    pub deployed_at: Option<Timestamp>,
    /// Whether a fence is put around what is taken down.
    pub fence: bool,
    /// Migrations whose down no transaction can hold and for which that was accepted.
    pub not_atomic: &'a BTreeSet<String>,
}

/// How long one try waits for its locks. Whoever comes after it waits behind it for as long, readers too.
const LOCK_MS_MAX: u64 = 2_000;
/// How often that is tried: a long transaction in the way is waited for half a minute.
const LOCK_ATTEMPTS_MAX: u32 = 15;
/// How long one statement may run: a table of many gigabytes is copied in that time, and nothing hangs for ever.
const STATEMENT_MS_MAX: u64 = 60 * 60_000;

/// What trying and counting needs of the world.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The service's own database.
    pub database: &'a dyn Database,
    /// Throwaway ones.
    pub shadows: &'a dyn Shadows,
    /// Time.
    pub clock: &'a dyn Clock,
    /// What a person sees.
    pub progress: &'a dyn Progress,
}

impl Parts<'_> {
    /// Those of a site, where they are configured.
    pub fn of(world: &World) -> Result<Parts<'_>, FlowError> {
        Ok(Parts {
            database: world.database.as_deref().ok_or(FlowError::NoDatabase)?,
            shadows: world.shadows.as_deref().ok_or(FlowError::NoShadows)?,
            clock: world.clock.as_ref(),
            progress: world.progress.as_ref(),
        })
    }
}

/// Proposes the steps. Changes nothing on the live database.
pub async fn propose(world: &World, wanted: &Wanted<'_>) -> Result<Downs, FlowError> {
    propose_with(&Parts::of(world)?, wanted).await
}

/// The same for a database that need not be a site's.
pub async fn propose_with(parts: &Parts<'_>, wanted: &Wanted<'_>) -> Result<Downs, FlowError> {
    let Parts { database, shadows, progress, .. } = *parts;
    let tool = wanted.set.tool;
    let live = database.look(tool).await?;
    let span = newest_not_in(&live.applied, wanted.set, wanted.keep)?;
    if span.is_empty() {
        return Ok(Downs { live, steps: Vec::new() });
    }
    let title = match span.as_slice() {
        [one] => format!("try the down of {} on a throwaway database", one.id),
        several => format!("try {} downs on a throwaway database", several.len()),
    };
    let applied = live.applied.of(wanted.set);
    let tried = timed(parts, &title, async {
        let mut shadow = shadows.open(tool).await?;
        let tried = try_out(progress, shadow.as_mut(), &applied, span.len()).await;
        // It is thrown away either way; what was seen counts.
        let _ = shadow.close().await;
        Ok(tried?)
    })
    .await?;
    let catalog = database.catalog(tool).await?;
    let mut versions = live.applied.versions.clone();
    let mut steps = Vec::with_capacity(span.len());
    for (place, one) in tried.downs.iter().enumerate() {
        let below = applied.len().checked_sub(place + 2).and_then(|at| applied.get(at));
        let found = Found {
            wanted,
            tried: &tried,
            catalog: &catalog,
            live: &live,
            versions: &versions,
            below: below.map(|migration| migration.version.recorded()),
            is_first: place == 0,
        };
        let title = format!("count what the down of {} would destroy", one.migration.id);
        steps.push(timed(parts, &title, found.step(database, one)).await?);
        versions.remove(one.migration.version.recorded());
        if is_only_newest(wanted.set) {
            versions.extend(below.map(|migration| migration.version.recorded().to_owned()));
        }
    }
    rehearse(parts, database, &mut steps).await?;
    if let (Some(last), Some(refusal)) = (steps.last_mut(), tried.unfit()) {
        last.program = None;
        last.refusals.push(refusal);
    }
    Ok(Downs { live, steps })
}

/// Executes the steps on a copy of the database, where it can be copied: then what they destroy is what they did there,
/// and what stops them there is in their way. Steps behind one that is refused stay as they were counted.
async fn rehearse(
    parts: &Parts<'_>,
    database: &dyn Database,
    steps: &mut [ProposedDown],
) -> Result<(), FlowError> {
    let programs: Vec<Program> = steps.iter().map_while(|step| step.program.clone()).collect();
    if database.dialect() != Dialect::Sqlite || programs.is_empty() {
        return Ok(());
    }
    let title = match programs.as_slice() {
        [one] => format!("try the down of {} on a copy of the database", one.migration),
        several => format!("try {} downs on a copy of the database", several.len()),
    };
    let rehearsed = timed(parts, &title, async { Ok(database.rehearse(&programs).await?) }).await?;
    for (step, one) in steps.iter_mut().zip(rehearsed.unwrap_or_default()) {
        if let Some(why) = one.fails {
            step.program = None;
            step.refusals.push(Refusal::FailsOnData { migration: step.migration.clone(), why });
            continue;
        }
        step.report.losses = one.losses;
        if let Some(program) = &mut step.program {
            program.allowed = step.report.allowed();
        }
    }
    Ok(())
}

/// Does the version table hold the newest version alone?
fn is_only_newest(set: &MigrationSet) -> bool {
    about(set.tool).table.is_some_and(|table| matches!(table.rows, Rows::OnlyNewest { .. }))
}

/// Says that a piece of work is under way, and how it ended.
pub(super) async fn timed<T>(
    parts: &Parts<'_>,
    title: &str,
    work: impl Future<Output = Result<T, FlowError>>,
) -> Result<T, FlowError> {
    parts.progress.started(title);
    let began = parts.clock.now();
    match work.await {
        Ok(value) => {
            parts.progress.done(title, parts.clock.now().since_ms(began));
            Ok(value)
        }
        Err(error) => {
            parts.progress.failed(title, &error.to_string());
            Err(error)
        }
    }
}

/// What a throwaway database showed.
struct Tried {
    /// When all was applied there.
    top: Catalog,
    /// Newest first.
    downs: Vec<TriedDown>,
    /// What did not run there although it is applied on the live database.
    remarks: Vec<String>,
}

impl Tried {
    /// Why the releases that know only what stays cannot run on what all the downs leave, if that is so.
    fn unfit(&self) -> Option<Refusal> {
        let last = self.downs.last()?;
        let ((known, _), left) = (last.around_up.as_ref()?, last.trial.after.as_ref().ok()?);
        let why = unfit(known, left);
        let migration = last.migration.id.clone();
        (!why.is_empty()).then(|| Refusal::LeavesUnfit { migration, why: why.join("; ") })
    }
}

struct TriedDown {
    migration: Migration,
    facts: Facts,
    /// Before and after its up; none where that did not run.
    around_up: Option<(Catalog, Catalog)>,
    trial: Trial,
}

/// Applies what is applied, and takes the newest `count` down again, one after the other.
async fn try_out(
    progress: &dyn Progress,
    shadow: &mut dyn Shadow,
    applied: &[&Migration],
    count: usize,
) -> Result<Tried, ShadowFailure> {
    let (base, span) = applied.split_at(applied.len() - count);
    let mut remarks = Vec::new();
    for migration in base {
        if let Err(failure) = shadow.apply(migration).await? {
            remarks.push(format!(
                "{} did not run on the throwaway database: {}",
                migration.id,
                failure.placed()
            ));
        }
    }
    let mut ups = Vec::with_capacity(count);
    let mut before = shadow.catalog().await?;
    for migration in span {
        let ended = shadow.apply(migration).await?;
        let after = shadow.catalog().await?;
        ups.push(ended.map(|()| (before, after.clone())));
        before = after;
    }
    let top = before;
    let mut downs = Vec::with_capacity(count);
    for (migration, up) in span.iter().zip(ups).rev() {
        progress.note(&format!("the down of {} on {}", migration.id, shadow.name()));
        let told = tokio::task::spawn_blocking({
            let sql = migration.down.script().map(|script| script.sql.clone()).unwrap_or_default();
            move || sql::facts(&sql)
        });
        let (around_up, trial) = match up {
            Ok(around) => (Some(around), shadow.take_down(migration).await?),
            Err(failure) => (None, Trial::failed(shadow.catalog().await?, failure, Vec::new())),
        };
        let facts = told.await.map_err(|error| ShadowFailure {
            message: format!("reading the down of `{}` failed: {error}", migration.id),
            hint: None,
        })?;
        downs.push(TriedDown { migration: (*migration).clone(), facts, around_up, trial });
    }
    Ok(Tried { top, downs, remarks })
}

/// All that one step is judged by.
struct Found<'a> {
    wanted: &'a Wanted<'a>,
    tried: &'a Tried,
    catalog: &'a Catalog,
    live: &'a Live,
    /// What the version table has when the step begins.
    versions: &'a BTreeSet<String>,
    /// The version that is the newest one afterwards.
    below: Option<&'a str>,
    is_first: bool,
}

impl Found<'_> {
    async fn step(&self, database: &dyn Database, one: &TriedDown) -> Result<ProposedDown, FlowError> {
        let known = Known {
            dialect: database.dialect(),
            migration: &one.migration,
            facts: &one.facts,
            trial: &one.trial,
            around_up: one.around_up.as_ref().map(|(before, after)| Around { before, after }),
            top: &self.tried.top,
            live: self.catalog,
        };
        let mut remarks = self.tried.remarks.clone();
        let down = one.migration.down.script().map_or_else(|| Digest::of(b""), |down| down.digest);
        let losses = self.count(database, &known).await?;
        let report = LossReport { migration: one.migration.id.clone(), down, losses };
        let in_the_way = match &one.trial.after {
            Ok(after) => match database.in_the_way(&one.trial.before, &known.asked(after)).await {
                Ok(in_the_way) => in_the_way,
                Err(error) if self.is_first => return Err(error.into()),
                // It is about a schema that is not there yet.
                Err(error) => {
                    remarks.push(format!("whether rows are in its way is seen when its turn comes: {error}"));
                    Vec::new()
                }
            },
            Err(_) => Vec::new(),
        };
        let session = Session {
            lock_ms_max: LOCK_MS_MAX,
            lock_attempts_max: LOCK_ATTEMPTS_MAX,
            statement_ms_max: STATEMENT_MS_MAX,
        };
        let said = Said {
            session: &session,
            table: self.live.table.as_ref(),
            database: &self.live.database,
            applied: self.versions,
            version_before: self.below,
            fence: self.wanted.fence,
            not_atomic: self.wanted.not_atomic.contains(&one.migration.id),
            in_the_way: &in_the_way,
            cannot_change: self.live.cannot_change.as_deref(),
        };
        let compiled = compile(&known, &said, &report);
        remarks.extend(compiled.remarks);
        let (program, refusals) = match compiled.program {
            Ok(program) => (Some(program), Vec::new()),
            Err(refusals) => (None, refusals),
        };
        Ok(ProposedDown { migration: one.migration.id.clone(), report, program, refusals, remarks })
    }

    /// Counts on the live database, under the names that things have there now, what is lost under the names of the
    /// step. What only earlier steps make holds nothing yet; a row that it gets until then stops the step.
    async fn count(&self, database: &dyn Database, known: &Known<'_>) -> Result<Vec<Loss>, FlowError> {
        let kinds = known.losses();
        let live: Vec<(usize, LossKind)> = kinds
            .iter()
            .enumerate()
            .filter_map(|(place, kind)| Some((place, known.in_live(kind)?)))
            .filter(|(_, kind)| self.is_there(database.dialect(), kind))
            .collect();
        let asked: Vec<LossKind> = live.iter().map(|(_, kind)| kind.clone()).collect();
        let counted = if asked.is_empty() {
            Vec::new()
        } else {
            database.count(&asked, self.wanted.deployed_at).await?
        };
        let nothing =
            |kind: &LossKind| Loss { kind: kind.clone(), rows: 0, affected: 0, bytes: 0, since_deploy: None };
        let mut losses: Vec<Loss> = kinds.iter().map(nothing).collect();
        for ((place, kind), counted) in live.iter().zip(counted) {
            if counted.kind != *kind {
                let message = format!("counting {kind:?} was answered with {:?}", counted.kind);
                return Err(DatabaseFailure { message, hint: None, in_doubt: false }.into());
            }
            losses[*place] = Loss { kind: kinds[*place].clone(), ..counted };
        }
        Ok(losses)
    }

    /// Is it there on the live database? If not, that is drift, and the step is refused for that.
    fn is_there(&self, dialect: Dialect, kind: &LossKind) -> bool {
        let schema = kind.table().schema.clone().unwrap_or_else(|| match dialect {
            Dialect::Postgres => "public".to_owned(),
            Dialect::Sqlite => String::new(),
        });
        let table = Name::of(schema, kind.table().name.clone());
        let column = match kind {
            LossKind::Sequence { .. } => return self.catalog.get(Kind::Sequence, &table).is_some(),
            LossKind::Table { .. } | LossKind::Rows { .. } => None,
            LossKind::Column { column, .. } | LossKind::Rewritten { column, .. } => Some(column),
        };
        self.catalog.get(Kind::Table, &table).is_some()
            && column.is_none_or(|column| {
                let part = Name { part: Some(column.clone()), ..table };
                self.catalog.get(Kind::Column, &part).is_some()
            })
    }
}
