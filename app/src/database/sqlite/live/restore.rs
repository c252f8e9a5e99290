//! Puts back what a step down took away, after its migration was applied again: in one transaction, each row once.
//!
//! The table's triggers are away meanwhile: what they wrote is saved and put back as what it is.

use sqlx::SqliteConnection;
use unship_core::tools::{Rows, about};

use super::connect::{self, Address, Opening, begin, commit, roll_back, say};
use super::failure::{failed, refused};
use super::kept::{self, Kept};
use super::returning::Returning;
use super::{name, rows, table};
use crate::ports::{DatabaseFailure, OnConflict, Progress, Restored, Salvaged};

/// How long one try waits for the lock, in milliseconds, and how often that is tried.
const LOCK_MS_MAX: u64 = 5_000;
const ATTEMPTS_MAX: u32 = 6;
/// How often rows are put back without those that would point to nothing.
const TURNS_MAX: usize = 16;

/// Puts it back; with `dry_run` all of it is rolled back.
pub async fn restore(
    address: &Address,
    salvage: &Salvaged,
    conflicts: OnConflict,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Restored, DatabaseFailure> {
    // What one statement writes may point to what the next one brings.
    let mut conn = address.open(Opening { foreign_keys: false, lock_ms_max: LOCK_MS_MAX }).await?;
    let work = async {
        begin(&mut conn, ATTEMPTS_MAX, progress).await?;
        let restored = inside(&mut conn, salvage, conflicts, progress).await?;
        if !dry_run {
            commit(&mut conn, ATTEMPTS_MAX).await?;
        }
        Ok(restored)
    };
    let ended = work.await;
    if ended.is_err() || dry_run {
        roll_back(&mut conn).await;
    }
    connect::close(conn, ended).await
}

async fn inside(
    conn: &mut SqliteConnection,
    salvage: &Salvaged,
    conflicts: OnConflict,
    progress: &dyn Progress,
) -> Result<Restored, DatabaseFailure> {
    let kept = kept::find(conn, salvage).await?;
    expect_applied(conn, &kept).await?;
    let version_table = about(kept.tool).table.map(|table| table.name);
    let tables = table::read(conn, "main", version_table).await?;
    let mut all = Vec::with_capacity(kept.layouts.len());
    for (number, layout) in kept.layouts.iter().enumerate() {
        let table = tables.iter().find(|table| name::same(&table.name, &layout.table));
        let missing = match table {
            None => Some(format!("there is no table `{}`", layout.table)),
            Some(table) => {
                let missing = layout.columns.iter().find(|column| table.column(column).is_none());
                missing.map(|column| format!("the table `{}` has no column `{column}`", layout.table))
            }
        };
        match (table, missing) {
            (Some(table), None) => all.push(Returning::new(number, layout, table)?),
            (_, missing) => {
                return Err(refused(
                    format!(
                        "{}; so {} is not as it was",
                        missing.unwrap_or_default(),
                        kept.salvaged.migration
                    ),
                    format!(
                        "what is salvaged can be written to files: unship salvage export {}",
                        salvage.run
                    ),
                ));
            }
        }
    }
    let names: Vec<&str> = kept.layouts.iter().map(|layout| layout.table.as_str()).collect();
    let triggers = take_triggers(conn, &names).await?;
    put_back(conn, &mut all, conflicts, progress).await?;
    let mut restored = Restored::default();
    for one in &all {
        one.finish(conn, &mut restored).await?;
    }
    for sql in triggers {
        say(conn, &sql).await.map_err(|error| failed("making a trigger again", &error))?;
    }
    let recorded = sqlx::query(
        "UPDATE main.unship_salvage SET restored_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id = ?",
    );
    recorded
        .bind(kept.id)
        .execute(conn)
        .await
        .map_err(|error| failed("writing down that it was put back", &error))?;
    Ok(restored)
}

/// Writes what can be written. Rows that would point to nothing are left as they are, and since others may have been
/// written because of them, all is done again without them.
async fn put_back(
    conn: &mut SqliteConnection,
    all: &mut [Returning<'_>],
    conflicts: OnConflict,
    progress: &dyn Progress,
) -> Result<(), DatabaseFailure> {
    for _ in 0..TURNS_MAX {
        turn(conn, "SAVEPOINT unship_put_back").await?;
        for one in &mut *all {
            progress.said(&format!("putting back `{}`", one.layout.table));
            one.put_back(conn, conflicts).await?;
        }
        take_out_dangling(conn, all).await?;
        let mut dangles = false;
        for one in &mut *all {
            dangles |= one.leave_dangling(conn).await?;
        }
        if !dangles {
            return turn(conn, "RELEASE unship_put_back").await;
        }
        turn(conn, "ROLLBACK TO unship_put_back; RELEASE unship_put_back").await?;
    }
    Err(refused(
        "putting the rows back would leave some that point to rows which are gone since",
        "what is salvaged can be written to files: unship salvage export",
    ))
}

async fn turn(conn: &mut SqliteConnection, sql: &str) -> Result<(), DatabaseFailure> {
    say(conn, sql).await.map_err(|error| failed("putting rows back", &error))
}

/// Fails unless the migration is applied again.
async fn expect_applied(conn: &mut SqliteConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    let Some(table) = about(kept.tool).table else { return Ok(()) };
    let (applied, _) = rows::read(conn, kept.tool).await?;
    let wanted = &kept.salvaged.version;
    let number = |version: &str| version.parse::<i128>().ok();
    let is_applied = match table.rows {
        Rows::OnePerVersion => applied.versions.contains(wanted),
        Rows::OnlyNewest { .. } => applied.versions.iter().any(|newest| number(newest) >= number(wanted)),
    };
    if is_applied {
        return Ok(());
    }
    Err(refused(
        format!("{} is not applied: what it made is not there to be filled", kept.salvaged.migration),
        "apply it again first: unship migrate up",
    ))
}

/// Takes the triggers of these tables away; the statements that make them again, in their order.
async fn take_triggers(conn: &mut SqliteConnection, tables: &[&str]) -> Result<Vec<String>, DatabaseFailure> {
    let triggers: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid",
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(|error| failed("reading the triggers", &error))?;
    let mut taken = Vec::new();
    for (trigger, of, sql) in triggers {
        if tables.iter().any(|table| name::same(table, &of)) {
            let drop = format!("DROP TRIGGER {}", name::main(&trigger)?);
            let dropped = say(conn, &drop).await;
            dropped.map_err(|error| failed(format_args!("putting the trigger `{trigger}` aside"), &error))?;
            taken.push(sql);
        }
    }
    Ok(taken)
}

/// Takes rows out again that point to rows which are not there, and then those that pointed to these.
async fn take_out_dangling(
    conn: &mut SqliteConnection,
    all: &[Returning<'_>],
) -> Result<(), DatabaseFailure> {
    loop {
        let mut taken = 0;
        for one in all {
            taken += one.take_out_dangling(conn).await?;
        }
        // Each turn takes at least one row out, and no row comes in.
        if taken == 0 {
            return Ok(());
        }
    }
}
