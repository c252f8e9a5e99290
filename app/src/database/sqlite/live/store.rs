//! Stores: tables that keep what a step down takes away.
//!
//! A store has a row for each row from before that lost anything, with all its stored columns. They are declared
//! without a type there, so that SQLite converts nothing: a value has the storage class that it had.

use sqlx::{AssertSqlSafe, SqliteConnection};
use unship_core::sql::quote::sqlite_identifier;

use super::compare::{Compared, Pairing};
use super::connect::say;
use super::failure::failed;
use super::kept::Layout;
use super::name;
use super::table::BEFORE;
use crate::ports::DatabaseFailure;

/// What a store says of each row beside its columns: its number; whether it was `gone` after the down or `kept`;
/// whether it was put back; whether the down changed columns that it kept; its rowid before and after.
pub const OWN: &str = "unship_row INTEGER PRIMARY KEY, unship_state TEXT NOT NULL, \
    unship_done INTEGER NOT NULL DEFAULT 0, unship_changed INTEGER NOT NULL, unship_rowid INTEGER, \
    unship_after INTEGER";

/// The column of a store with the value that the kept column of this number had after the down.
pub fn after_name(place: usize) -> String {
    format!("unship_after_{place}")
}

/// Saves what a table lost; none where no row lost anything.
pub async fn save(
    conn: &mut SqliteConnection,
    number: i64,
    table: &Compared,
) -> Result<Option<Layout>, DatabaseFailure> {
    let lost = table.lost_columns();
    if table.gone == 0 && table.changed == 0 && lost.is_empty() {
        return Ok(None);
    }
    let has_lost_columns = !lost.is_empty();
    let place = format!("unship_s{number}_{}", table.before.name);
    let has_after = table.changed > 0;
    let own = |sql: &str, error: &sqlx::Error| {
        failed(format_args!("salvaging `{}` into `{place}`: {sql}", table.before.name), error)
    };
    let (quoted, columns) = (name::main(&place)?, name::columns("b", table.before.names())?);
    let mut declared = vec![OWN.to_owned()];
    for column in table.before.names() {
        declared.push(sqlite_identifier(column)?);
    }
    if has_after {
        declared.extend((0..table.kept.len()).map(after_name));
    }
    say(conn, &format!("CREATE TABLE {quoted} ({})", declared.join(", ")))
        .await
        .map_err(|error| own("making the store", &error))?;
    let mut names = "unship_state, unship_changed, unship_rowid, unship_after".to_owned();
    for column in table.before.names() {
        names.push_str(&format!(", {}", sqlite_identifier(column)?));
    }
    let rowid = table.before.rowid.map_or("NULL".to_owned(), |rowid| format!("b.{rowid}"));
    let values_before = columns.join(", ");
    let gone = table.gone_rows()?;
    let order = table.before.rowid.map(|rowid| format!(" ORDER BY b.{rowid}")).unwrap_or_default();
    let sql = format!(
        "INSERT INTO {quoted} ({names}) SELECT 'gone', 0, {rowid}, NULL, {values_before} FROM {} WHERE {}{order}",
        gone.from, gone.only
    );
    say(conn, &sql).await.map_err(|error| own("rows that are gone", &error))?;
    if let Some(pairs) = table.pairs()?.filter(|_| has_lost_columns || has_after) {
        let changed = format!("NOT {}", table.unchanged()?);
        let mut values = format!("'kept', {changed}, {rowid}, {}, {values_before}", after_rowid(table));
        if has_after {
            for (place, kept) in table.kept.iter().enumerate() {
                names.push_str(&format!(", {}", after_name(place)));
                values.push_str(&format!(", a.{}", sqlite_identifier(&kept.after)?));
            }
        }
        let rows = if has_lost_columns { pairs } else { pairs.and(&changed) };
        let sql = format!(
            "INSERT INTO {quoted} ({names}) SELECT {values} FROM {} WHERE {}{order}",
            rows.from, rows.only
        );
        say(conn, &sql).await.map_err(|error| own("rows that lost something", &error))?;
    }
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {quoted}")))
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| own("counting", &error))?;
    if rows == 0 {
        say(conn, &format!("DROP TABLE {quoted}")).await.map_err(|error| own("an empty store", &error))?;
        return Ok(None);
    }
    Ok(Some(Layout {
        table: table.before.name.clone(),
        columns: table.before.names().map(str::to_owned).collect(),
        kept: table.kept.iter().map(|kept| kept.before.clone()).collect(),
        key: key(conn, table).await?,
        dangled: table.dangled,
        has_after,
        losses: table.losses.iter().map(|loss| loss.kind.clone()).collect(),
        rows: u64::try_from(rows).unwrap_or(0),
        bytes: bytes(conn, &place).await.map_err(|error| own("measuring", &error))?,
        sequence: sequence(conn, table).await?,
        place,
    }))
}

fn after_rowid(table: &Compared) -> String {
    let rowid = table.after.as_ref().and_then(|after| after.rowid);
    rowid.map_or("NULL".to_owned(), |rowid| format!("a.{rowid}"))
}

/// What tells the rows of the table apart when it is there again: none where the rowid does.
async fn key(conn: &mut SqliteConnection, table: &Compared) -> Result<Option<Vec<String>>, DatabaseFailure> {
    match &table.pairing {
        Pairing::Key(key) => return Ok(Some(key.iter().map(|kept| kept.before.clone()).collect())),
        Pairing::Rowid { .. } | Pairing::Place { .. } => return Ok(None),
        Pairing::None => {}
    }
    let key = &table.before.key;
    if key.is_empty() {
        return Ok(None);
    }
    // SQLite lets NULLs into a primary key that is not the rowid, as many as one likes.
    let nulls: Vec<String> = name::columns("b", key.iter().map(String::as_str))?
        .into_iter()
        .map(|column| format!("{column} IS NULL"))
        .collect();
    let sql = format!(
        "SELECT count(*) > 0 FROM {} AS b WHERE {}",
        table.before.quoted(BEFORE)?,
        nulls.join(" OR ")
    );
    let has_nulls: bool = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(conn)
        .await
        .map_err(|error| failed(format_args!("looking at the key of `{}`", table.before.name), &error))?;
    Ok((!has_nulls).then(|| key.clone()))
}

/// Bytes of the pages that a table has.
async fn bytes(conn: &mut SqliteConnection, table: &str) -> Result<u64, sqlx::Error> {
    let bytes: Option<i64> =
        sqlx::query_scalar("SELECT sum(pgsize) FROM dbstat WHERE schema = 'main' AND name = ?")
            .bind(table)
            .fetch_one(conn)
            .await?;
    Ok(u64::try_from(bytes.unwrap_or(0)).unwrap_or(0))
}

async fn sequence(conn: &mut SqliteConnection, table: &Compared) -> Result<Option<i64>, DatabaseFailure> {
    let failing = |error| failed("reading what AUTOINCREMENT has given out", &error);
    let there = format!("SELECT count(*) > 0 FROM {BEFORE}.sqlite_schema WHERE name = 'sqlite_sequence'");
    let is_there: bool =
        sqlx::query_scalar(AssertSqlSafe(there)).fetch_one(&mut *conn).await.map_err(failing)?;
    if table.after.is_some() || !is_there {
        return Ok(None);
    }
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT seq FROM {BEFORE}.sqlite_sequence WHERE name = ?")))
        .bind(&table.before.name)
        .fetch_optional(conn)
        .await
        .map_err(failing)
}
