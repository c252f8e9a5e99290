//! The list of what was salvaged: a row a step down, with the layout of its stores.

use serde::{Deserialize, Serialize};
use sqlx::{Row as _, SqliteConnection};
use unship_core::down::{LossKind, Program};
use unship_core::release::Release;
use unship_core::time::Timestamp;
use unship_core::tools::Tool;

use super::connect::say;
use super::failure::{failed, refused};
use super::name;
use crate::ports::{DatabaseFailure, Salvaged, StepBy, Store};

const MAKE: &str = "CREATE TABLE IF NOT EXISTS main.unship_salvage (id INTEGER PRIMARY KEY, run TEXT NOT NULL, \
    step INTEGER NOT NULL, tool TEXT NOT NULL, migration TEXT NOT NULL, version TEXT NOT NULL, release_tag TEXT, \
    release_digest TEXT, who TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL, stores TEXT NOT NULL, \
    restored_ms INTEGER, UNIQUE (run, step))";

/// What was saved of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The table, by its name before the down.
    pub table: String,
    /// Where it is kept.
    pub place: String,
    /// The stored columns of the table before the down. They have the same names in the store.
    pub columns: Vec<String>,
    /// Those that were there after the down too.
    pub kept: Vec<String>,
    /// What tells its rows apart; none where the rowid does.
    pub key: Option<Vec<String>>,
    /// Whether the values that kept columns had after the down are stored beside: some were changed.
    pub has_after: bool,
    pub losses: Vec<LossKind>,
    pub rows: u64,
    pub bytes: u64,
    /// The highest rowid that AUTOINCREMENT has given out, for a table that was dropped.
    pub sequence: Option<i64>,
    /// Whether it had rows before the down whose foreign keys pointed nowhere.
    pub dangled: bool,
}

/// One step's salvage.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: i64,
    pub tool: Tool,
    pub layouts: Vec<Layout>,
    pub salvaged: Salvaged,
}

/// The number of the next salvage. The list is made where it is missing.
pub async fn next(conn: &mut SqliteConnection) -> Result<i64, DatabaseFailure> {
    say(conn, MAKE).await.map_err(|error| failed("making the list of what is salvaged", &error))?;
    sqlx::query_scalar("SELECT coalesce(max(id), 0) + 1 FROM main.unship_salvage")
        .fetch_one(conn)
        .await
        .map_err(|error| failed("numbering what is salvaged", &error))
}

/// Writes down what was salvaged.
pub async fn write(
    conn: &mut SqliteConnection,
    id: i64,
    program: &Program,
    by: &StepBy,
    layouts: &[Layout],
) -> Result<(), DatabaseFailure> {
    let stores = serde_json::to_string(layouts).map_err(|error| {
        refused(format!("the layout of the salvage cannot be written: {error}"), "report it")
    })?;
    let written =
        sqlx::query("INSERT INTO main.unship_salvage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)")
            .bind(id)
            .bind(by.run.as_str())
            .bind(i64::try_from(by.step).unwrap_or(i64::MAX))
            .bind(program.tool.name())
            .bind(&program.migration)
            .bind(&program.version)
            .bind(by.release.as_ref().map(|release| release.tag.to_string()))
            .bind(by.release.as_ref().map(|release| release.digest.to_string()))
            .bind(&by.who)
            .bind(&by.reason)
            .bind(by.at.0)
            .bind(stores)
            .execute(conn)
            .await;
    written.map(drop).map_err(|error| failed("writing down what was salvaged", &error))
}

/// Everything that was salvaged and is still there, newest first.
pub async fn all(conn: &mut SqliteConnection) -> Result<Vec<Kept>, DatabaseFailure> {
    let failing = |error| failed("reading what is salvaged", &error);
    if !is_table(conn, "unship_salvage").await? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT * FROM main.unship_salvage ORDER BY id DESC")
        .fetch_all(conn)
        .await
        .map_err(failing)?;
    rows.iter().map(kept).collect()
}

/// Whether there is a table of this name.
pub async fn is_table(conn: &mut SqliteConnection, table: &str) -> Result<bool, DatabaseFailure> {
    sqlx::query_scalar("SELECT count(*) > 0 FROM main.sqlite_schema WHERE type = 'table' AND name = ?")
        .bind(table)
        .fetch_one(conn)
        .await
        .map_err(|error| failed(format_args!("looking for the table `{table}`"), &error))
}

/// The one that is meant.
pub async fn find(conn: &mut SqliteConnection, salvage: &Salvaged) -> Result<Kept, DatabaseFailure> {
    let found = all(conn)
        .await?
        .into_iter()
        .find(|kept| kept.salvaged.run == salvage.run && kept.salvaged.step == salvage.step);
    found.ok_or_else(|| {
        refused(
            format!("there is no salvage of run {}, step {}", salvage.run, salvage.step),
            "unship salvage list",
        )
    })
}

fn kept(row: &sqlx::sqlite::SqliteRow) -> Result<Kept, DatabaseFailure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        refused(
            format!("a row of unship_salvage cannot be read: {error}"),
            "look at the table; who wrote it?",
        )
    };
    let text = |column: &str| row.try_get::<String, _>(column).map_err(|error| unreadable(&error));
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(|error| unreadable(&error));
    let layouts: Vec<Layout> = serde_json::from_str(&text("stores")?).map_err(|error| unreadable(&error))?;
    let store = |layout: &Layout, kind: &LossKind| Store {
        kind: kind.clone(),
        place: name::object(&layout.place),
        rows: layout.rows,
        bytes: layout.bytes,
    };
    let stores = layouts.iter().flat_map(|layout| layout.losses.iter().map(|kind| store(layout, kind)));
    let salvaged = Salvaged {
        run: text("run")?.parse().map_err(|error| unreadable(&error))?,
        step: usize::try_from(number("step")?).map_err(|error| unreadable(&error))?,
        migration: text("migration")?,
        version: text("version")?,
        release: release(row)?,
        at: Timestamp(number("at_ms")?),
        stores: stores.collect(),
        restored: row
            .try_get::<Option<i64>, _>("restored_ms")
            .map_err(|error| unreadable(&error))?
            .map(Timestamp),
    };
    let tool = text("tool")?.parse().map_err(|error| unreadable(&error))?;
    Ok(Kept { id: number("id")?, tool, layouts, salvaged })
}

/// The release that a row of ours names in two columns.
pub fn release(row: &sqlx::sqlite::SqliteRow) -> Result<Option<Release>, DatabaseFailure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        refused(format!("a release that unship wrote down cannot be read: {error}"), "who changed the row?")
    };
    let perhaps = |column: &str| row.try_get::<Option<String>, _>(column).map_err(|error| unreadable(&error));
    Ok(match (perhaps("release_tag")?, perhaps("release_digest")?) {
        (Some(tag), Some(digest)) => Some(Release {
            tag: tag.parse().map_err(|error| unreadable(&error))?,
            digest: digest.parse().map_err(|error| unreadable(&error))?,
        }),
        _ => None,
    })
}

/// Drops a salvage with its stores, in the open transaction.
pub async fn forget(conn: &mut SqliteConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    for layout in &kept.layouts {
        let sql = format!("DROP TABLE IF EXISTS {}", name::main(&layout.place)?);
        say(conn, &sql).await.map_err(|error| failed(format_args!("dropping `{}`", layout.place), &error))?;
    }
    let deleted =
        sqlx::query("DELETE FROM main.unship_salvage WHERE id = ?").bind(kept.id).execute(conn).await;
    deleted.map(drop).map_err(|error| failed("forgetting the salvage", &error))
}
