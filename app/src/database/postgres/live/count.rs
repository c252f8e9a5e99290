//! Counts what would be destroyed, on the rows as they are.

mod constant;

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::{Allowed, Loss, LossKind};
use unship_core::sql::ObjectName;
use unship_core::sql::quote;
use unship_core::time::Timestamp;

use super::failure::{failed, refused};
use super::name::quoted;
use crate::database::postgres::salvage::Prepared;
use crate::ports::DatabaseFailure;

/// Columns in which a service writes when a row came about, and when it was last written.
const CREATED: [&str; 6] =
    ["created_at", "inserted_at", "created_on", "created", "creation_time", "date_created"];
const WRITTEN: [&str; 7] =
    ["updated_at", "modified_at", "updated_on", "updated", "modified", "last_modified", "date_updated"];

/// Counts, in the order of the kinds.
pub async fn count(
    conn: &mut PgConnection,
    kinds: &[LossKind],
    since: Option<Timestamp>,
) -> Result<Vec<Loss>, DatabaseFailure> {
    let mut losses = Vec::with_capacity(kinds.len());
    for kind in kinds {
        losses.push(one(conn, kind, since).await?);
    }
    Ok(losses)
}

/// Counts before the locks, while others write; fails where a ceiling is passed already.
pub async fn online(conn: &mut PgConnection, allowed: &[Allowed]) -> Result<Vec<u64>, DatabaseFailure> {
    let mut counts = Vec::with_capacity(allowed.len());
    for allowed in allowed {
        let found = one(conn, &allowed.kind, None).await?.affected;
        below(allowed, found)?;
        counts.push(found);
    }
    Ok(counts)
}

/// Fails unless every count is below its ceiling, under the locks. Where the count from before and all that was
/// written since come to no more, the table is not read again: a large one takes seconds.
pub async fn expect_within(
    conn: &mut PgConnection,
    allowed: &[Allowed],
    online: &[u64],
    prepared: &Prepared,
) -> Result<(), DatabaseFailure> {
    for (allowed, before) in allowed.iter().zip(online) {
        let written = prepared.written_since(conn, &allowed.kind).await?;
        if written.is_some_and(|written| before.saturating_add(written) <= allowed.affected_max) {
            continue;
        }
        below(allowed, one(conn, &allowed.kind, None).await?.affected)?;
    }
    Ok(())
}

fn below(Allowed { kind, affected_max }: &Allowed, found: u64) -> Result<(), DatabaseFailure> {
    if found <= *affected_max {
        return Ok(());
    }
    Err(refused(
        format!("{} would lose {found} rows now; what was accepted allows {affected_max}", shown(kind)),
        "look at the loss again and accept the new report",
    ))
}

/// What is lost, for a person.
fn shown(kind: &LossKind) -> String {
    match kind {
        LossKind::Table { table } => format!("the table {table}"),
        LossKind::Column { table, column, .. } => format!("the column {table}.{column}"),
        LossKind::Rewritten { table, column, from, to } => {
            format!("the column {table}.{column} ({from} to {to})")
        }
        LossKind::Rows { table } => format!("the rows of {table}"),
        LossKind::Sequence { sequence } => format!("the sequence {sequence}"),
    }
}

/// A query over one table: which rows lose something, and the values bound in it.
struct Counted {
    /// `$1` is the default of the column, `$2` the time of the deploy.
    is_affected: String,
    bytes: String,
    default: Option<String>,
}

async fn one(
    conn: &mut PgConnection,
    kind: &LossKind,
    since: Option<Timestamp>,
) -> Result<Loss, DatabaseFailure> {
    let table = kind.table();
    let from = quoted(table)?;
    let counted = match kind {
        LossKind::Table { .. } | LossKind::Rows { .. } => {
            Counted { is_affected: "true".to_owned(), bytes: "0".to_owned(), default: None }
        }
        LossKind::Column { column, default, .. } => {
            of_column(conn, table, column, default.as_deref()).await?
        }
        LossKind::Rewritten { column, .. } => of_column(conn, table, column, None).await?,
        LossKind::Sequence { .. } => return of_sequence(conn, kind).await,
    };
    let recent = match since {
        Some(_) => recent(conn, table, matches!(kind, LossKind::Table { .. })).await?,
        None => None,
    };
    let hit = &counted.is_affected;
    // What is not bound elsewhere is named once, so that its type is known.
    let recently = recent.as_deref().unwrap_or("$2::bigint IS NULL");
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE {hit}),
            coalesce(sum({bytes}) FILTER (WHERE {hit}), 0)::bigint,
            count(*) FILTER (WHERE ({hit}) AND ({recently})), $1::text
        FROM {from}",
        bytes = counted.bytes,
    );
    let (rows, affected, bytes, since_deploy, _): (i64, i64, i64, i64, Option<String>) =
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(counted.default)
            .bind(since.map(|since| since.0))
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| failed(format_args!("counting {}", shown(kind)), &error))?;
    let bytes = match kind {
        LossKind::Table { .. } | LossKind::Rows { .. } => size(conn, table).await?,
        LossKind::Column { .. } | LossKind::Rewritten { .. } | LossKind::Sequence { .. } => bytes,
    };
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(Loss {
        kind: kind.clone(),
        rows: number(rows),
        affected: number(affected),
        bytes: number(bytes),
        since_deploy: recent.map(|_| number(since_deploy)),
    })
}

