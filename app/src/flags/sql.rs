//! Flags in a table with one row a flag, on PostgreSQL or SQLite. Names of tables and columns go through the quoting
//! module; values are bound.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, Row, SqliteConnection};
use unship_core::flags::{FlagName, FlagState, FlagValue};
use unship_core::sql::quote::{self, QuoteError};

use super::{FLAGS_MAX, failure, name, time};
use crate::config::{ColumnHolds, FlagTable, TableName};
use crate::ports::{Acting, CheckFailure, FlagSource};
use crate::secrets::Secrets;

/// A table.
pub struct TableFlags {
    /// The file with the database's URL.
    pub url_file: PathBuf,
    /// The table and its columns.
    pub table: FlagTable,
    /// How long one statement may take with its connection, milliseconds.
    pub time_ms_max: u64,
}

/// Which database a URL names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Postgres,
    Sqlite,
}

/// A row as texts: name, enabled, time, who.
type Line = (String, Option<String>, Option<String>, Option<String>);

/// What is bound, in order.
struct Statement {
    sql: String,
    values: Vec<String>,
}

impl TableFlags {
    /// Runs a statement on a connection of its own; the rows it gives and how many it changed.
    async fn run(
        &self,
        build: impl Fn(&FlagTable, Dialect) -> Result<Statement, QuoteError>,
    ) -> Result<(Vec<Line>, u64), CheckFailure> {
        let url = fs_err::read_to_string(&self.url_file).map_err(|error| CheckFailure {
            message: format!("cannot read the URL of the flags' database: {error}"),
            hint: Some("`flags.sql.url_file` names a file that holds the URL and nothing else".into()),
        })?;
        let url = url.trim();
        let secrets = Secrets::of_url(url);
        let dialect = match url.split(':').next() {
            Some("postgres" | "postgresql") => Dialect::Postgres,
            Some("sqlite") => Dialect::Sqlite,
            _ => return Err(failure("the flags' database is neither PostgreSQL nor SQLite")),
        };
        let statement = build(&self.table, dialect).map_err(|error| failure(error.to_string()))?;
        let work = async {
            match dialect {
                Dialect::Postgres => postgres(url, &statement).await,
                Dialect::Sqlite => sqlite(url, &statement).await,
            }
        };
        let limit = Duration::from_millis(self.time_ms_max);
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                Err(failure(secrets.redact(&format!("the table of flags cannot be used: {error}"))))
            }
            Err(_) => {
                Err(failure(format!("the flags' database gives no answer within {} ms", self.time_ms_max)))
            }
        }
    }
}

/// The same on both: their drivers share no type that could be named here.
macro_rules! run_on {
    ($connection:ty, $url:expr, $statement:expr) => {{
        let Statement { sql, values } = $statement;
        let mut connection = <$connection>::connect($url).await?;
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
        for value in values {
            query = query.bind(value.clone());
        }
        let done = if sql.starts_with("SELECT") {
            let mut lines = Vec::new();
            for row in query.fetch_all(&mut connection).await? {
                lines.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
            }
            (lines, 0)
        } else {
            (Vec::new(), query.execute(&mut connection).await?.rows_affected())
        };
        connection.close().await?;
        Ok(done)
    }};
}

async fn postgres(url: &str, statement: &Statement) -> Result<(Vec<Line>, u64), sqlx::Error> {
    run_on!(PgConnection, url, statement)
}

async fn sqlite(url: &str, statement: &Statement) -> Result<(Vec<Line>, u64), sqlx::Error> {
    run_on!(SqliteConnection, url, statement)
}

/// The table as SQL names it.
fn table(table: &TableName) -> Result<String, QuoteError> {
    match table {
        TableName::Plain(name) => quote::identifier(name),
        TableName::InSchema([schema, name]) => {
            Ok(format!("{}.{}", quote::identifier(schema)?, quote::identifier(name)?))
        }
    }
}

/// `WHERE` for the configured rows; its values are bound from `first` on.
fn only(
    rows: &BTreeMap<String, String>,
    first: usize,
    values: &mut Vec<String>,
) -> Result<Vec<String>, QuoteError> {
    let mut parts = Vec::new();
    for (index, (column, value)) in rows.iter().enumerate() {
        parts.push(format!("CAST({} AS TEXT) = ${}", quote::identifier(column)?, first + index));
        values.push(value.clone());
    }
    Ok(parts)
}

