//! Runs one migration after the other: up, down, up again, with a reading of the catalog after each.
//!
//! The down and the second up run inside one transaction that is rolled back, so the next step starts from where
//! the first up left the database, whatever its down did. What no transaction can hold (CONCURRENTLY and its
//! like) runs in a copy of the database instead.

mod down;
mod locks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use unship_core::down::Trial;
use unship_core::queries::{Outcome, Query};
use unship_core::schema::Catalog;
use unship_core::tools::{Migration, Wrap};
use unship_core::verdict::{DownRun, RunFailure, StepRun};

use super::failure::{Failure, Lack, Privileged};
use super::queries::{self, Held};
use super::script::Prepared;
use super::{Server, Session, ShadowError};
use crate::database::postgres::catalog::{self, Reading};
use crate::database::shadow::Limits;
use crate::ports::{Lent, Shadow, ShadowFailure};

/// How many roles and extensions one script may be given.
const HELP_MAX: usize = 32;

/// Codes by which PostgreSQL says that a statement does not go inside a transaction, or not after what was done
/// in it: the same statement may well go alone.
const NOT_IN_TRANSACTION: [&str; 6] = ["25001", "55P04", "25P01", "2D000", "55006", "0A000"];

/// A table in which a migration tool keeps its own account.
#[derive(Debug, Clone)]
pub struct OwnTable {
    pub name: String,
    /// The tool's own SQL.
    pub create: String,
}

/// A shadow database with the catalog as it is now.
#[derive(Debug)]
pub struct PostgresShadow {
    session: Session,
    reading: Reading,
    limits: Limits,
    version_tables: Vec<String>,
    /// Extensions that are not installed here.
    missing: Vec<String>,
    has_event_trigger: bool,
    /// Something ran since the reading.
    is_stale: bool,
    /// The file of every table that was seen locked; none while locks are not asked for.
    files: Option<BTreeMap<i64, i64>>,
    /// Locks of the script that ran last.
    held: Vec<Held>,
}

/// How the down and the second up went inside one transaction.
enum Nested {
    Ran(DownRun),
    DownFailed(Failure),
    UpFailed(Failure),
    /// The session was left in a state in which the catalog cannot be read.
    Unreadable,
}

impl PostgresShadow {
    /// An empty database on `server`. It gets the migration tool's own tables, which are left out of
    /// every catalog.
    pub async fn open(
        server: Arc<Server>,
        limits: Limits,
        own_tables: &[OwnTable],
    ) -> Result<Self, ShadowError> {
        let mut session = Session::open(server, limits).await?;
        for table in own_tables {
            // Some migrations lock or read their tool's table.
            let sql = super::Piece::Sql(table.create.clone());
            if let Err(failure) = session.run(&[sql], 0).await? {
                return Err(ShadowError::OwnTable { table: table.name.clone(), why: failure.message });
            }
        }
        let version_tables = own_tables.iter().map(|table| table.name.clone()).collect();
        let reading = catalog::read(session.connection().await?).await?;
        Ok(Self {
            session,
            reading,
            limits,
            version_tables,
            missing: Vec::new(),
            has_event_trigger: false,
            is_stale: false,
            files: None,
            held: Vec::new(),
        })
    }

    async fn run_step(&mut self, migration: &Migration) -> Result<StepRun, ShadowError> {
        let started = Instant::now();
        if self.is_stale {
            self.reading = self.read_since_base().await?;
            self.is_stale = false;
        }
        let before = self.visible(&self.reading);
        let mut remarks = Vec::new();
        let up = match Prepared::of(migration.tool, &migration.up, &self.limits) {
            Ok(script) => self.run_alone(script, migration.up.wrap, &mut remarks).await?,
            Err(failure) => Err(failure),
        };
        self.reading = self.read_since_base().await?;
        let up = up.map(|()| self.visible(&self.reading));
        let locks = self.locks_of(migration, &before);
        let down = match (&up, migration.down.script()) {
            (Ok(_), Some(_)) => Some(self.undo_and_redo(migration, &mut remarks).await?),
            _ => None,
        };
        remarks.dedup();
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(StepRun { before, up, down, remarks, took_ms, locks })
    }

