//! The fence around a migration that was taken down: triggers on the tool's version table.
//!
//! What they say stands in them as a plain text, and their condition compares with one: every SQLite that a tool brings
//! along must be able to read the schema.

use sqlx::{Row as _, SqliteConnection};
use unship_core::down::Program;
use unship_core::release::Release;
use unship_core::sql::quote::{sqlite_identifier, sqlite_text};
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, Rows, VersionTable, about};

use super::connect::say;
use super::failure::{failed, refused};
use super::kept::{is_table, release};
use super::name;
use crate::ports::{DatabaseFailure, Fence, StepBy};

const TABLE: &str = "unship_fence";

const MAKE: &str = "CREATE TABLE IF NOT EXISTS main.unship_fence (id INTEGER PRIMARY KEY, version_table TEXT NOT NULL, \
    version TEXT NOT NULL, migration TEXT NOT NULL, release_tag TEXT, release_digest TEXT, run TEXT NOT NULL, \
    reason TEXT NOT NULL, who TEXT NOT NULL, since_ms INTEGER NOT NULL, UNIQUE (version_table, version))";

/// What a version table is written with.
const WRITES: [&str; 2] = ["INSERT", "UPDATE"];

/// Puts a fence around the program's migration, inside its transaction.
pub async fn put(conn: &mut SqliteConnection, program: &Program, by: &StepBy) -> Result<(), DatabaseFailure> {
    let Some(table) = about(program.tool).table else { return Ok(()) };
    let failing = |error: sqlx::Error| failed("putting up the fence", &error);
    say(conn, MAKE).await.map_err(failing)?;
    for placed in all(conn).await? {
        if name::same(&placed.table, table.name) && placed.fence.version == program.version {
            take_away(conn, &placed).await?;
        }
    }
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO main.unship_fence (version_table, version, migration, release_tag, release_digest, run, reason, \
         who, since_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(table.name)
    .bind(&program.version)
    .bind(&program.migration)
    .bind(by.release.as_ref().map(|release| release.tag.to_string()))
    .bind(by.release.as_ref().map(|release| release.digest.to_string()))
    .bind(by.run.as_str())
    .bind(&by.reason)
    .bind(&by.who)
    .bind(by.at.0)
    .fetch_one(&mut *conn)
    .await
    .map_err(failing)?;
    for write in WRITES {
        say(conn, &trigger(&table, program, by, id, write)?).await.map_err(failing)?;
    }
    Ok(())
}

fn trigger(
    table: &VersionTable,
    program: &Program,
    by: &StepBy,
    id: i64,
    write: &str,
) -> Result<String, DatabaseFailure> {
    let tag = by.release.as_ref().map(|release| release.tag.to_string());
    let words = format!(
        "unship fence: migration {} of release {} was taken down by run {} ({}); it is not applied again before: \
         unship quarantine lift {}",
        program.migration,
        tag.as_deref().unwrap_or("unknown"),
        by.run,
        by.reason,
        tag.as_deref().unwrap_or("TAG")
    );
    let version = format!("NEW.{}", sqlite_identifier(table.version_column)?);
    let condition = match (table.rows, program.version.parse::<i64>()) {
        // Its one row says that everything up to its version is applied.
        (Rows::OnlyNewest { .. }, Ok(number)) => format!("CAST({version} AS INTEGER) >= {number}"),
        _ => format!("CAST({version} AS TEXT) = {}", sqlite_text(&program.version)?),
    };
    // goose may write a row that says of a version that it is not applied.
    let is_up = if table.columns.iter().any(|column| column.name == "is_applied") {
        " AND NEW.is_applied"
    } else {
        ""
    };
    Ok(format!(
        "CREATE TRIGGER main.{} BEFORE {write} ON {} WHEN {condition}{is_up} BEGIN SELECT RAISE(ABORT, {}); END",
        trigger_name(id, write),
        sqlite_identifier(table.name)?,
        sqlite_text(&words.replace('\0', " "))?
    ))
}

fn trigger_name(id: i64, write: &str) -> String {
    format!("unship_fence_{id}_{}", write.to_ascii_lowercase())
}

/// A fence with the version table that it is on.
struct Placed {
    id: i64,
    table: String,
    fence: Fence,
}

async fn all(conn: &mut SqliteConnection) -> Result<Vec<Placed>, DatabaseFailure> {
    if !is_table(conn, TABLE).await? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT * FROM main.unship_fence ORDER BY since_ms, id").fetch_all(conn).await;
    rows.map_err(|error| failed("reading the fences", &error))?.iter().map(placed).collect()
}

fn placed(row: &sqlx::sqlite::SqliteRow) -> Result<Placed, DatabaseFailure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        refused(format!("a row of unship_fence cannot be read: {error}"), "look at the table; who wrote it?")
    };
    let text = |column: &str| row.try_get::<String, _>(column).map_err(|error| unreadable(&error));
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(|error| unreadable(&error));
    let fence = Fence {
        migration: text("migration")?,
        version: text("version")?,
        release: release(row)?,
        run: text("run")?.parse().map_err(|error| unreadable(&error))?,
        reason: text("reason")?,
        since: Timestamp(number("since_ms")?),
    };
    Ok(Placed { id: number("id")?, table: text("version_table")?, fence })
}