/// A number that was given out is one row; a sequence that nobody used loses nothing.
async fn of_sequence(conn: &mut PgConnection, kind: &LossKind) -> Result<Loss, DatabaseFailure> {
    let used: Option<bool> = sqlx::query_scalar(
        "SELECT pg_sequence_last_value(seqrelid) IS NOT NULL FROM pg_sequence WHERE seqrelid = to_regclass($1)",
    )
    .bind(quoted(kind.table())?)
    .fetch_optional(conn)
    .await
    .map_err(|error| failed(format_args!("looking at {}", shown(kind)), &error))?;
    let Some(used) = used else {
        return Err(refused(
            format!("{} is not there", shown(kind)),
            "the database is not as its migrations left it",
        ));
    };
    let affected = u64::from(used);
    Ok(Loss { kind: kind.clone(), rows: affected, affected, bytes: 0, since_deploy: None })
}

/// A value that is NULL, or the column's default, is no loss. Only a default that is a constant can be compared; it is
/// compared as text, which every type has.
async fn of_column(
    conn: &mut PgConnection,
    table: &ObjectName,
    column: &str,
    default: Option<&str>,
) -> Result<Counted, DatabaseFailure> {
    let of_type: Option<String> = sqlx::query_scalar(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attname = $2 AND attnum > 0 AND NOT attisdropped",
    )
    .bind(quoted(table)?)
    .bind(column)
    .fetch_optional(conn)
    .await
    .map_err(|error| failed(format_args!("looking at the column {table}.{column}"), &error))?;
    let Some(of_type) = of_type else {
        return Err(refused(
            format!("the column {table}.{column} is not there"),
            "the database is not as its migrations left it",
        ));
    };
    let name = quote::identifier(column)?;
    let default = default.and_then(constant::value);
    let is_affected = match default {
        // The type's name is the server's own, quoted as it wants it.
        Some(_) => {
            format!("{name} IS NOT NULL AND {name}::text IS DISTINCT FROM CAST($1 AS {of_type})::text")
        }
        None => format!("{name} IS NOT NULL"),
    };
    Ok(Counted { is_affected, bytes: format!("pg_column_size({name})"), default })
}

/// A condition by which a row was written after `$2`, milliseconds since 1970; none where no column tells. A time without
/// a zone is taken as UTC.
async fn recent(
    conn: &mut PgConnection,
    table: &ObjectName,
    is_new: bool,
) -> Result<Option<String>, DatabaseFailure> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT attname::text, typname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        AND typname IN ('timestamptz', 'timestamp')",
    )
    .bind(quoted(table)?)
    .fetch_all(conn)
    .await
    .map_err(|error| failed(format_args!("looking at the columns of {table}"), &error))?;
    // A row that was there before may have been written since: only a table that is new tells by what came about.
    let mut names = WRITTEN.iter().chain(if is_new { CREATED.as_slice() } else { &[] });
    let Some((column, of_type)) = names.find_map(|name| columns.iter().find(|(column, _)| column == name))
    else {
        return Ok(None);
    };
    let name = quote::identifier(column)?;
    Ok(Some(match of_type.as_str() {
        "timestamp" => format!("{name} >= to_timestamp($2::bigint / 1000.0) AT TIME ZONE 'UTC'"),
        _ => format!("{name} >= to_timestamp($2::bigint / 1000.0)"),
    }))
}

/// Bytes on disk of a table with its partitions and all that belongs to them.
async fn size(conn: &mut PgConnection, table: &ObjectName) -> Result<i64, DatabaseFailure> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(pg_total_relation_size(relid)), pg_total_relation_size($1::regclass), 0)::bigint
        FROM pg_partition_tree($1::regclass)",
    )
    .bind(quoted(table)?)
    .fetch_one(conn)
    .await
    .map_err(|error| failed(format_args!("asking for the size of {table}"), &error))
}

#[cfg(test)]
mod tests;
