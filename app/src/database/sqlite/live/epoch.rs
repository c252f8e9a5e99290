//! Whose step it is: the environment's epoch, taken in the step's own transaction.

use sqlx::SqliteConnection;

use super::connect::say;
use super::failure::{failed, refused};
use crate::ports::{DatabaseFailure, StepBy};

const MAKE: &str = "CREATE TABLE IF NOT EXISTS main.unship_epoch (service TEXT NOT NULL, environment TEXT NOT NULL, \
    epoch INTEGER NOT NULL, run TEXT NOT NULL, PRIMARY KEY (service, environment))";

/// Writes the step's epoch. A lower one than the row's is refused: another run has the environment. The write lock of
/// the transaction holds the row.
pub async fn claim(conn: &mut SqliteConnection, by: &StepBy) -> Result<(), DatabaseFailure> {
    let (service, environment) = (by.service.as_str(), by.environment.as_str());
    let failing = |error: sqlx::Error| failed("taking the epoch", &error);
    say(conn, MAKE).await.map_err(failing)?;
    let stored: Option<(i64, String)> =
        sqlx::query_as("SELECT epoch, run FROM main.unship_epoch WHERE service = ? AND environment = ?")
            .bind(service)
            .bind(environment)
            .fetch_optional(&mut *conn)
            .await
            .map_err(failing)?;
    let ours = i64::try_from(by.epoch.0).unwrap_or(i64::MAX);
    if let Some((stored, run)) = stored.filter(|(stored, _)| *stored > ours) {
        return Err(refused(
            format!(
                "run {run} has taken over {service} {environment} with epoch {stored}; this run has {ours}"
            ),
            "unship status",
        ));
    }
    sqlx::query("INSERT OR REPLACE INTO main.unship_epoch VALUES (?, ?, ?, ?)")
        .bind(service)
        .bind(environment)
        .bind(ours)
        .bind(by.run.as_str())
        .execute(conn)
        .await
        .map(drop)
        .map_err(failing)
}