    async fn apply_only(&mut self, migration: &Migration) -> Result<Result<(), RunFailure>, ShadowError> {
        let script = match Prepared::of(migration.tool, &migration.up, &self.limits) {
            Ok(script) => script,
            Err(failure) => return Ok(Err(failure)),
        };
        self.is_stale = true;
        let ended = self.run_alone(script, migration.up.wrap, &mut Vec::new()).await?;
        if let Some(files) = &mut self.files {
            files.extend(self.held.iter().map(|held| (held.oid, held.file)));
        }
        Ok(ended)
    }

    async fn undo_and_redo(
        &mut self,
        migration: &Migration,
        remarks: &mut Vec<String>,
    ) -> Result<DownRun, ShadowError> {
        let Some(down_script) = migration.down.script() else {
            return Ok(DownRun { outcome: Ok(self.visible(&self.reading)), again: None });
        };
        let down = match Prepared::of(migration.tool, down_script, &self.limits) {
            Ok(down) => down,
            Err(failure) => return Ok(DownRun { outcome: Err(failure), again: None }),
        };
        // The up has run, so it can be prepared.
        let Ok(up) = Prepared::of(migration.tool, &migration.up, &self.limits) else {
            return Ok(DownRun { outcome: Ok(self.visible(&self.reading)), again: None });
        };
        remarks.extend(down.remarks.iter().cloned());
        let (up, down) = (self.without_missing(up), self.without_missing(down));
        if down.fits_transaction()
            && up.fits_transaction()
            && let Some(run) = self.try_inside_transaction(&down, &up, remarks).await?
        {
            return Ok(run);
        }
        self.session.enter_clone().await?;
        let run = self.run_in_clone(migration, down, down_script.wrap, up, remarks).await;
        self.session.leave_clone().await?;
        run
    }

    /// None if a transaction cannot hold it and so nothing was learnt.
    async fn try_inside_transaction(
        &mut self,
        down: &Prepared,
        up: &Prepared,
        remarks: &mut Vec<String>,
    ) -> Result<Option<DownRun>, ShadowError> {
        let (mut down, mut up) = (down.inside_transaction(), up.inside_transaction());
        for _ in 0..HELP_MAX {
            self.session.say("BEGIN").await?;
            let tried = self.inside_transaction(&down, &up).await;
            // Whatever happened, the transaction must go; a lost connection has taken it along.
            self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION").await?;
            let (script, failure, is_up) = match tried? {
                Nested::Ran(run) => return Ok(Some(run)),
                Nested::Unreadable => return Ok(None),
                Nested::DownFailed(failure) => (&mut down, failure, false),
                Nested::UpFailed(failure) => (&mut up, failure, true),
            };
            match self.help(script, &failure, remarks).await? {
                Some(helped) => *script = helped,
                None if is_up || is_artefact(&failure) => return Ok(None),
                None => {
                    let failure = self.locate(&down, failure).await?;
                    return Ok(Some(DownRun { outcome: Err(down.place(failure)), again: None }));
                }
            }
        }
        Ok(None)
    }

    async fn inside_transaction(&mut self, down: &Prepared, up: &Prepared) -> Result<Nested, ShadowError> {
        self.session.start_clock();
        if let Err(failure) = self.run_nested(down).await? {
            return Ok(Nested::DownFailed(failure));
        }
        let Some(undone) = self.read_nested().await? else { return Ok(Nested::Unreadable) };
        self.session.start_clock();
        if let Err(failure) = self.run_nested(up).await? {
            return Ok(Nested::UpFailed(failure));
        }
        let Some(again) = self.read_nested().await? else { return Ok(Nested::Unreadable) };
        Ok(Nested::Ran(DownRun { outcome: Ok(undone), again: Some(Ok(again)) }))
    }

