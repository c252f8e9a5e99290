//! The catalog as flows compare it.

use sqlx::SqliteConnection;
use unship_core::schema::Catalog;
use unship_core::tools::{Tool, about};

use super::failure::failed;
use super::name;
use crate::database::sqlite::schema;
use crate::ports::DatabaseFailure;

/// Reads the catalog, without the tool's version table and without what unship keeps there.
pub async fn read(conn: &mut SqliteConnection, tool: Tool) -> Result<Catalog, DatabaseFailure> {
    let mut schema = schema::read(conn).await.map_err(|error| failed("reading the catalog", &error))?;
    schema.retain(|name| !name::is_ours(name));
    let version_table = about(tool).table.map(|table| table.name.to_owned());
    Ok(schema.catalog(version_table.as_slice()))
}
