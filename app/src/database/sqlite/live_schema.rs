//! A look at a live database file: its schema. Read only.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use unship_core::tools::VersionTable;

use super::live::connect::open_to_look;
use super::schema;
use crate::ports::LiveSchema;

/// Reads the database at `url`. The tool's own table is left out of the schema.
pub async fn look(url: &str, table: Option<&VersionTable>) -> Result<LiveSchema, sqlx::Error> {
    let options: SqliteConnectOptions = url.parse()?;
    let mut conn = open_to_look(options.create_if_missing(false).disable_statement_logging()).await?;
    let schema = schema::read(&mut conn).await?;
    conn.close().await?;
    let tables: Vec<String> = table.iter().map(|table| table.name.to_owned()).collect();
    Ok(LiveSchema { catalog: schema.catalog(&tables), bytes: BTreeMap::new(), dirty: None })
}
