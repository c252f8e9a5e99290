//! The tool's version table: finding it, reading what is applied, changing its rows.

use sqlx::{AssertSqlSafe, SqliteConnection};
use unship_core::down::{Program, RowChange, Value};
use unship_core::sql::quote::sqlite_identifier;
use unship_core::tools::{Rows, Tool, VersionTable, about};

use super::failure::{failed, refused};
use super::name;
pub use crate::database::applied::Said;
use crate::database::applied::{self, ROWS_MAX};
use crate::ports::DatabaseFailure;

/// Whether the tool's version table is there.
pub async fn is_there(conn: &mut SqliteConnection, tool: Tool) -> Result<bool, DatabaseFailure> {
    let Some(table) = about(tool).table else { return Ok(false) };
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?, 'main')")
        .bind(table.name)
        .fetch_all(conn)
        .await
        .map_err(|error| failed(format_args!("looking for the table `{}`", table.name), &error))?;
    if columns.is_empty() {
        return Ok(false);
    }
    match table.columns.iter().find(|column| !columns.iter().any(|name| name::same(name, column.name))) {
        Some(missing) => Err(refused(
            format!("the table `{}` is not one of {tool}: it has no column `{}`", table.name, missing.name),
            "`migrations.tool` says whose migrations they are",
        )),
        None => Ok(true),
    }
}

/// Reads what is applied; nothing where there is no version table.
pub async fn read(conn: &mut SqliteConnection, tool: Tool) -> Result<Said, DatabaseFailure> {
    let Some(table) = about(tool).table else { return Ok(Said::default()) };
    if !is_there(conn, tool).await? {
        return Ok(Said::default());
    }
    let found: Vec<(String, bool, Option<Vec<u8>>)> = sqlx::query_as(AssertSqlSafe(select(&table)?))
        .fetch_all(conn)
        .await
        .map_err(|error| failed(format_args!("reading the version table `{}`", table.name), &error))?;
    applied::said(&format!("`{}`", table.name), found)
}

/// Version as text, whether it was applied to its end, checksum.
fn select(table: &VersionTable) -> Result<String, DatabaseFailure> {
    let has = |name: &str| table.columns.iter().any(|column| column.name == name);
    let (version, from) = (sqlite_identifier(table.version_column)?, name::main(table.name)?);
    let checksum = if has("checksum") { "checksum" } else { "CAST(NULL AS BLOB)" };
    let limit = ROWS_MAX + 1;
    Ok(match table.rows {
        Rows::OnlyNewest { dirty_column } => {
            let dirty = sqlite_identifier(dirty_column)?;
            format!(
                "SELECT CAST({version} AS TEXT), NOT {dirty}, CAST(NULL AS BLOB) FROM {from} \
                 WHERE {version} >= 0 LIMIT {limit}"
            )
        }
        // The last row of a version counts, and a version 0 only says that the table was made (goose).
        Rows::OnePerVersion if has("is_applied") => format!(
            "SELECT CAST({version} AS TEXT), TRUE, CAST(NULL AS BLOB) FROM {from} AS v WHERE is_applied \
             AND {version} <> 0 AND id = (SELECT max(id) FROM {from} AS w WHERE w.{version} = v.{version}) LIMIT {limit}"
        ),
        // A version without success broke off, and the tool refuses everything (sqlx).
        Rows::OnePerVersion if has("success") => {
            format!("SELECT CAST({version} AS TEXT), success <> 0, {checksum} FROM {from} LIMIT {limit}")
        }
        Rows::OnePerVersion => {
            format!("SELECT CAST({version} AS TEXT), TRUE, {checksum} FROM {from} LIMIT {limit}")
        }
    })
}

/// Fails unless the version table is exactly as the program found it, its migration the newest one.
pub async fn expect_before(conn: &mut SqliteConnection, program: &Program) -> Result<(), DatabaseFailure> {
    let (applied, _) = read(conn, program.tool).await?;
    applied::expect_before(&format!("`{}`", program.table), &applied, program)
}

/// Fails unless the version table is as the tool would have left it.
pub async fn expect_after(conn: &mut SqliteConnection, program: &Program) -> Result<(), DatabaseFailure> {
    let (applied, _) = read(conn, program.tool).await?;
    applied::expect_after(&format!("`{}`", program.table), &applied, program)
}

/// Makes the tool's own changes to its table.
pub async fn change(
    conn: &mut SqliteConnection,
    table: &str,
    changes: &[RowChange],
) -> Result<(), DatabaseFailure> {
    let quoted = name::main(table)?;
    for change in changes {
        let mut query = sqlx::query(AssertSqlSafe(change.sql.replace("{table}", &quoted)));
        for value in &change.values {
            query = match value {
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
                Value::Bytes(bytes) => query.bind(bytes.clone()),
            };
        }
        query
            .execute(&mut *conn)
            .await
            .map_err(|error| failed(format_args!("writing the version table `{table}`"), &error))?;
    }
    Ok(())
}
