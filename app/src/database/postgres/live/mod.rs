//! The service's own PostgreSQL database: looking at it, counting, and the executor of steps.
//!
//! Owns the schema `_unship` in that database, but for the stores of salvage. Decides nothing: which migration is
//! taken down, and what it may destroy, stands in the program.
//!
//! Invariants:
//! * A step down is committed wholly or not at all, and afterwards it is known which. What no transaction can hold is
//!   run only where the program says that this was accepted.
//! * Nothing is changed before the role, the server and the version table have been found fit.
//! * The tables are locked before the first snapshot, and each wait for a lock is bounded.
//! * The URL is read for each call and kept nowhere.

mod commit;
mod connect;
mod count;
mod epoch;
pub(super) mod exclusive;
pub(super) mod failure;
mod fence;
pub(super) mod home;
mod in_the_way;
mod landed;
mod locks;
mod look;
pub(super) mod name;
mod pieces;
mod restore_point;
pub(super) mod rows;
mod step;
mod up;
mod visible;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;
use unship_core::down::{Dialect, Loss, LossKind, Program};
use unship_core::release::Release;
use unship_core::schema::Catalog;
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, Tool};

use super::salvage;
use crate::ports::{
    Database, DatabaseFailure, Fence, Landed, Live, OnConflict, Progress, Restored, Salvaged, StepBy,
    SteppedDown, Tunnels,
};
use connect::{Address, LOOKING};
use step::Step;

/// A database that a file names.
pub struct PostgresDatabase {
    /// The file, which holds the URL and nothing else.
    pub url_file: PathBuf,
    /// The host through which it is reached; none where it is reached from here.
    pub through: Option<Arc<dyn Tunnels>>,
}

impl PostgresDatabase {
    async fn address(&self) -> Result<Address, DatabaseFailure> {
        Address::open(&self.url_file, self.through.as_deref()).await
    }

    /// A connection for what takes no step.
    async fn open(&self) -> Result<(Address, PgConnection), DatabaseFailure> {
        let address = self.address().await?;
        let opened = address.connect(&LOOKING).await;
        let conn = address.hide(opened)?;
        Ok((address, conn))
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn look(&self, tool: Tool) -> Result<Live, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = look::look(&mut conn, tool).await;
        address.close(conn, ended).await
    }

    async fn catalog(&self, tool: Tool) -> Result<Catalog, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = step::read_catalog(&mut conn, None).await;
        let ended = ended.map(|reading| visible::visible(&reading.catalog, tool));
        address.close(conn, ended).await
    }

    async fn count(
        &self,
        kinds: &[LossKind],
        since: Option<Timestamp>,
    ) -> Result<Vec<Loss>, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = count::count(&mut conn, kinds, since).await;
        address.close(conn, ended).await
    }

    async fn in_the_way(&self, before: &Catalog, after: &Catalog) -> Result<Vec<String>, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = in_the_way::in_the_way(&mut conn, before, after).await;
        address.close(conn, ended).await
    }

    async fn step_down(
        &self,
        program: &Program,
        by: &StepBy,
        progress: &dyn Progress,
    ) -> Result<SteppedDown, DatabaseFailure> {
        let address = self.address().await?;
        let ended = step::down(&Step { address: &address, program, by, progress }).await;
        address.hide(ended)
    }

    async fn landed(&self, program: &Program) -> Result<Landed, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = landed::landed(&mut conn, program).await;
        address.close(conn, ended).await
    }

    async fn step_up(&self, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure> {
        let address = self.address().await?;
        let ended = up::up(&address, migration, live).await;
        address.hide(ended)
    }

    async fn fences(&self) -> Result<Vec<Fence>, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = fence::list(&mut conn).await;
        address.close(conn, ended).await
    }

    async fn lift_fences(&self, release: &Release) -> Result<Vec<Fence>, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = fence::lift(&mut conn, release).await;
        address.close(conn, ended).await
    }

    async fn salvaged(&self) -> Result<Vec<Salvaged>, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = salvage::salvaged(&mut conn).await;
        address.close(conn, ended).await
    }

    async fn export(&self, salvage: &Salvaged, folder: &Path) -> Result<Vec<PathBuf>, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = salvage::export(&mut conn, salvage, folder).await;
        address.close(conn, ended).await
    }

    async fn drop_salvage(&self, salvage: &Salvaged) -> Result<(), DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = salvage::drop_salvage(&mut conn, salvage).await;
        address.close(conn, ended).await
    }

    async fn restore(
        &self,
        salvage: &Salvaged,
        conflicts: OnConflict,
        dry_run: bool,
        progress: &dyn Progress,
    ) -> Result<Restored, DatabaseFailure> {
        let (address, mut conn) = self.open().await?;
        let ended = salvage::restore(&mut conn, salvage, conflicts, dry_run, progress).await;
        address.close(conn, ended).await
    }
}
