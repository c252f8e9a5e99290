//! What a database is, what its version table says, and whether anything can be changed there.

use std::path::Path;

use rustix::fs::{Access, access};
use sqlx::SqliteConnection;
use unship_core::tools::{Tool, about};

use super::connect::Address;
use super::failure::failed;
use super::{name, rows};
use crate::ports::{DatabaseFailure, Live};

/// Looks.
pub async fn look(
    address: &Address,
    conn: &mut SqliteConnection,
    tool: Tool,
) -> Result<Live, DatabaseFailure> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| failed("looking at the database", &error))?;
    let is_there = rows::is_there(conn, tool).await?;
    let (applied, checksums) = rows::read(conn, tool).await?;
    let file = address.file.display().to_string();
    Ok(Live {
        name: format!("SQLite {version}, {file}"),
        database: file,
        table: about(tool).table.filter(|_| is_there).map(|table| name::object(table.name)),
        applied,
        checksums,
        cannot_change: cannot_change(&address.file),
    })
}

/// SQLite writes a journal beside the file, so both must be writable.
pub fn cannot_change(file: &Path) -> Option<String> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let refused =
        |path: &Path| access(path, Access::WRITE_OK).err().map(|why| (path.display().to_string(), why));
    let (path, why) = refused(file).or_else(|| refused(folder))?;
    Some(format!("`{path}` cannot be written: {why}; run this as the user of the service"))
}
