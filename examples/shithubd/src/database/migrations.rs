//! `migrate up|down|status`, and the check that `web` and `worker` make before they start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Acquire, SqlSafeStr as _};

use super::{DatabaseError, Db, each};
use crate::cli::MigrateStep;
use crate::config::Config;
use crate::version;

/// May the database hold migrations that this release does not know?
///
/// Yes: a release that only added to the schema can then be taken back without touching the schema.
const IGNORE_MISSING: bool = true;

const TABLE: &str = "_sqlx_migrations";

struct Source {
    version: i64,
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

/// The migrations of one database. Listed by hand: a missing file then fails the build, and a
/// new one cannot be overlooked by a stale build.
macro_rules! sources {
    ($folder:literal) => {
        sources!(@ $folder,
            1 "0001_forge" "forge",
            2 "0002_jobs" "jobs",
        )
    };
    (@ $folder:literal, $($version:literal $file:literal $name:literal,)+) => {
        &[$(Source {
            version: $version,
            name: $name,
            up: include_str!(concat!("../../migrations/", $folder, "/", $file, ".up.sql")),
            down: include_str!(concat!("../../migrations/", $folder, "/", $file, ".down.sql")),
        }),+]
    };
}

const SQLITE: &[Source] = sources!("sqlite");
const POSTGRES: &[Source] = sources!("postgres");

fn migrator(sources: &[Source]) -> Migrator {
    let side = |source: &Source, kind: MigrationType, sql: &'static str| {
        Migration::new(source.version, Cow::Borrowed(source.name), kind, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(
        sources
            .iter()
            .flat_map(|source| {
                [
                    side(source, MigrationType::ReversibleUp, source.up),
                    side(source, MigrationType::ReversibleDown, source.down),
                ]
            })
            .collect(),
    );
    migrator.set_ignore_missing(IGNORE_MISSING);
    migrator
}

fn sources(db: &Db) -> &'static [Source] {
    match db {
        Db::Sqlite(_) => SQLITE,
        Db::Postgres(_) => POSTGRES,
    }
}

/// The command `migrate`: does the step and returns what to print.
pub async fn run(config: &Config, step: MigrateStep) -> Result<String, DatabaseError> {
    let db = Db::open(config).await?;
    let report = match step {
        MigrateStep::Up => up(&db).await,
        MigrateStep::Down => down(&db).await,
        MigrateStep::Status => status(&db).await,
    };
    db.close().await;
    report
}

pub async fn up(db: &Db) -> Result<String, DatabaseError> {
    let _lock = lock(db)?;
    let before = applied(db).await?;
    let migrator = migrator(sources(db));
    each!(db, pool => {
        let mut connection = pool.acquire().await?;
        migrator.run_direct(None, &mut *connection, false).await?;
    });
    let mut report = String::new();
    for source in sources(db).iter().filter(|source| !before.contains_key(&source.version)) {
        let _ = writeln!(report, "applied {:04} {}", source.version, source.name);
    }
    if report.is_empty() { Ok("nothing to apply".to_owned()) } else { Ok(report) }
}

/// Exactly one step. sqlx would revert the newest migration *that it has a file for*, which is the
/// wrong one when the database is ahead of this release; so the newest applied has to be ours.
async fn down(db: &Db) -> Result<String, DatabaseError> {
    let _lock = lock(db)?;
    let applied = applied(db).await?;
    let mut newest_first = applied.keys().rev();
    let Some(newest) = newest_first.next().copied() else { return Err(DatabaseError::NothingToRevert) };
    let Some(source) = sources(db).iter().find(|source| source.version == newest) else {
        return Err(DatabaseError::NotOurs { version: newest, tag: version::TAG });
    };
    let keep = newest_first.next().copied().unwrap_or(0);
    let migrator = migrator(sources(db));
    each!(db, pool => migrator.undo(pool, keep).await)?;
    Ok(format!("reverted {:04} {}", source.version, source.name))
}

async fn status(db: &Db) -> Result<String, DatabaseError> {
    let applied = applied(db).await?;
    let known = sources(db);
    let mut report = String::new();
    for source in known {
        let state = if applied.contains_key(&source.version) { "applied" } else { "pending" };
        let _ = writeln!(report, "{:04} {state} {}", source.version, source.name);
    }
    for version in applied.keys().filter(|version| known.iter().all(|source| source.version != **version)) {
        let _ = writeln!(report, "{version:04} applied (not of {})", version::TAG);
    }
    Ok(report)
}

/// Does the database fit this release? Everything of ours must be applied and unchanged;
/// newer migrations are the business of [`IGNORE_MISSING`].
pub async fn check(db: &Db) -> Result<(), DatabaseError> {
    let applied = applied(db).await?;
    let migrator = migrator(sources(db));
    for ours in migrator.iter().filter(|migration| migration.migration_type.is_up_migration()) {
        match applied.get(&ours.version) {
            None => return Err(DatabaseError::Behind { version: ours.version }),
            Some(theirs) if theirs.checksum != ours.checksum => {
                return Err(MigrateError::VersionMismatch(ours.version).into());
            }
            Some(_) => {}
        }
    }
    if !migrator.ignore_missing
        && let Some(foreign) = applied.keys().find(|version| !migrator.version_exists(**version))
    {
        return Err(MigrateError::VersionMissing(*foreign).into());
    }
    Ok(())
}

async fn applied(db: &Db) -> Result<BTreeMap<i64, AppliedMigration>, DatabaseError> {
    let list = each!(db, pool => {
        let mut connection = pool.acquire().await?;
        let connection = connection.acquire().await?;
        connection.ensure_migrations_table(TABLE).await?;
        connection.list_applied_migrations(TABLE).await?
    });
    Ok(list.into_iter().map(|migration| (migration.version, migration)).collect())
}

/// sqlx takes an advisory lock on PostgreSQL and none on SQLite, where two instances that start
/// together would apply the same migration twice. A lock file beside the database stands in.
fn lock(db: &Db) -> Result<Option<File>, DatabaseError> {
    let Db::Sqlite(pool) = db else { return Ok(None) };
    let options = pool.connect_options();
    let path = options.get_filename().with_extension("migrate-lock");
    let lock = || {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map(Some).map_err(|source| DatabaseError::Lock { path: path.display().to_string(), source })
}