    /// PostgreSQL says where a mistake in the words is, but not which of several statements was refused. So they
    /// are sent one by one, in a transaction that is rolled back, until the same thing happens.
    async fn locate(&mut self, script: &Prepared, failure: Failure) -> Result<Failure, ShadowError> {
        if failure.position.is_some() || failure.is_connection_lost || !script.fits_transaction() {
            return Ok(failure);
        }
        let script = script.inside_transaction();
        let Some((statements, starts)) = script.statement_by_statement(failure.piece) else {
            return Ok(failure);
        };
        self.session.say("BEGIN; RESET ALL").await?;
        self.session.start_clock();
        let mut found = self.session.run(&script.pieces[..failure.piece], 0).await?;
        if found.is_ok() {
            found = self.session.run(&statements, 0).await?;
        }
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION").await?;
        let position = match found {
            Err(again) if again.message == failure.message => starts.get(again.piece).copied(),
            _ => None,
        };
        Ok(Failure { position, ..failure })
    }

    /// Runs a script inside the open transaction, and then what would otherwise wait for the commit.
    async fn run_nested(&mut self, script: &Prepared) -> Result<Result<(), Failure>, ShadowError> {
        self.session.say("RESET ALL").await?;
        let last = script.pieces.len().saturating_sub(1);
        if let Err(failure) = self.session.run(&script.pieces, 0).await? {
            return Ok(Err(failure));
        }
        let end = "SET CONSTRAINTS ALL IMMEDIATE; RESET ROLE; RESET SESSION AUTHORIZATION";
        let end = [super::Piece::Sql(end.to_owned())];
        let ended = self.session.run(&end, 0).await?;
        Ok(ended.map_err(|failure| Failure { piece: last, position: None, ..failure }))
    }

    /// None if the script has left the session in a state in which it cannot be read.
    async fn read_nested(&mut self) -> Result<Option<Catalog>, ShadowError> {
        match catalog::read_since(self.session.connection().await?, &self.reading).await {
            Ok(reading) => Ok(Some(self.visible(&reading))),
            Err(_) => {
                self.session.forget_connection();
                Ok(None)
            }
        }
    }

    async fn run_in_clone(
        &mut self,
        migration: &Migration,
        down: Prepared,
        down_wrap: Wrap,
        up: Prepared,
        remarks: &mut Vec<String>,
    ) -> Result<DownRun, ShadowError> {
        if let Err(failure) = self.run_alone(down, down_wrap, remarks).await? {
            return Ok(DownRun { outcome: Err(failure), again: None });
        }
        let undone = self.read_since_base().await?;
        let again = match self.run_alone(up, migration.up.wrap, remarks).await? {
            Ok(()) => {
                let reading = self.read_since_base().await?;
                Ok(self.visible(&reading))
            }
            Err(failure) => Err(failure),
        };
        Ok(DownRun { outcome: Ok(self.visible(&undone)), again: Some(again) })
    }

    /// Runs a script as its tool does, giving it what it lacks.
    async fn run_alone(
        &mut self,
        script: Prepared,
        wrap: Wrap,
        remarks: &mut Vec<String>,
    ) -> Result<Result<(), RunFailure>, ShadowError> {
        remarks.extend(script.remarks.iter().cloned());
        let mut script = self.without_missing(script);
        let mut from = 0;
        self.session.start_clock();
        for _ in 0..HELP_MAX {
            // What is cut for a superuser was one query, and one query is one transaction.
            let wraps = wrap == Wrap::Transaction || script.was_cut() && !script.controls_transactions();
            let failure = match self.run_once(&script, wraps, from).await? {
                Ok(()) => return Ok(Ok(())),
                Err(failure) => failure,
            };
            let Some(helped) = self.help(&script, &failure, remarks).await? else {
                let failure = if wraps { self.locate(&script, failure).await? } else { failure };
                return Ok(Err(script.place(failure)));
            };
            // In a transaction nothing has happened yet; else all before the failure has.
            from = if wraps { 0 } else { script.restart_before(failure.piece) };
            script = helped;
        }
        let why = format!("not finished: it lacks more than {HELP_MAX} roles or extensions");
        Ok(Err(RunFailure::not_sent(&script.path(), None, why)))
    }

