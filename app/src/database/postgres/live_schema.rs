//! A look at a live database: its schema and the sizes of its tables. Read only, with short limits, and without
//! waiting behind anybody's lock.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use unship_core::schema::{Catalog, Kind, Name, Object};
use unship_core::tools::{Rows, VersionTable};

use super::catalog;
use super::live::home::SCHEMA;
use crate::ports::LiveSchema;

/// Longest wait for the server altogether.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Settings of the session: nothing is written, nobody is waited for, and what is asked once is not compiled.
const SESSION: [(&str, &str); 5] = [
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "2s"),
    ("jit", "off"),
    ("application_name", "unship"),
];

/// Heap, indexes and TOAST of every table: what is written when it is written anew.
const SIZES: &str = "SELECT n.nspname::text, c.relname::text, pg_total_relation_size(c.oid) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
     AND n.nspname NOT LIKE 'pg\\_%'";

/// Reads the database at `url`. The tool's own table and what unship keeps are left out.
pub async fn look(url: &str, table: Option<&VersionTable>) -> Result<LiveSchema, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let look = async {
        let mut conn = options.options(SESSION).disable_statement_logging().connect().await?;
        let reading = catalog::read(&mut conn).await?;
        let tables: Vec<String> = table.iter().map(|table| table.name.to_owned()).collect();
        let mut bytes = BTreeMap::new();
        for row in sqlx::query(SIZES).fetch_all(&mut conn).await? {
            let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            bytes.insert(Name::of(schema, name), u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0));
        }
        let dirty = match table {
            Some(table) => dirty(&mut conn, table).await?,
            None => None,
        };
        conn.close().await?;
        let theirs = reading.catalog.objects().filter(|object| !is_ours(object));
        let catalog: Catalog = theirs.map(|object| Object::clone(object)).collect();
        Ok(LiveSchema { catalog: catalog.without_tables(&tables), bytes, dirty })
    };
    tokio::time::timeout(WAIT_MAX, look)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Protocol("the server did not answer in time".to_owned())))
}

/// What unship itself put there: the salvage and the fences, and the triggers that note what is written meanwhile.
fn is_ours(object: &Object) -> bool {
    let name = &object.name;
    let is_note = || name.part.as_deref().is_some_and(|part| part.starts_with("unship_note_"));
    name.schema == SCHEMA
        || object.kind == Kind::Schema && name.object == SCHEMA
        || object.kind == Kind::Trigger && is_note()
}

/// The version at which the tool's last run broke off, for a tool that writes that down.
async fn dirty(conn: &mut PgConnection, table: &VersionTable) -> Result<Option<String>, sqlx::Error> {
    let Rows::OnlyNewest { dirty_column } = table.rows else { return Ok(None) };
    // PostgreSQL quotes the names itself.
    let statement: Option<String> = sqlx::query_scalar(
        "SELECT format('SELECT %I::text FROM %s WHERE %I', $2, c.oid::regclass, $3) FROM pg_class c \
         WHERE c.relname = $1 AND c.relkind = 'r' LIMIT 1",
    )
    .bind(table.name)
    .bind(table.version_column)
    .bind(dirty_column)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(statement) = statement else { return Ok(None) };
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_optional(conn).await
}
