//! The service's own SQLite database: looking at it, trying a step down on a copy, the executor of steps, and what is
//! salvaged on the way.
//!
//! Owns every table and trigger in that database whose name begins with `unship_`. Decides nothing: which migration is
//! taken down, and what it may destroy, stands in the program.
//!
//! Invariants:
//! * A step down is one transaction: wholly there or not at all, whatever is killed when.
//! * Everything that a down destroys is told by comparing all rows with a copy from before: foreign keys cascade in
//!   SQLite without a word, and PRAGMA foreign_keys does nothing inside a transaction.
//! * What is salvaged has the storage class and the rowid that it had.
//! * The URL is read for each call and kept nowhere.

mod ceiling;
mod compare;
pub(super) mod connect;
mod copy;
mod count;
mod epoch;
mod export;
mod failure;
mod fence;
mod kept;
mod landed;
mod look;
mod name;
mod rehearse;
mod restore;
mod returning;
mod rows;
mod script;
mod step;
mod store;
mod table;
mod up;
mod violations;
mod visible;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::SqliteConnection;
use unship_core::down::{Dialect, Loss, LossKind, Program};
use unship_core::release::Release;
use unship_core::schema::Catalog;
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, Tool};

use crate::ports::{
    Database, DatabaseFailure, Fence, Landed, Live, OnConflict, Progress, Rehearsed, Restored, Salvaged,
    StepBy, SteppedDown,
};
use connect::{Address, Opening, begin, commit, roll_back};
use step::Step;

/// How small changes wait for the lock: milliseconds for one try, and how many.
const LOCK_MS_MAX: u64 = 5_000;
const ATTEMPTS_MAX: u32 = 3;

/// A database that a file names.
pub struct SqliteDatabase {
    /// The file, which holds the URL and nothing else.
    pub url_file: PathBuf,
}

/// Nobody watches.
struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

impl SqliteDatabase {
    fn address(&self) -> Result<Address, DatabaseFailure> {
        Address::read(&self.url_file)
    }

    /// Something small in a transaction of its own.
    async fn change<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, DatabaseFailure>,
    ) -> Result<T, DatabaseFailure> {
        let mut conn =
            self.address()?.open(Opening { foreign_keys: false, lock_ms_max: LOCK_MS_MAX }).await?;
        begin(&mut conn, ATTEMPTS_MAX, &Silent).await?;
        let mut ended = work(&mut conn).await;
        if ended.is_ok()
            && let Err(failure) = commit(&mut conn, ATTEMPTS_MAX).await
        {
            ended = Err(failure);
        }
        if ended.is_err() {
            roll_back(&mut conn).await;
        }
        connect::close(conn, ended).await
    }
}

#[async_trait]
impl Database for SqliteDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn look(&self, tool: Tool) -> Result<Live, DatabaseFailure> {
        let address = self.address()?;
        let mut conn = address.look().await?;
        let ended = look::look(&address, &mut conn, tool).await;
        connect::close(conn, ended).await
    }

    async fn catalog(&self, tool: Tool) -> Result<Catalog, DatabaseFailure> {
        let mut conn = self.address()?.look().await?;
        let ended = visible::read(&mut conn, tool).await;
        connect::close(conn, ended).await
    }

    async fn count(
        &self,
        kinds: &[LossKind],
        _since: Option<Timestamp>,
    ) -> Result<Vec<Loss>, DatabaseFailure> {
        let mut conn = self.address()?.look().await?;
        let ended = count::count(&mut conn, kinds).await;
        connect::close(conn, ended).await
    }

    /// The rehearsal finds them all.
    async fn in_the_way(&self, _before: &Catalog, _after: &Catalog) -> Result<Vec<String>, DatabaseFailure> {
        Ok(Vec::new())
    }

    async fn rehearse(&self, programs: &[Program]) -> Result<Option<Vec<Rehearsed>>, DatabaseFailure> {
        rehearse::rehearse(&self.address()?, programs).await.map(Some)
    }

    async fn step_down(
        &self,
        program: &Program,
        by: &StepBy,
        progress: &dyn Progress,
    ) -> Result<SteppedDown, DatabaseFailure> {
        step::down(&Step { address: &self.address()?, program, by, progress }).await
    }

    async fn landed(&self, program: &Program) -> Result<Landed, DatabaseFailure> {
        landed::landed(&self.address()?, program).await
    }

    async fn step_up(&self, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure> {
        up::up(&self.address()?, migration, live).await
    }

    async fn fences(&self) -> Result<Vec<Fence>, DatabaseFailure> {
        let mut conn = self.address()?.look().await?;
        let ended = fence::list(&mut conn).await;
        connect::close(conn, ended).await
    }

    async fn lift_fences(&self, release: &Release) -> Result<Vec<Fence>, DatabaseFailure> {
        let release = release.clone();
        self.change(async |conn| fence::lift(conn, &release).await).await
    }

    async fn salvaged(&self) -> Result<Vec<Salvaged>, DatabaseFailure> {
        let mut conn = self.address()?.look().await?;
        let ended = kept::all(&mut conn).await;
        let ended = ended.map(|all| all.into_iter().map(|kept| kept.salvaged).collect());
        connect::close(conn, ended).await
    }

    async fn export(&self, salvage: &Salvaged, folder: &Path) -> Result<Vec<PathBuf>, DatabaseFailure> {
        let mut conn = self.address()?.look().await?;
        let ended = match kept::find(&mut conn, salvage).await {
            Ok(kept) => export::export(&mut conn, &kept, folder).await,
            Err(failure) => Err(failure),
        };
        connect::close(conn, ended).await
    }

    async fn drop_salvage(&self, salvage: &Salvaged) -> Result<(), DatabaseFailure> {
        let salvage = salvage.clone();
        self.change(async |conn| {
            let kept = kept::find(conn, &salvage).await?;
            kept::forget(conn, &kept).await
        })
        .await
    }

    async fn restore(
        &self,
        salvage: &Salvaged,
        conflicts: OnConflict,
        dry_run: bool,
        progress: &dyn Progress,
    ) -> Result<Restored, DatabaseFailure> {
        restore::restore(&self.address()?, salvage, conflicts, dry_run, progress).await
    }
}
