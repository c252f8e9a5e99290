//! Runs one migration after the other: up, down, up again, with a reading of the catalog after each.
//!
//! The down and the second up run inside one transaction that is rolled back, so the next step starts from where
//! the first up left the database, whatever its down did. What no transaction can hold (CONCURRENTLY and its
//! like) runs in a copy of the database instead.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use unship_core::schema::Catalog;
use unship_core::tools::{Migration, Wrap};
use unship_core::verdict::{DownRun, RunFailure, StepRun};

use super::failure::{Failure, Lack};
use super::script::Prepared;
use super::{Server, Session, ShadowError};
use crate::database::postgres::catalog::{self, Reading};
use crate::database::shadow::Limits;
use crate::ports::{Shadow, ShadowFailure};

/// How many roles and extensions one script may be given.
const HELP_MAX: usize = 32;

/// Codes by which PostgreSQL says that a statement does not go inside a transaction, or not after what was done
/// in it: the same statement may well go alone.
const NOT_IN_TRANSACTION: [&str; 6] = ["25001", "55P04", "25P01", "2D000", "55006", "0A000"];

/// A shadow database with the catalog as it is now.
#[derive(Debug)]
pub struct PostgresShadow {
    session: Session,
    reading: Reading,
    limits: Limits,
    version_tables: Vec<String>,
    /// Extensions that are not installed here.
    missing: Vec<String>,
}

impl PostgresShadow {
    /// An empty database on `server`. Tables named in `version_tables` are the migration tool's own and are left
    /// out of every catalog.
    pub async fn open(
        server: Arc<Server>,
        limits: Limits,
        version_tables: Vec<String>,
    ) -> Result<Self, ShadowError> {
        let mut session = Session::open(server, limits).await?;
        let reading = catalog::read(session.connection().await?).await?;
        Ok(Self { session, reading, limits, version_tables, missing: Vec::new() })
    }

    /// Drops the database.
    pub async fn close(self) -> Result<(), ShadowError> {
        self.session.close().await
    }

    /// `PostgreSQL 17.10`.
    pub fn server_name(&self) -> String {
        let number = self.session.version.split(' ').next().unwrap_or_default();
        format!("PostgreSQL {number}")
    }

