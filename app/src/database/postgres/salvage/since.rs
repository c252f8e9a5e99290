//! Which rows somebody writes while their migration is down. What a mark is made of need not show it: the column that
//! was written may be one that the down brought and the next up takes away again.
//!
//! The trigger stays until everything is put back or the salvage is dropped. It must never fail: it looks for the key's
//! columns by name and notes nothing of use where a later migration took one away.

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::sql::quote::{QuoteError, literal};

use super::layout::Kept;
use super::{failed, run, scalar};
use crate::ports::DatabaseFailure;

/// How many transactions are noted of a row, the first ones. Migrations and unship itself are fewer, and do not count;
/// so many are somebody's.
const NOTES_MAX: usize = 16;

/// Puts the trigger on, in the transaction of the step. `table` is the live table, quoted, with the names that the
/// columns of the key have now. Without these it is noted that anything was written at all.
pub(super) async fn watch(
    conn: &mut PgConnection,
    kept: &Kept,
    table: &str,
    key: &[String],
) -> Result<(), DatabaseFailure> {
    let mut values = Vec::new();
    for column in key {
        values.push(format!("to_jsonb(OLD) ->> {}", literal(column)?));
    }
    // Which row a new one is like is not known without a key.
    let events = if key.is_empty() { "INSERT OR UPDATE OR DELETE" } else { "UPDATE OR DELETE" };
    let (noted, note, trigger, emptied) = (kept.delta()?, kept.note()?, kept.trigger()?, kept.emptied()?);
    let body = format!(
        "BEGIN
            IF TG_OP = 'TRUNCATE' THEN
                INSERT INTO {noted} VALUES ('{{}}', txid_current(), transaction_timestamp()) ON CONFLICT DO NOTHING;
                RETURN NULL;
            END IF;
            INSERT INTO {noted} SELECT x.key, txid_current(), transaction_timestamp() FROM (SELECT ARRAY[{}]::text[] AS key) x
                WHERE (SELECT count(*) FROM {noted} w WHERE w.key = x.key) < {NOTES_MAX} ON CONFLICT DO NOTHING;
            RETURN NULL;
        END",
        values.join(", ")
    );
    let sql = format!(
        "CREATE TABLE {noted} (key text[], xid bigint, at timestamptz, PRIMARY KEY (key, xid));
        CREATE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            SET \"DateStyle\" = 'ISO, MDY' SET \"IntervalStyle\" = 'postgres' SET extra_float_digits = 3
            SET bytea_output = 'hex' SET \"TimeZone\" = 'UTC' SET row_security = off AS {};
        REVOKE ALL ON FUNCTION {note}() FROM PUBLIC;
        CREATE TRIGGER {trigger} AFTER {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {note}();
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger};
        CREATE TRIGGER {emptied} AFTER TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
        ALTER TABLE {table} ENABLE ALWAYS TRIGGER {emptied}",
        literal(&body)?
    );
    run(conn, &format!("watching {}", kept.layout.table), sql).await.map(drop)
}

/// Whether writes were noted for the store.
pub(super) async fn is_watched(conn: &mut PgConnection, kept: &Kept) -> Result<bool, DatabaseFailure> {
    let name = literal(&kept.delta()?)?;
    scalar(conn, "what was written since", format!("SELECT to_regclass({name}) IS NOT NULL")).await
}

/// The transactions, numbered as rows have them, that wrote rows of the store and began at this time, which is a query
/// for the number of a version. Of two that begin in the same microsecond both are meant.
pub(super) async fn begun_at(
    conn: &mut PgConnection,
    kept: &Kept,
    time_of: &str,
    version: &str,
) -> Result<Vec<String>, DatabaseFailure> {
    if !is_watched(conn, kept).await? {
        return Ok(Vec::new());
    }
    let sql =
        format!("SELECT DISTINCT (xid % 4294967296)::text FROM {} WHERE at IN ({time_of})", kept.delta()?);
    let found = sqlx::query_scalar(AssertSqlSafe(sql)).bind(version).persistent(false).fetch_all(conn).await;
    found.map_err(|error| failed("what was written since", &error))
}

/// Somebody wrote the row of the kept row `s`: none of the transactions `own`; and before `before`, where that is given.
pub(super) fn was_written(kept: &Kept, before: Option<&str>, own: &[String]) -> Result<String, QuoteError> {
    let mut values = Vec::new();
    for column in &kept.layout.key {
        values.push(format!("to_jsonb(s.{}) #>> '{{}}'", column.quoted()?));
    }
    let xid = "CAST(w.xid % 4294967296 AS text)";
    let when = before
        .map(|before| format!("AND age(CAST({xid} AS xid)) > age('{before}'::xid)"))
        .unwrap_or_default();
    Ok(format!(
        "(SELECT count(*) FILTER (WHERE {xid} <> ALL ('{{{}}}'::text[])) > 0 OR count(*) >= {NOTES_MAX}
            FROM {} w WHERE w.key IN (ARRAY[{}]::text[], '{{}}') {when})",
        own.join(","),
        kept.delta()?,
        values.join(", "),
    ))
}