    /// The script with what it lacked, or none if that cannot be given.
    async fn help(
        &mut self,
        script: &Prepared,
        failure: &Failure,
        remarks: &mut Vec<String>,
    ) -> Result<Option<Prepared>, ShadowError> {
        let Some(lack) = failure.lack() else { return Ok(None) };
        let (helped, remark) = match &lack {
            Lack::Role(name) => {
                let helped = self.session.make_role(name).await?.then(|| script.clone());
                (helped, format!("role `{name}` made for this run"))
            }
            Lack::Extension(name) if self.missing.contains(name) => return Ok(None),
            Lack::Extension(name) => {
                self.missing.push(name.clone());
                let helped = script.without_extension(name);
                (Some(helped), format!("extension `{name}` is not installed here: ran without it"))
            }
            Lack::Superuser(_) if !self.session.can_elevate() || self.has_event_trigger => return Ok(None),
            Lack::Superuser(wanted) => {
                // From now on every statement of a superuser could set off code of a migration.
                self.has_event_trigger |= *wanted == Privileged::EventTrigger;
                (script.elevated(wanted), remark_on(wanted))
            }
        };
        if helped.is_some() && !remarks.contains(&remark) {
            remarks.push(remark);
        }
        Ok(helped)
    }

    fn without_missing(&self, script: Prepared) -> Prepared {
        self.missing.iter().fold(script, |script, extension| script.without_extension(extension))
    }

    async fn run_once(
        &mut self,
        script: &Prepared,
        wraps: bool,
        from: usize,
    ) -> Result<Result<(), Failure>, ShadowError> {
        self.held.clear();
        if !wraps && self.files.is_some() && script.fits_transaction() {
            return self.run_apart(script, from).await;
        }
        // Readings leave a search path of their own.
        let start = if wraps { "RESET ALL; BEGIN" } else { "RESET ALL" };
        self.session.say(start).await?;
        let mut outcome = self.session.run(&script.pieces, from).await?;
        if wraps && outcome.is_ok() && self.files.is_some() && script.fits_transaction() {
            self.note_locks().await?;
        }
        if wraps && outcome.is_ok() {
            let last = script.pieces.len().saturating_sub(1);
            let commit = [super::Piece::Sql("COMMIT".to_owned())];
            outcome = self.session.run(&commit, 0).await?;
            outcome = outcome.map_err(|failure| Failure { piece: last, position: None, ..failure });
        }
        // What a script leaves open or set ends with its session; here the session goes on.
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION; DISCARD TEMP").await?;
        Ok(outcome)
    }

    /// The catalog of the database that is worked in; if the session has lost its statements, with a new one.
    async fn read_since_base(&mut self) -> Result<Reading, ShadowError> {
        if let Ok(reading) = catalog::read_since(self.session.connection().await?, &self.reading).await {
            return Ok(reading);
        }
        self.session.forget_connection();
        Ok(catalog::read_since(self.session.connection().await?, &self.reading).await?)
    }

    /// Without the tool's own tables.
    fn visible(&self, reading: &Reading) -> Catalog {
        reading.catalog.without_tables(&self.version_tables)
    }

