//! The tool's version table: finding it, reading what is applied, changing its rows.

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::{Program, RowChange, Value};
use unship_core::sql::ObjectName;
use unship_core::sql::quote;
use unship_core::tools::{Rows, Tool, VersionTable, about};

use super::failure::{failed, refused};
use super::name::quoted;
pub use crate::database::applied::Said;
use crate::database::applied::{self, ROWS_MAX};
use crate::ports::DatabaseFailure;

/// The tables of that name, those on the search path first, with the names of their columns.
const FIND: &str = "SELECT n.nspname::text, pg_table_is_visible(c.oid),
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' ORDER BY 2 DESC, 1";

/// The tool's version table, as the tool would find it with this role; none if there is none anywhere.
pub async fn find(conn: &mut PgConnection, tool: Tool) -> Result<Option<ObjectName>, DatabaseFailure> {
    let Some(table) = about(tool).table else { return Ok(None) };
    let found: Vec<(String, bool, Vec<String>)> = sqlx::query_as(FIND)
        .bind(table.name)
        .fetch_all(conn)
        .await
        .map_err(|error| failed(format_args!("looking for the table `{}`", table.name), &error))?;
    let (name, Some((schema, is_visible, columns))) = (table.name, found.first()) else { return Ok(None) };
    if !is_visible {
        let schemas: Vec<&str> = found.iter().map(|(schema, ..)| schema.as_str()).collect();
        return Err(refused(
            format!(
                "the table `{name}` of {tool} is in schema {}, which is not on the search path",
                schemas.join(", ")
            ),
            format!("connect as the role that runs {tool}, or: ALTER ROLE ... SET search_path = {schema}"),
        ));
    }
    if let Some(missing) = table.columns.iter().find(|column| !columns.iter().any(|name| name == column.name))
    {
        return Err(refused(
            format!("the table `{schema}.{name}` is not one of {tool}: it has no column `{}`", missing.name),
            "`migrations.tool` says whose migrations they are",
        ));
    }
    Ok(Some(ObjectName { schema: Some(schema.clone()), name: name.to_owned() }))
}

/// Reads what is applied.
pub async fn read(conn: &mut PgConnection, tool: Tool, table: &ObjectName) -> Result<Said, DatabaseFailure> {
    let Some(about) = about(tool).table else { return Ok(Said::default()) };
    let found: Vec<(String, bool, Option<Vec<u8>>)> = sqlx::query_as(AssertSqlSafe(select(&about, table)?))
        .fetch_all(conn)
        .await
        .map_err(|error| failed(format_args!("reading the version table {table}"), &error))?;
    applied::said(&table.to_string(), found)
}

/// Version as text, whether it was applied to its end, checksum.
fn select(about: &VersionTable, table: &ObjectName) -> Result<String, DatabaseFailure> {
    let has = |name: &str| about.columns.iter().any(|column| column.name == name);
    let (version, from) = (quote::identifier(about.version_column)?, quoted(table)?);
    let checksum = if has("checksum") { "checksum" } else { "NULL::bytea" };
    let limit = ROWS_MAX + 1;
    Ok(match about.rows {
        Rows::OnlyNewest { dirty_column } => {
            let dirty = quote::identifier(dirty_column)?;
            format!(
                "SELECT {version}::text, NOT {dirty}, NULL::bytea FROM {from} WHERE {version} >= 0 LIMIT {limit}"
            )
        }
        // The last row of a version counts, and a version 0 only says that the table was made (goose).
        Rows::OnePerVersion if has("is_applied") => format!(
            "SELECT {version}::text, true, NULL::bytea FROM (SELECT DISTINCT ON ({version}) {version}, is_applied \
             FROM {from} ORDER BY {version}, id DESC) last WHERE is_applied AND {version} <> 0 LIMIT {limit}"
        ),
        // A version without success broke off, and the tool refuses everything (sqlx).
        Rows::OnePerVersion if has("success") => {
            format!("SELECT {version}::text, success, {checksum} FROM {from} LIMIT {limit}")
        }
        Rows::OnePerVersion => format!("SELECT {version}::text, true, {checksum} FROM {from} LIMIT {limit}"),
    })
}

/// Fails unless the version table is exactly as the program found it, its migration the newest one.
pub async fn expect_before(conn: &mut PgConnection, program: &Program) -> Result<(), DatabaseFailure> {
    let (applied, _) = read(conn, program.tool, &program.table).await?;
    applied::expect_before(&program.table.to_string(), &applied, program)
}

/// Fails unless the version table is as the tool would have left it.
pub async fn expect_after(conn: &mut PgConnection, program: &Program) -> Result<(), DatabaseFailure> {
    let (applied, _) = read(conn, program.tool, &program.table).await?;
    applied::expect_after(&program.table.to_string(), &applied, program)
}

/// Makes the tool's own changes to its table.
pub async fn change(
    conn: &mut PgConnection,
    table: &ObjectName,
    changes: &[RowChange],
) -> Result<(), DatabaseFailure> {
    let name = quoted(table)?;
    for change in changes {
        let mut query = sqlx::query(AssertSqlSafe(change.sql.replace("{table}", &name)));
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
            .map_err(|error| failed(format_args!("writing the version table {table}"), &error))?;
    }
    Ok(())
}