/// The fences that stand.
pub async fn list(conn: &mut SqliteConnection) -> Result<Vec<Fence>, DatabaseFailure> {
    Ok(all(conn).await?.into_iter().map(|placed| placed.fence).collect())
}

/// Takes away the fences of the release's artifact, under whatever tag, in the open transaction.
pub async fn lift(conn: &mut SqliteConnection, release: &Release) -> Result<Vec<Fence>, DatabaseFailure> {
    let mut lifted = Vec::new();
    for placed in all(conn).await? {
        if placed.fence.release.as_ref().is_some_and(|of| of.digest == release.digest) {
            take_away(conn, &placed).await?;
            lifted.push(placed.fence);
        }
    }
    Ok(lifted)
}

async fn take_away(conn: &mut SqliteConnection, placed: &Placed) -> Result<(), DatabaseFailure> {
    let failing = |error: sqlx::Error| failed("taking the fence away", &error);
    for write in WRITES {
        // Gone already if somebody dropped the version table.
        let sql = format!("DROP TRIGGER IF EXISTS main.{}", trigger_name(placed.id, write));
        say(conn, &sql).await.map_err(failing)?;
    }
    let deleted =
        sqlx::query("DELETE FROM main.unship_fence WHERE id = ?").bind(placed.id).execute(conn).await;
    deleted.map(drop).map_err(failing)
}

/// Fails where a fence keeps this migration from being applied: before its script runs, whichever way its tool writes.
pub async fn expect_none(conn: &mut SqliteConnection, migration: &Migration) -> Result<(), DatabaseFailure> {
    let Some(table) = about(migration.tool).table else { return Ok(()) };
    let version = migration.version.recorded();
    let number = |version: &str| version.parse::<i128>().unwrap_or_default();
    let holds = |placed: &Placed| {
        let of = placed.fence.version.as_str();
        let is_it = match table.rows {
            Rows::OnlyNewest { .. } => number(version) >= number(of),
            Rows::OnePerVersion => version == of,
        };
        is_it && name::same(&placed.table, table.name)
    };
    let Some(Placed { fence, .. }) = all(conn).await?.into_iter().find(holds) else { return Ok(()) };
    let tag = fence.release.as_ref().map_or("TAG".to_owned(), |release| release.tag.to_string());
    Err(refused(
        format!(
            "a fence stands: migration {} of release {tag} was taken down by run {} ({})",
            fence.migration, fence.run, fence.reason
        ),
        format!("unship quarantine lift {tag}"),
    ))
}
