//! Puts back what was salvaged, after the migration was applied again: all of it in one transaction, while nobody else
//! writes the tables. What somebody wrote since the step down is left as it is and told.
//!
//! Tables come back first, parents before children, then rows that the down itself changed or deleted, then columns.

mod order;
mod row;
mod since;
mod table;
mod verdict;

use sqlx::PgConnection;
use unship_core::down::LossKind;
use unship_core::sql::ObjectName;
use unship_core::tools::{Rows, about};

use super::layout::Kept;
use super::shelf::{self, Written};
use super::{failed, refused, run, scalar, sequences, settings, settle_later};
use crate::database::postgres::live::rows as versions;
use crate::ports::{CONFLICTS_MAX, Conflict, DatabaseFailure, OnConflict, Progress, Restored, Salvaged};
use since::Since;
use table::Target;

/// How long one statement may take, in milliseconds.
const STATEMENT_MS_MAX: u64 = 3_600_000;

/// Puts back what a salvage holds. With `dry_run` everything is tried and then rolled back.
pub async fn restore(
    conn: &mut PgConnection,
    salvage: &Salvaged,
    conflicts: OnConflict,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Restored, DatabaseFailure> {
    let mut written = shelf::find(conn, salvage).await?;
    expect_applied(conn, &written).await?;
    if written.is_open() {
        shelf::expect_ended(conn, &written).await?;
        settle_later(conn, written.id).await?;
        written = shelf::find(conn, salvage).await?;
    }
    run(conn, "beginning to restore", "BEGIN".to_owned()).await?;
    let restored = inside(conn, &written, conflicts, dry_run, progress).await;
    let end = if restored.is_ok() && !dry_run { "COMMIT" } else { "ROLLBACK" };
    let ended = run(conn, "ending the restore", end.to_owned()).await;
    let restored = restored?;
    ended?;
    Ok(restored)
}

/// What is put back needs the tables and columns of the migration.
async fn expect_applied(conn: &mut PgConnection, written: &Written) -> Result<(), DatabaseFailure> {
    let tool = written.tool()?;
    let Some(facts) = about(tool).table else { return Ok(()) };
    let table = version_table(written)?;
    let (applied, _) = versions::read(conn, tool, &table).await?;
    let is_there = match facts.rows {
        Rows::OnePerVersion => applied.versions.contains(&written.version),
        Rows::OnlyNewest { .. } => {
            let number = |text: &String| text.parse::<u128>().ok();
            applied.versions.iter().any(|newest| number(newest) >= number(&written.version))
        }
    };
    if is_there && !applied.dirty {
        return Ok(());
    }
    Err(refused(
        format!("{} is not applied: what its down destroyed has no place yet", written.migration),
        "apply it again first: `unship migrate up`",
    ))
}

fn version_table(written: &Written) -> Result<ObjectName, DatabaseFailure> {
    ObjectName::parse(&written.version_table).ok_or_else(|| {
        refused(format!("the salvage names a table `{}`", written.version_table), "look at _unship.salvage")
    })
}

async fn inside(
    conn: &mut PgConnection,
    written: &Written,
    conflicts: OnConflict,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Restored, DatabaseFailure> {
    let what = "preparing to restore";
    settings::exact(conn, true).await.map_err(|error| failed(what, &error))?;
    run(conn, what, format!("SET LOCAL statement_timeout = {STATEMENT_MS_MAX}")).await?;
    let mut stores = shelf::stores(conn, written.id).await?;
    let mut targets = Vec::new();
    for kept in &stores {
        targets.push(Target::find(conn, kept).await?);
    }
    table::lock(conn, &targets).await?;
    let since = Since::read(conn, written).await?;
    let has_cycle = order::sort(conn, &mut stores, &mut targets).await?;
    let when = if has_cycle { "DEFERRED" } else { "IMMEDIATE" };
    run(conn, what, format!("SET CONSTRAINTS ALL {when}")).await?;
    let quiet = table::quiet(conn, &targets).await?;
    let mut restored = Restored::default();
    for (kept, target) in stores.iter().zip(&targets) {
        progress.note(&format!("restoring {}", kept.layout.table));
        let again = written.restored().is_some();
        let work = verdict::judge(conn, kept, target, &since, conflicts, again).await?;
        let done = row::apply(conn, kept, target).await?;
        restored.rows += done;
        let left = tell(conn, kept, &mut restored).await?;
        restored.same += work.considered.saturating_sub(done + left);
    }
    sequences::advance(conn, written.id, dry_run, &mut restored).await?;
    // A trigger cannot be switched while something waits for the commit.
    run(conn, "the foreign keys after the restore", "SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await?;
    table::loud(conn, quiet).await?;
    if restored.conflicts_count == 0 {
        // What was noted is of no more use.
        for kept in &stores {
            shelf::unwatch(conn, kept).await?;
        }
    }
    sqlx::query("UPDATE _unship.salvage SET restored_at = coalesce(restored_at, now()) WHERE id = $1")
        .bind(written.id)
        .execute(&mut *conn)
        .await
        .map_err(|error| failed("the account of the salvage", &error))?;
    since.note(conn).await?;
    Ok(restored)
}

/// Adds the conflicts of a store to what is told, and leaves them marked in the store; how many there are.
async fn tell(conn: &mut PgConnection, kept: &Kept, restored: &mut Restored) -> Result<u64, DatabaseFailure> {
    let what = format!("noting what is left of {}", kept.layout.table);
    let store = kept.quoted()?;
    let count: i64 =
        scalar(conn, &what, "SELECT count(*) FROM pg_temp.unship_work WHERE verdict = 'c'").await?;
    let count = u64::try_from(count).unwrap_or_default();
    // In one statement: a row that is changed is in another place afterwards.
    let is_left = "EXISTS (SELECT FROM pg_temp.unship_work w WHERE w.place = s.ctid AND w.verdict = 'c')";
    let sql = format!("UPDATE {store} s SET unship_left = {is_left} WHERE s.unship_left OR {is_left}");
    run(conn, &what, sql).await?;
    let room = i64::try_from(CONFLICTS_MAX - restored.conflicts.len().min(CONFLICTS_MAX)).unwrap_or_default();
    let told: Vec<(String, String)> = sqlx::query_as(
        "SELECT coalesce(key, 'a row without a key'), coalesce(why, '') FROM pg_temp.unship_work
        WHERE verdict = 'c' ORDER BY place LIMIT $1",
    )
    .bind(room)
    .fetch_all(conn)
    .await
    .map_err(|error| failed(&what, &error))?;
    let columns = kept.lost().into_iter().filter_map(|kind| match kind {
        LossKind::Column { column, .. } | LossKind::Rewritten { column, .. } => Some(column),
        LossKind::Table { .. } | LossKind::Rows { .. } | LossKind::Sequence { .. } => None,
    });
    let columns: Vec<String> = columns.collect();
    let named = if columns.is_empty() { String::new() } else { format!("{}: ", columns.join(", ")) };
    restored.conflicts.extend(told.into_iter().map(|(key, why)| Conflict {
        table: kept.layout.table.clone(),
        key,
        why: format!("{named}{why}"),
    }));
    restored.conflicts_count += count;
    Ok(count)
}
