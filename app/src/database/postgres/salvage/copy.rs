//! Copies a store's rows while others write: a trigger notes every key that is written, the table is read in pieces,
//! and what was noted is brought over again, the last of it under the step's lock.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::{LossKind, Session};
use unship_core::sql::quote::literal;

use super::layout::{Form, Kept, has_marks};
use super::shape::{self, Leaf, Shape, list};
use super::{failed, run};
use crate::database::postgres::live::failure::{LOCK_NOT_AVAILABLE, is_code};
use crate::ports::{DatabaseFailure, Progress};

/// Pages that one statement reads: some hundred thousand short rows, and a transaction of a second or so.
const PAGES_A_PIECE: i64 = 4_096;
/// A server before 14 reads the whole table to find some pages.
const RANGES_SINCE: i32 = 140_000;
/// Written keys that may be left for the time under the lock.
const LEFT_FOR_LOCK_MAX: i64 = 2_000;
/// How often written keys are brought over before the lock, if more come than can be.
const ROUNDS_MAX: u32 = 12;
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// What was read, so that it can be seen under the lock whether it is still the same files.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    pub leaves: Vec<Leaf>,
}

/// Makes the store's table, empty.
pub(super) async fn make_store(conn: &mut PgConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    let layout = &kept.layout;
    let mut columns =
        list(&layout.columns(), |column| Ok(format!("{} {}", column.quoted()?, column.kept_type())))?;
    if layout.form == Form::Changed {
        columns.push("unship_n bigint GENERATED ALWAYS AS IDENTITY".into());
        columns.push("unship_op text NOT NULL".into());
        columns.push("unship_lacks smallint[]".into());
    }
    if has_marks(&kept.kind) {
        columns.push("unship_mark bigint".into());
        columns.push("unship_touched boolean".into());
        columns.push("unship_after bigint".into());
    }
    if matches!(kept.kind, LossKind::Rewritten { .. }) {
        // What the down made of the value, where taking that back does not give the value again.
        columns.push("unship_made text".into());
    }
    columns.push("unship_left boolean".into());
    let sql = format!("CREATE TABLE {} ({})", kept.quoted()?, columns.join(", "));
    run(conn, &format!("making the store of {}", layout.table), sql).await.map(drop)
}

/// Puts the trigger on that notes the key of each row that is written from now on.
pub(super) async fn watch(
    conn: &mut PgConnection,
    kept: &Kept,
    shape: &Shape,
    session: &Session,
) -> Result<(), DatabaseFailure> {
    let (delta, note) = (kept.delta()?, kept.note()?);
    let columns =
        list(&kept.layout.key, |column| Ok(format!("{} {}", column.quoted()?, column.kept_type())))?;
    let keys = |row: &str| list(&kept.layout.key, |column| column.to_kept(row)).map(|keys| keys.join(", "));
    let body = format!(
        "BEGIN
            IF TG_OP <> 'INSERT' THEN INSERT INTO {delta} SELECT {}; END IF;
            IF TG_OP <> 'DELETE' THEN INSERT INTO {delta} SELECT {}; END IF;
            RETURN NULL;
        END",
        keys("OLD")?,
        keys("NEW")?
    );
    let what = format!("watching {}", shape.name);
    let make = format!(
        "CREATE TABLE {delta} ({});
        CREATE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp AS {};
        REVOKE ALL ON FUNCTION {note}() FROM PUBLIC",
        columns.join(", "),
        literal(&body)?
    );
    run(conn, &what, make).await?;
    let (table, trigger) = (shape.quoted()?, kept.trigger()?);
    // Also for what logical replication writes. It waits for whoever writes the table at the moment.
    let on = format!(
        "BEGIN; CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {note}();
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}; COMMIT"
    );
    for attempt in 1.. {
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(on.clone())).execute(&mut *conn).await else { break };
        // Fails only where the connection is gone, and then there is nothing to take back.
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await;
        if !is_code(&error, &[LOCK_NOT_AVAILABLE]) || attempt >= session.lock_attempts_max {
            return Err(failed(what, &error));
        }
        tokio::time::sleep(Duration::from_millis(200 * u64::from(attempt.min(10)))).await;
    }
    Ok(())
}

/// Copies the table in pieces, each a transaction of its own, then brings over what was written meanwhile.
pub(super) async fn copy_online(
    conn: &mut PgConnection,
    kept: &mut Kept,
    shape: &Shape,
    progress: &dyn Progress,
) -> Result<Copied, DatabaseFailure> {
    let what = format!("copying {} before the lock", shape.name);
    let leaves = shape::leaves(conn, shape.oid).await.map_err(|error| failed(&what, &error))?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| failed(&what, &error))?;
    let (mut rows, mut said) = (0_u64, Instant::now());
    for leaf in &leaves {
        let piece = if version < RANGES_SINCE { leaf.pages.max(1) } else { PAGES_A_PIECE };
        let mut from = 0;
        while from < leaf.pages {
            let to = (from + piece).min(leaf.pages);
            let range = format!("WHERE o.ctid >= '({from},0)'::tid AND o.ctid < '({to},0)'::tid");
            rows += run(conn, &what, insert(kept, &format!("ONLY {}", leaf.quoted), &range)?).await?;
            from = to;
            if said.elapsed() >= SAY_EVERY {
                progress.note(&format!("{what}: {rows} of about {} rows", shape.rows.max(0)));
                said = Instant::now();
            }
        }
    }
    kept.rows = i64::try_from(rows).ok();
    let store = kept.quoted()?;
    run(conn, &what, format!("CREATE INDEX ON {store} ({})", kept.layout.key_names("")?)).await?;
    run(conn, &what, format!("ANALYZE {store}")).await?;
    for _ in 0..ROUNDS_MAX {
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {}", kept.delta()?)))
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| failed(&what, &error))?;
        if left <= LEFT_FOR_LOCK_MAX {
            break;
        }
        progress.note(&format!("{what}: {left} rows were written meanwhile"));
        bring_over(conn, kept, shape).await?;
    }
    Ok(Copied { leaves })
}

