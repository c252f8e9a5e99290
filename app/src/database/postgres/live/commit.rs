//! The commit of a step, and finding out whether it landed when nobody said so.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::epoch;
use super::failure::{failed, is_code, session_lives, within};
use super::locks::SLACK_MS;
use super::step::Step;
use crate::ports::DatabaseFailure;

/// How long it is tried to find out.
const DOUBT_MS_MAX: u64 = 60_000;
const AGAIN_MS: u64 = 250;
/// One question on the way.
const ASK_MS_MAX: u64 = 5_000;

/// Commits transaction `xid`. Returns when it is known to be there to stay; a failure that is not in doubt means that
/// it was rolled back.
pub async fn commit(step: &Step<'_>, conn: &mut PgConnection, xid: i64) -> Result<(), DatabaseFailure> {
    let migration = &step.program.migration;
    let limit = step.program.session.statement_ms_max.saturating_add(SLACK_MS);
    let sent = within(limit, sqlx::raw_sql("COMMIT").execute(&mut *conn)).await;
    let why = match sent {
        Err(error) if session_lives(&error) => {
            return Err(failed(format_args!("committing the down of {migration}"), &error));
        }
        // A server may answer a COMMIT with a rollback, and call that no error.
        Ok(_) => match within(ASK_MS_MAX, epoch::is_marked(conn, step.by, xid)).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(rolled_back(migration)),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    step.progress.note(&format!("the connection broke at the commit ({why}); looking whether it landed"));
    match landed(step, xid).await {
        Some(true) => Ok(()),
        Some(false) => Err(rolled_back(migration)),
        None => Err(DatabaseFailure {
            message: format!(
                "the connection broke at the commit of the down of {migration} ({why}), and within {} s nothing could be learnt of transaction {xid}",
                DOUBT_MS_MAX / 1_000
            ),
            hint: Some(format!(
                "when the database answers again: SELECT txid_status({xid}), or unship resume"
            )),
            in_doubt: true,
        }),
    }
}

fn rolled_back(migration: &str) -> DatabaseFailure {
    DatabaseFailure {
        message: format!("the down of {migration} was not committed: the server rolled it back"),
        hint: None,
        in_doubt: false,
    }
}

/// Whether the transaction landed; none if that cannot be learnt in time.
async fn landed(step: &Step<'_>, xid: i64) -> Option<bool> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(DOUBT_MS_MAX) {
        if let Ok(mut conn) = step.address.connect(&super::connect::LOOKING).await
            && let Ok(Some(landed)) = within(ASK_MS_MAX, ask(step, &mut conn, xid)).await
        {
            return Some(landed);
        }
        tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
    }
    None
}

/// None while the transaction goes on, or on a standby that may not have it yet.
async fn ask(step: &Step<'_>, conn: &mut PgConnection, xid: i64) -> Result<Option<bool>, sqlx::Error> {
    let is_replica: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *conn).await?;
    if is_replica {
        return Ok(None);
    }
    let status: Result<Option<String>, _> =
        sqlx::query_scalar("SELECT txid_status($1)").bind(xid).fetch_one(&mut *conn).await;
    match status {
        Ok(Some(status)) if status == "in progress" => return Ok(None),
        Ok(_) => {}
        // A number from the future: the server crashed before it was ever written down.
        Err(error) if is_code(&error, &["22023"]) => {}
        Err(error) => return Err(error),
    }
    epoch::is_marked(conn, step.by, xid).await.map(Some)
}
