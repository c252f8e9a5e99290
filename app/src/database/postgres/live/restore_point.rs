//! Where a restore of the whole database could stop, just before the step.

use sqlx::PgConnection;

use super::failure::failed;
use crate::ports::{DatabaseFailure, StepBy};

/// The longest name of a restore point, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Makes a restore point if this role may and the server writes enough to its log, and says where the log stands.
/// Nobody can write to the tables of the step between it and the step.
pub async fn make(conn: &mut PgConnection, by: &StepBy, xid: i64) -> Result<Vec<String>, DatabaseFailure> {
    let may: bool = sqlx::query_scalar(
        "SELECT has_function_privilege('pg_create_restore_point(text)', 'EXECUTE')
        AND current_setting('wal_level') <> 'minimal'",
    )
    .fetch_one(&mut *conn)
    .await
    .map_err(|error| failed("looking whether a restore point can be made", &error))?;
    let mut said = Vec::new();
    if may {
        let mut name = format!("unship {} {}", by.run, by.step);
        name.truncate(NAME_BYTES_MAX);
        let point: String = sqlx::query_scalar("SELECT pg_create_restore_point($1)::text")
            .bind(&name)
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| failed("making the restore point", &error))?;
        said.push(format!("restore point `{name}` at {point}"));
    }
    let lsn: String = sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text")
        .fetch_one(conn)
        .await
        .map_err(|error| failed("asking for the position in the WAL", &error))?;
    said.push(format!("before the step the WAL was at {lsn}; its transaction is {xid}"));
    Ok(said)
}