fn select(of: &FlagTable, dialect: Dialect) -> Result<Statement, QuoteError> {
    let text = |column: &str| Ok::<_, QuoteError>(format!("CAST({} AS TEXT)", quote::identifier(column)?));
    let time = match (&of.changed_at, dialect) {
        (None, _) => "NULL".to_owned(),
        // As RFC 3339 has it, whatever the session's time zone is.
        (Some(column), Dialect::Postgres) => format!(
            "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
            quote::identifier(column)?
        ),
        (Some(column), Dialect::Sqlite) => {
            format!("strftime('%Y-%m-%dT%H:%M:%fZ', {})", quote::identifier(column)?)
        }
    };
    let who = of.changed_by.as_deref().map_or(Ok("NULL".to_owned()), text)?;
    let mut values = Vec::new();
    let parts = only(&of.only, 1, &mut values)?;
    let filter = if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) };
    let (name, enabled, table) = (text(&of.name)?, text(&of.enabled)?, table(&of.table)?);
    let limit = FLAGS_MAX + 1;
    let sql =
        format!("SELECT {name}, {enabled}, CAST({time} AS TEXT), {who} FROM {table}{filter} LIMIT {limit}");
    Ok(Statement { sql, values })
}

fn update(of: &FlagTable, dialect: Dialect, flag: &FlagName, value: &str) -> Result<Statement, QuoteError> {
    let kind = match (of.holds, dialect) {
        (ColumnHolds::Text, _) => "TEXT",
        (ColumnHolds::Boolean, Dialect::Postgres) => "BOOLEAN",
        // SQLite has none: they are 0 and 1.
        (ColumnHolds::Boolean, Dialect::Sqlite) | (ColumnHolds::Integer, _) => "INTEGER",
    };
    let (enabled, name, table) =
        (quote::identifier(&of.enabled)?, quote::identifier(&of.name)?, table(&of.table)?);
    let mut values = vec![value.to_owned(), flag.as_str().to_owned()];
    let mut parts = vec![format!("CAST({name} AS TEXT) = $2")];
    parts.extend(only(&of.only, 3, &mut values)?);
    let rows = parts.join(" AND ");
    let sql = format!("UPDATE {table} SET {enabled} = CAST($1 AS {kind}) WHERE {rows}");
    Ok(Statement { sql, values })
}

impl FlagTable {
    fn is_on(&self, value: &str) -> bool {
        match self.holds {
            ColumnHolds::Boolean => matches!(value, "true" | "t" | "1"),
            ColumnHolds::Integer => value.trim() != "0",
            ColumnHolds::Text => value == self.on,
        }
    }

    /// What the column has to hold.
    fn text(&self, to: &FlagValue) -> String {
        match (&to.raw, self.holds, to.on) {
            (Some(raw), ..) => raw.clone(),
            (None, ColumnHolds::Text, true) => self.on.clone(),
            (None, ColumnHolds::Text, false) => self.off.clone(),
            (None, ColumnHolds::Boolean | ColumnHolds::Integer, true) => "1".into(),
            (None, ColumnHolds::Boolean | ColumnHolds::Integer, false) => "0".into(),
        }
    }
}

#[async_trait]
impl FlagSource for TableFlags {
    fn name(&self) -> String {
        match &self.table.table {
            TableName::Plain(table) => format!("table {table}"),
            TableName::InSchema([schema, table]) => format!("table {schema}.{table}"),
        }
    }

    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure> {
        let (lines, _) = self.run(select).await?;
        if lines.len() > FLAGS_MAX {
            return Err(failure(format!("{} has more than {FLAGS_MAX} flags", self.name())));
        }
        let mut states: Vec<FlagState> = Vec::new();
        for (flag, enabled, at, changed_by) in lines {
            let flag = name(&flag)?;
            if states.iter().any(|known| known.name == flag) {
                return Err(CheckFailure {
                    message: format!("{} has more than one row for the flag `{flag}`", self.name()),
                    hint: Some("`flags.sql.only` names the rows of this environment".into()),
                });
            }
            let on = enabled.as_deref().is_some_and(|value| self.table.is_on(value));
            let value = FlagValue { on, raw: enabled };
            states.push(FlagState {
                name: flag,
                value,
                changed_at: at.as_deref().and_then(time),
                changed_by,
            });
        }
        Ok(states)
    }

    async fn set(&self, flag: &FlagName, to: &FlagValue, _: &Acting) -> Result<(), CheckFailure> {
        let value = self.table.text(to);
        let (_, changed) = self.run(|of, dialect| update(of, dialect, flag, &value)).await?;
        match changed {
            1 => Ok(()),
            0 => Err(failure(format!("{} has no row for the flag `{flag}`", self.name()))),
            more => Err(failure(format!("{} has {more} rows for the flag `{flag}`", self.name()))),
        }
    }

    async fn install(&self, _: &str, _: Option<&str>, _: &Acting) -> Result<(), CheckFailure> {
        Err(failure("flags in a table are in no file"))
    }
}

#[cfg(test)]
mod tests;
