//! What rows of a table are made of: its stored columns, and what tells its rows apart.

use sqlx::{Row as _, SqliteConnection};
use unship_core::sql::quote::{QuoteError, sqlite_identifier};

use super::failure::failed;
use super::name;
use crate::ports::DatabaseFailure;

/// The schema under which the copy is attached.
pub const BEFORE: &str = "unship_before";

/// The names under which SQLite gives the rowid, unless a column has them.
const ROWID_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A table that holds rows of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    /// Columns whose values are stored: no generated ones, in the order of the table.
    pub columns: Vec<Column>,
    /// How its rowid is spoken of; none where it has none, or where columns have all its names.
    pub rowid: Option<&'static str>,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// Whether its primary key is another name for the rowid.
    pub key_is_rowid: bool,
}

/// A stored column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Its type as declared, in lower case.
    pub of_type: String,
    /// Its default as the schema has it.
    pub default: Option<String>,
}

impl Table {
    pub fn column(&self, named: &str) -> Option<&Column> {
        self.columns.iter().find(|column| name::same(&column.name, named))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// As SQL has it, in a schema.
    pub fn quoted(&self, schema: &str) -> Result<String, QuoteError> {
        Ok(format!("{schema}.{}", sqlite_identifier(&self.name)?))
    }

    /// Whether the rowid is nobody's column.
    pub fn has_hidden_rowid(&self) -> bool {
        self.rowid.is_some() && !self.key_is_rowid
    }
}

/// The tables of a schema that hold rows of the service: without SQLite's own, those that a virtual table keeps for
/// itself, unship's, and `left_out`.
pub async fn read(
    conn: &mut SqliteConnection,
    schema: &'static str,
    left_out: Option<&str>,
) -> Result<Vec<Table>, DatabaseFailure> {
    let failing = |error| failed("reading the tables", &error);
    let rows = sqlx::query(
        "SELECT name, wr, type FROM pragma_table_list WHERE schema = ? AND type IN ('table', 'virtual') \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .bind(schema)
    .fetch_all(&mut *conn)
    .await
    .map_err(failing)?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in rows {
        let (table, without_rowid): (String, bool) =
            (row.try_get(0).map_err(failing)?, row.try_get(1).map_err(failing)?);
        if name::is_ours(&table) || left_out.is_some_and(|out| name::same(out, &table)) {
            continue;
        }
        tables.push(one(conn, schema, table, without_rowid).await.map_err(failing)?);
    }
    Ok(tables)
}

async fn one(
    conn: &mut SqliteConnection,
    schema: &str,
    table: String,
    without_rowid: bool,
) -> Result<Table, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT name, lower(type), dflt_value, pk, hidden FROM pragma_table_xinfo(?, ?) ORDER BY cid",
    )
    .bind(&table)
    .bind(schema)
    .fetch_all(&mut *conn)
    .await?;
    let (mut columns, mut all, mut key) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let column = Column {
            name: row.try_get(0)?,
            of_type: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
            default: row.try_get(2)?,
        };
        let (place, hidden): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        all.push(column.name.clone());
        if place > 0 {
            key.push((place, column.name.clone()));
        }
        if hidden == 0 {
            columns.push(column);
        }
    }
    key.sort();
    let key: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
    let rowid = ROWID_NAMES
        .into_iter()
        .find(|rowid| !without_rowid && !all.iter().any(|name| name::same(name, rowid)));
    // A primary key of the rowid has no index of its own; every other one has.
    let indexed: bool =
        sqlx::query_scalar("SELECT count(*) > 0 FROM pragma_index_list(?, ?) WHERE origin = 'pk'")
            .bind(&table)
            .bind(schema)
            .fetch_one(conn)
            .await?;
    let key_is_rowid = key.len() == 1 && !without_rowid && !indexed;
    Ok(Table { name: table, columns, rowid, key, key_is_rowid })
}