    async fn run_step(&mut self, migration: &Migration) -> Result<StepRun, ShadowError> {
        let started = Instant::now();
        let before = self.visible(&self.reading);
        let mut remarks = Vec::new();
        let up = match Prepared::of(migration.tool, &migration.up, &self.limits) {
            Ok(script) => self.run_alone(script, migration.up.wrap, &mut remarks).await?,
            Err(failure) => Err(failure),
        };
        self.reading = self.read_since_base().await?;
        let up = up.map(|()| self.visible(&self.reading));
        let down = match (&up, migration.down.script()) {
            (Ok(_), Some(_)) => Some(self.undo_and_redo(migration, &mut remarks).await?),
            _ => None,
        };
        remarks.dedup();
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(StepRun { before, up, down, remarks, took_ms })
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
        let up = self.missing.iter().fold(up, |up, extension| up.without_extension(extension));
        let down = self.missing.iter().fold(down, |down, extension| down.without_extension(extension));
        if let Some(run) = self.try_inside_transaction(&down, &up).await? {
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
    ) -> Result<Option<DownRun>, ShadowError> {
        self.session.say("BEGIN").await?;
        let run = self.inside_transaction(down, up).await;
        // Whatever happened, the transaction must go; a lost connection has taken it along.
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION; RESET ALL").await?;
        run
    }

    async fn inside_transaction(
        &mut self,
        down: &Prepared,
        up: &Prepared,
    ) -> Result<Option<DownRun>, ShadowError> {
        self.session.start_clock();
        if let Err(failure) = self.run_nested(down).await? {
            let is_artefact =
                failure.lack().is_some() || NOT_IN_TRANSACTION.iter().any(|code| failure.has_code(code));
            return Ok((!is_artefact).then(|| DownRun { outcome: Err(down.place(failure)), again: None }));
        }
        let Some(undone) = self.read_nested().await? else { return Ok(None) };
        self.session.start_clock();
        if self.run_nested(up).await?.is_err() {
            return Ok(None);
        }
        let Some(again) = self.read_nested().await? else { return Ok(None) };
        Ok(Some(DownRun { outcome: Ok(undone), again: Some(Ok(again)) }))
    }

    /// Runs a script inside the open transaction, and then what would otherwise wait for the commit.
    async fn run_nested(&mut self, script: &Prepared) -> Result<Result<(), Failure>, ShadowError> {
        let script = script.inside_transaction();
        let last = script.pieces.len().saturating_sub(1);
        if let Err(failure) = self.session.run(&script.pieces, 0).await? {
            return Ok(Err(failure));
        }
        let end = "SET CONSTRAINTS ALL IMMEDIATE; RESET ROLE; RESET SESSION AUTHORIZATION; RESET ALL";
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
        let mut script =
            self.missing.iter().fold(script, |script, extension| script.without_extension(extension));
        let mut from = 0;
        self.session.start_clock();
        for _ in 0..HELP_MAX {
            let failure = match self.run_once(&script, wrap, from).await? {
                Ok(()) => return Ok(Ok(())),
                Err(failure) => failure,
            };
            let Some(lack) = failure.lack() else { return Ok(Err(script.place(failure))) };
            match &lack {
                Lack::Extension(name) if !self.missing.contains(name) => {
                    self.missing.push(name.clone());
                    remarks.push(format!("extension `{name}` is not installed here: ran without it"));
                    script = script.without_extension(name);
                }
                _ if !self.session.provide(&lack).await? => return Ok(Err(script.place(failure))),
                Lack::Role(name) => remarks.push(format!("role `{name}` made for this run")),
                Lack::ExtensionRight(name) => {
                    remarks.push(format!("extension `{name}` created by a superuser"));
                    script = script.without_extension(name);
                }
                Lack::Extension(_) => return Ok(Err(script.place(failure))),
            }
            // In a transaction nothing has happened yet; else all before the failure has.
            from = if wrap == Wrap::Transaction { 0 } else { script.restart_before(failure.piece) };
        }
        let why = format!("not finished: it lacks more than {HELP_MAX} roles or extensions");
        Ok(Err(RunFailure::not_sent(&script.path(), None, why)))
    }

    async fn run_once(
        &mut self,
        script: &Prepared,
        wrap: Wrap,
        from: usize,
    ) -> Result<Result<(), Failure>, ShadowError> {
        if wrap == Wrap::Transaction {
            self.session.say("BEGIN").await?;
        }
        let mut outcome = self.session.run(&script.pieces, from).await?;
        if wrap == Wrap::Transaction && outcome.is_ok() {
            let last = script.pieces.len().saturating_sub(1);
            let commit = [super::Piece::Sql("COMMIT".to_owned())];
            outcome = self.session.run(&commit, 0).await?;
            outcome = outcome.map_err(|failure| Failure { piece: last, position: None, ..failure });
        }
        // What a script leaves open or set ends with its session; here the session goes on.
        self.session
            .say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION; RESET ALL; DISCARD TEMP")
            .await?;
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
            let script =
                self.missing.iter().fold(script, |script, extension| script.without_extension(extension));
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
        self.session.say("ROLLBACK; RESET ROLE; RESET SESSION AUTHORIZATION; RESET ALL").await?;
        read
    }
}

#[async_trait]
impl Shadow for PostgresShadow {
    async fn step(&mut self, migration: &Migration) -> Result<StepRun, ShadowFailure> {
        self.run_step(migration).await.map_err(ShadowFailure::from)
    }

    async fn undo_together(&mut self, newest_first: &[&Migration]) -> Result<Option<Catalog>, ShadowFailure> {
        self.undo_all(newest_first).await.map_err(ShadowFailure::from)
    }

    fn name(&self) -> String {
        self.server_name()
    }
}

impl From<ShadowError> for ShadowFailure {
    fn from(error: ShadowError) -> Self {
        Self { hint: error.hint().map(str::to_owned), message: error.to_string() }
    }
}