/// Whether the table is in the files that were read: all that was written since has gone by the trigger.
pub(super) async fn is_in_same_files(
    conn: &mut PgConnection,
    shape: &Shape,
    copied: &Copied,
) -> Result<bool, DatabaseFailure> {
    let what = format!("looking at the files of {}", shape.name);
    let leaves = shape::leaves(conn, shape.oid).await.map_err(|error| failed(what, &error))?;
    let files =
        |leaves: &[Leaf]| leaves.iter().map(|leaf| (leaf.quoted.clone(), leaf.file)).collect::<Vec<_>>();
    Ok(files(&leaves) == files(&copied.leaves))
}

/// The files that a table is in now.
pub(super) async fn seen(conn: &mut PgConnection, shape: &Shape) -> Result<Copied, DatabaseFailure> {
    let leaves = shape::leaves(conn, shape.oid).await;
    Ok(Copied { leaves: leaves.map_err(|error| failed(format!("looking at {}", shape.name), &error))? })
}

/// Under the lock: what was written last, or everything anew if the table is in other files now.
pub(super) async fn finish(
    conn: &mut PgConnection,
    kept: &mut Kept,
    shape: &Shape,
    copied: &Copied,
) -> Result<Option<String>, DatabaseFailure> {
    let what = format!("the last of {}", shape.name);
    let said = if is_in_same_files(conn, shape, copied).await? {
        bring_over(conn, kept, shape).await?;
        None
    } else {
        run(conn, &what, format!("DELETE FROM {}", kept.quoted()?)).await?;
        copy_whole(conn, kept, shape).await?;
        Some(format!(
            "{} was written anew while it was copied, and was copied again under the lock",
            shape.name
        ))
    };
    stop_watching(conn, kept, &shape.quoted()?).await?;
    Ok(said)
}

/// Takes the trigger and its notes away.
pub(super) async fn stop_watching(
    conn: &mut PgConnection,
    kept: &Kept,
    table: &str,
) -> Result<(), DatabaseFailure> {
    let sql = format!(
        "DROP TRIGGER IF EXISTS {} ON {table}; DROP TRIGGER IF EXISTS {} ON {table}; DROP FUNCTION IF EXISTS {}();
        DROP TABLE IF EXISTS {}",
        kept.trigger()?,
        kept.emptied()?,
        kept.note()?,
        kept.delta()?
    );
    run(conn, "taking the trigger away", sql).await.map(drop)
}

/// Copies the whole table in one statement.
pub(super) async fn copy_whole(
    conn: &mut PgConnection,
    kept: &mut Kept,
    shape: &Shape,
) -> Result<(), DatabaseFailure> {
    let sql = insert(kept, &shape.from()?, "")?;
    let rows = run(conn, &format!("copying {}", shape.name), sql).await?;
    kept.rows = i64::try_from(rows).ok();
    Ok(())
}

/// Reads the rows again whose keys were noted. One statement, which sees a note and the row as it was written
/// together; what is written in between is noted again.
async fn bring_over(conn: &mut PgConnection, kept: &mut Kept, shape: &Shape) -> Result<(), DatabaseFailure> {
    let what = format!("bringing over what was written to {}", shape.name);
    let (delta, store, layout) = (kept.delta()?, kept.quoted()?, &kept.layout);
    // The planner must know that these are few, or it reads the whole table.
    run(conn, &what, format!("ANALYZE {delta}")).await?;
    let keys = layout.key_names("")?;
    let found = format!(
        "(SELECT DISTINCT ON (o.tableoid, o.ctid) o.* FROM noted d JOIN {} o ON {})",
        shape.from()?,
        layout.same_live_key("o", "d", |_| None)?
    );
    let sql = format!(
        "WITH taken AS (DELETE FROM {delta} RETURNING {keys}), noted AS (SELECT DISTINCT {keys} FROM taken),
            gone AS (DELETE FROM {store} s USING noted d WHERE {} RETURNING 1),
            came AS ({} RETURNING 1)
        SELECT (SELECT count(*) FROM came) - (SELECT count(*) FROM gone)",
        layout.same_kept_key("s", "d")?,
        insert(kept, &found, "")?
    );
    let change: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(conn)
        .await
        .map_err(|error| failed(&what, &error))?;
    kept.rows = kept.rows.map(|rows| rows + change);
    Ok(())
}

/// From the rows of `from`, called `o`, into the store.
fn insert(kept: &Kept, from: &str, condition: &str) -> Result<String, DatabaseFailure> {
    let layout = &kept.layout;
    let columns = layout.columns();
    let mut names = list(&columns, super::shape::Column::quoted)?;
    let mut values = list(&columns, |column| column.to_kept("o"))?;
    if has_marks(&kept.kind) {
        names.push("unship_mark".into());
        values.push(layout.mark_as_named("o")?);
    }
    Ok(format!(
        "INSERT INTO {} ({}) SELECT {} FROM {from} o {condition}",
        kept.quoted()?,
        names.join(", "),
        values.join(", ")
    ))
}
