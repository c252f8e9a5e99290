//! Is there room for what is copied? Said beforehand, and refused where it can be seen that there is none.

use sqlx::PgConnection;
use unship_core::down::LossKind;

use super::choose::Wanted;
use super::failed;
use super::layout::Form;
use crate::database::postgres::live::failure::refused;
use crate::ports::{DatabaseFailure, Progress};

/// Bytes of a stored row beside its values: header, line pointer, mark, and its entry in the index.
const ROW_BYTES: i64 = 80;
/// The copy is written twice: into the store and into the log of changes.
const WRITTEN_TIMES: i64 = 2;
/// From this size on it is said.
const SAY_BYTES_MIN: i64 = 64 * 1024 * 1024;

/// Adds up what will be copied.
pub(super) async fn check(
    conn: &mut PgConnection,
    wanted: &[Wanted],
    progress: &dyn Progress,
) -> Result<(), DatabaseFailure> {
    let mut needed = 0_i64;
    for Wanted { kind, layout, shape } in wanted {
        let bytes = match (layout.form, kind) {
            (Form::Aside | Form::Changed, _) => 0,
            (_, LossKind::Table { .. } | LossKind::Rows { .. } | LossKind::Sequence { .. }) => {
                shape.bytes + shape.rows * ROW_BYTES
            }
            (_, LossKind::Column { .. } | LossKind::Rewritten { .. }) => {
                let names: Vec<String> = layout.columns().into_iter().map(|column| column.name).collect();
                let width: Option<i64> = sqlx::query_scalar(
                    "SELECT sum(avg_width)::bigint FROM pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = ANY ($3)",
                )
                .bind(shape.name.schema.as_deref())
                .bind(&shape.name.name)
                .bind(&names)
                .fetch_one(&mut *conn)
                .await
                .map_err(|error| failed("estimating the salvage", &error))?;
                // Without statistics: no column is larger than its table.
                width.map_or(shape.bytes, |width| shape.rows * width) + shape.rows * ROW_BYTES
            }
        };
        if bytes >= SAY_BYTES_MIN {
            progress.note(&format!(
                "salvage of {}: about {} rows, {} MiB",
                shape.name,
                shape.rows,
                bytes / (1024 * 1024)
            ));
        }
        needed = needed.saturating_add(bytes);
    }
    let needed = needed.saturating_mul(WRITTEN_TIMES);
    let Some((folder, free)) = free(conn).await? else { return Ok(()) };
    if needed <= free {
        return Ok(());
    }
    let mib = |bytes: i64| bytes / (1024 * 1024);
    Err(refused(
        format!("the salvage needs about {} MiB, and {folder} has {} MiB free", mib(needed), mib(free)),
        "free space on the database's disk, or drop what was salvaged earlier: `unship salvage list`",
    ))
}

/// Where the data is and what is free there, if the server is on this machine and this role may know.
async fn free(conn: &mut PgConnection) -> Result<Option<(String, i64)>, DatabaseFailure> {
    let folder: Option<String> = sqlx::query_scalar(
        "SELECT setting FROM pg_settings WHERE name = 'data_directory' AND inet_server_addr() IS NULL",
    )
    .fetch_optional(conn)
    .await
    .map_err(|error| failed("asking where the data is", &error))?;
    // A server in a container of its own may have its folder elsewhere: then nothing is known.
    let known = folder.and_then(|folder| {
        let disk = rustix::fs::statvfs(folder.as_str()).ok()?;
        let bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        Some((folder, i64::try_from(bytes).unwrap_or(i64::MAX)))
    });
    Ok(known)
}
