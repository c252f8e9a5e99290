//! Whose step it is: the environment's epoch, held for the whole transaction, and the row that says that a step was
//! committed.

use sqlx::PgConnection;
use unship_core::down::Program;
use unship_core::protocol::Epoch;

use super::failure::{failed, refused};
use crate::ports::{DatabaseFailure, StepBy};

fn number(epoch: Epoch) -> i64 {
    i64::try_from(epoch.0).unwrap_or(i64::MAX)
}

/// Holds the epoch row until the transaction ends, and writes the step's epoch into it. A lower epoch than the
/// row's is refused: another run has the environment.
pub async fn claim(conn: &mut PgConnection, by: &StepBy) -> Result<(), DatabaseFailure> {
    let (service, environment) = (by.service.as_str(), by.environment.as_str());
    let held = async {
        sqlx::query("INSERT INTO _unship.epoch VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING")
            .bind(service)
            .bind(environment)
            .bind(by.run.as_str())
            .execute(&mut *conn)
            .await?;
        sqlx::query_as::<_, (i64, String)>(
            "SELECT epoch, run FROM _unship.epoch WHERE service = $1 AND environment = $2 FOR UPDATE",
        )
        .bind(service)
        .bind(environment)
        .fetch_one(&mut *conn)
        .await
    };
    let (stored, run) = held.await.map_err(|error| failed("taking the epoch", &error))?;
    let ours = number(by.epoch);
    if stored > ours {
        return Err(refused(
            format!(
                "run {run} has taken over {service} {environment} with epoch {stored}; this run has {ours}"
            ),
            "unship status",
        ));
    }
    sqlx::query("UPDATE _unship.epoch SET epoch = $3, run = $4 WHERE service = $1 AND environment = $2")
        .bind(service)
        .bind(environment)
        .bind(ours)
        .bind(by.run.as_str())
        .execute(conn)
        .await
        .map(drop)
        .map_err(|error| failed("writing the epoch", &error))
}

/// Writes that this transaction, `xid`, takes the step.
pub async fn mark(
    conn: &mut PgConnection,
    program: &Program,
    by: &StepBy,
    xid: i64,
) -> Result<(), DatabaseFailure> {
    sqlx::query(
        "INSERT INTO _unship.step VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
            to_timestamp($12::float8 / 1000))
        ON CONFLICT (run, step) DO UPDATE SET xid = excluded.xid, at = excluded.at",
    )
    .bind(by.run.as_str())
    .bind(step(by))
    .bind(by.service.as_str())
    .bind(by.environment.as_str())
    .bind(&program.migration)
    .bind(&program.version)
    .bind(by.release.as_ref().map(|release| release.tag.to_string()))
    .bind(by.release.as_ref().map(|release| release.digest.to_string()))
    .bind(&by.who)
    .bind(&by.reason)
    .bind(xid)
    .bind(by.at.0)
    .execute(conn)
    .await
    .map(drop)
    .map_err(|error| failed("writing that the step was taken", &error))
}

/// Whether the transaction `xid` of this step is there to stay. Transaction ids alone would not tell: those that a
/// crash took with it are given out again.
pub async fn is_marked(conn: &mut PgConnection, by: &StepBy, xid: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM _unship.step WHERE run = $1 AND step = $2 AND xid = $3)")
        .bind(by.run.as_str())
        .bind(step(by))
        .bind(xid)
        .fetch_one(conn)
        .await
}

/// The step's place, as the tables here have it.
pub fn step(by: &StepBy) -> i64 {
    i64::try_from(by.step).unwrap_or(i64::MAX)
}
