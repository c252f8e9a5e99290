//! Writes stores into files: a line of JSON for each row.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, TypeInfo as _, ValueRef as _};

use super::failure::{failed, refused};
use super::kept::{Kept, Layout};
use super::name;
use crate::ports::DatabaseFailure;

/// Writes each store into a file of `folder`, which is made and must not be there yet.
pub async fn export(
    conn: &mut SqliteConnection,
    kept: &Kept,
    folder: &Path,
) -> Result<Vec<PathBuf>, DatabaseFailure> {
    let cannot = |error: std::io::Error| {
        refused(format!("the salvage cannot be written: {error}"), "name a folder that is not there yet")
    };
    fs_err::create_dir(folder).map_err(cannot)?;
    let mut files = Vec::with_capacity(kept.layouts.len());
    for (number, layout) in kept.layouts.iter().enumerate() {
        // A table's name may hold what no file name can.
        let safe: String = layout
            .table
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' })
            .take(64)
            .collect();
        let file = folder.join(format!("{}-{safe}.jsonl", number + 1));
        let mut out = std::io::BufWriter::new(fs_err::File::create_new(&file).map_err(cannot)?);
        let sql = format!("SELECT * FROM {} ORDER BY unship_row", name::main(&layout.place)?);
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *conn);
        let failing = |error| failed(format_args!("reading `{}`", layout.place), &error);
        while let Some(row) = rows.try_next().await.map_err(failing)? {
            let line = line(layout, &row).map_err(failing)?;
            serde_json::to_writer(&mut out, &line).map_err(|error| cannot(error.into()))?;
            out.write_all(b"\n").map_err(cannot)?;
        }
        out.into_inner().map_err(|error| cannot(error.into_error()))?.sync_all().map_err(cannot)?;
        files.push(file);
    }
    Ok(files)
}

/// The row as it was, and what became of it.
fn line(layout: &Layout, row: &SqliteRow) -> Result<Value, sqlx::Error> {
    let mut values = Map::new();
    for column in &layout.columns {
        values.insert(column.clone(), value(row, column)?);
    }
    Ok(json!({
        "table": layout.table,
        "row": values,
        "state": row.try_get::<String, _>("unship_state")?,
        "restored": row.try_get::<bool, _>("unship_done")?,
    }))
}

/// A value with its storage class: what JSON cannot say as it is becomes an object.
fn value(row: &SqliteRow, column: &str) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    Ok(match raw.type_info().name() {
        "INTEGER" => json!(row.try_get_unchecked::<i64, _>(column)?),
        "REAL" => {
            let number = row.try_get_unchecked::<f64, _>(column)?;
            if number.is_finite() { json!(number) } else { json!({ "real": number.to_string() }) }
        }
        "TEXT" => {
            let bytes = row.try_get_unchecked::<Vec<u8>, _>(column)?;
            match String::from_utf8(bytes) {
                Ok(text) => json!(text),
                Err(error) => json!({ "text_hex": hex::encode(error.as_bytes()) }),
            }
        }
        _ => json!({ "blob_hex": hex::encode(row.try_get_unchecked::<Vec<u8>, _>(column)?) }),
    })
}
