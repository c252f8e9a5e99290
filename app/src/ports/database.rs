//! The service's own database: looking at it, taking its newest migration down, and what was salvaged on the way.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use unship_core::down::{Applied, Dialect, Loss, LossKind, Program};
use unship_core::protocol::Epoch;
use unship_core::release::{EnvironmentName, Release, RunId, ServiceName};
use unship_core::schema::Catalog;
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, Tool};

use super::Progress;

/// What a database is and what its version table says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Live {
    /// Which database, without secrets: `PostgreSQL 15.8, database shithub`.
    pub name: String,
    /// Its name as the tool's lock key needs it; a file's path for SQLite.
    pub database: String,
    /// The tool's version table as it was found; none if there is none yet.
    pub table: Option<ObjectName>,
    /// What is applied.
    pub applied: Applied,
    /// Checksums that the tool wrote beside its versions: version, checksum.
    pub checksums: Vec<(String, Vec<u8>)>,
    /// Why nothing can be changed there, if so: a read-only replica, a role that does not own its tables.
    pub cannot_change: Option<String>,
}

/// What executing a step down on a copy of the database came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    /// What it destroyed, counted row by row: also what cascades and what triggers do.
    pub losses: Vec<Loss>,
    /// Why it fails on the rows that are there, if it does.
    pub fails: Option<String>,
}

/// On whose behalf a step is taken; written beside what is salvaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepBy {
    pub run: RunId,
    pub step: usize,
    /// The step holds the environment's epoch row for its whole transaction: a lower epoch than the row's is refused.
    pub epoch: Epoch,
    pub service: ServiceName,
    pub environment: EnvironmentName,
    /// The release whose migration it is.
    pub release: Option<Release>,
    /// Why, for whoever runs into the fence.
    pub reason: String,
    pub who: String,
    pub at: Timestamp,
}

/// What a step down did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SteppedDown {
    /// A line each, for the journal: what was salvaged, the restore point, the position in the WAL.
    pub said: Vec<String>,
    /// How long the tables were locked, in microseconds.
    pub locked_us: u64,
}

/// Whether a program has been executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// The version table is as the program found it.
    Before,
    /// It is as the program leaves it.
    After,
    /// Neither, because somebody else came in between; or it cannot be told yet.
    Neither { why: String },
}

/// The database did not do what was asked, and is as it was before, unless `in_doubt`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseFailure {
    /// What went wrong, naming the database, the table, the statement.
    pub message: String,
    /// What to run or change.
    pub hint: Option<String>,
    /// It is not known whether it was done: the connection went at the commit, and cannot be made again. Or it was done
    /// in part, where no transaction can hold it; what is done is told, and stays.
    pub in_doubt: bool,
}

/// Keeps a migration that was taken down from being applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fence {
    pub migration: String,
    pub version: String,
    pub release: Option<Release>,
    pub run: RunId,
    pub reason: String,
    pub since: Timestamp,
}

/// The database of a service. Every method makes its own connection, which goes away with it.
#[async_trait]
pub trait Database: Send + Sync {
    /// Whose SQL it takes.
    fn dialect(&self) -> Dialect;
    /// What it is and what is applied.
    async fn look(&self, tool: Tool) -> Result<Live, DatabaseFailure>;
    /// Its catalog, without the tool's version table and without what unship keeps there.
    async fn catalog(&self, tool: Tool) -> Result<Catalog, DatabaseFailure>;
    /// Counts what would be destroyed. `since`: when the release was deployed.
    async fn count(&self, kinds: &[LossKind], since: Option<Timestamp>)
    -> Result<Vec<Loss>, DatabaseFailure>;
    /// Rows that are in the way of what leads from `before` to `after`: NULLs, duplicates, orphans, values that do
    /// not fit. A sentence each; empty where nothing is.
    async fn in_the_way(&self, before: &Catalog, after: &Catalog) -> Result<Vec<String>, DatabaseFailure>;
    /// Executes steps down on a copy of the database, one after the other up to the first that fails, and says of each
    /// what it did; what a program allows does not matter. None where a database cannot be copied while it is in use:
    /// what its steps destroy is then counted, and what is in their way looked for.
    async fn rehearse(&self, _programs: &[Program]) -> Result<Option<Vec<Rehearsed>>, DatabaseFailure> {
        Ok(None)
    }
    /// Executes a step down, wholly or not at all.
    async fn step_down(
        &self,
        program: &Program,
        by: &StepBy,
        progress: &dyn Progress,
    ) -> Result<SteppedDown, DatabaseFailure>;
    /// Whether a step down was executed.
    async fn landed(&self, program: &Program) -> Result<Landed, DatabaseFailure>;
    /// Applies one migration as its tool would: the next one after those in `live`.
    async fn step_up(&self, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure>;
    /// The fences that stand.
    async fn fences(&self) -> Result<Vec<Fence>, DatabaseFailure>;
    /// Takes the fences of a release away, or all that its artifact has under any tag.
    async fn lift_fences(&self, release: &Release) -> Result<Vec<Fence>, DatabaseFailure>;
    /// What was salvaged and is still there, newest first.
    async fn salvaged(&self) -> Result<Vec<Salvaged>, DatabaseFailure>;
    /// Writes a salvage into files of a new folder, one a store, as JSON lines; the files.
    async fn export(&self, salvage: &Salvaged, folder: &Path) -> Result<Vec<PathBuf>, DatabaseFailure>;
    /// Drops a salvage for good.
    async fn drop_salvage(&self, salvage: &Salvaged) -> Result<(), DatabaseFailure>;
    /// Puts back what a salvage holds, after the migration was applied again, in one transaction. With `dry_run` it
    /// is rolled back.
    async fn restore(
        &self,
        salvage: &Salvaged,
        conflicts: OnConflict,
        dry_run: bool,
        progress: &dyn Progress,
    ) -> Result<Restored, DatabaseFailure>;
}

/// What one step down salvaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Salvaged {
    pub run: RunId,
    pub step: usize,
    pub migration: String,
    pub version: String,
    pub release: Option<Release>,
    pub at: Timestamp,
    pub stores: Vec<Store>,
    /// When it was put back, if it was.
    pub restored: Option<Timestamp>,
}

/// One table's worth of salvaged rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Store {
    /// What was lost.
    pub kind: LossKind,
    /// Where it is kept.
    pub place: ObjectName,
    pub rows: u64,
    pub bytes: u64,
}

/// What is done about a row that was written since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It stays as it is; the saved value stays salvaged.
    #[default]
    Keep,
    /// The saved value is put in its place.
    Saved,
}

/// What putting back came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    pub rows: u64,
    /// Rows that have the saved value already.
    pub same: u64,
    /// Rows that somebody wrote since, at most [`CONFLICTS_MAX`] of them.
    pub conflicts: Vec<Conflict>,
    /// All of them.
    pub conflicts_count: u64,
}

/// How many conflicts are told one by one.
pub const CONFLICTS_MAX: usize = 100;

/// A row that is not as the step down left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    pub table: ObjectName,
    /// Its key, for a person.
    pub key: String,
    /// What is the matter: `the row is gone`, `the row was changed since`.
    pub why: String,
}