    async fn undo_all(&mut self, newest_first: &[&Migration]) -> Result<Option<Catalog>, ShadowError> {
        self.session.say("BEGIN").await?;
        let mut undone = Ok(None);
        for migration in newest_first {
            let script =
                migration.down.script().map(|script| Prepared::of(migration.tool, script, &self.limits));
            let Some(Ok(script)) = script else {
                undone = Ok(None);
                break;
            };
            let script = self.without_missing(script);
            if !script.fits_transaction() {
                undone = Ok(None);
                break;
            }
            let script = script.inside_transaction();
            self.session.start_clock();
            match self.run_nested(&script).await {
                Ok(Ok(())) => undone = Ok(Some(())),
                Ok(Err(_)) => {
                    undone = Ok(None);
                    break;
                }
                Err(error) => {
                    undone = Err(error);
                    break;
                }
            }
        }
        let read = match undone {
            Ok(Some(())) => self.read_nested().await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION").await?;
        read
    }
}

/// May the same statement go well outside the transaction that it was tried in?
fn is_artefact(failure: &Failure) -> bool {
    failure.is_connection_lost || NOT_IN_TRANSACTION.iter().any(|code| failure.has_code(code))
}

fn remark_on(wanted: &Privileged) -> String {
    match wanted {
        Privileged::CreateExtension(name) => format!("extension `{name}` needs a superuser, and got one"),
        Privileged::SystemTriggers => "`TRIGGER ALL` needs a superuser, and got one".to_owned(),
        Privileged::Catalog(table) => format!("writing to `{table}` needs a superuser, and got one"),
        Privileged::Owner => "`OWNER TO` needs a superuser here, and got one".to_owned(),
        Privileged::EventTrigger => "an event trigger needs a superuser, and got one".to_owned(),
        Privileged::PublicationOfAll => {
            "a publication of all tables needs a superuser, and got one".to_owned()
        }
    }
}

#[async_trait]
impl Shadow for PostgresShadow {
    async fn step(&mut self, migration: &Migration) -> Result<StepRun, ShadowFailure> {
        self.run_step(migration).await.map_err(ShadowFailure::from)
    }

    async fn apply(&mut self, migration: &Migration) -> Result<Result<(), RunFailure>, ShadowFailure> {
        self.apply_only(migration).await.map_err(ShadowFailure::from)
    }

    async fn take_down(&mut self, migration: &Migration) -> Result<Trial, ShadowFailure> {
        self.run_down(migration).await.map_err(ShadowFailure::from)
    }

    async fn undo_together(&mut self, newest_first: &[&Migration]) -> Result<Option<Catalog>, ShadowFailure> {
        self.undo_all(newest_first).await.map_err(ShadowFailure::from)
    }

    async fn plan_queries(
        &mut self,
        queries: &[Query],
        role: Option<&str>,
    ) -> Result<Vec<Outcome>, ShadowFailure> {
        queries::plan(&mut self.session, queries, role).await.map_err(ShadowFailure::from)
    }

    async fn catalog(&mut self) -> Result<Catalog, ShadowFailure> {
        self.reading = self.read_since_base().await?;
        self.is_stale = false;
        Ok(self.visible(&self.reading))
    }

    async fn lend(&mut self, applied: &[Migration]) -> Result<Lent, ShadowFailure> {
        let url = self.session.lend(applied).await?;
        let folder = tempfile::tempdir().map_err(ShadowError::Directory)?;
        Ok(Lent { url, folder })
    }

    fn watch_locks(&mut self) {
        self.files.get_or_insert_with(BTreeMap::new);
    }

    fn name(&self) -> String {
        let number = self.session.version.split(' ').next().unwrap_or_default();
        format!("PostgreSQL {number}")
    }

    async fn close(self: Box<Self>) -> Result<(), ShadowFailure> {
        self.session.close().await.map_err(ShadowFailure::from)
    }
}

impl From<ShadowError> for ShadowFailure {
    fn from(error: ShadowError) -> Self {
        Self { hint: error.hint().map(str::to_owned), message: error.to_string() }
    }
}
