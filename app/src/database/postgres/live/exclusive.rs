//! Advisory locks of the session: the tool's own, so that it waits, and one of unship's, so that two steps on one
//! database never overlap.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use unship_core::down::Session;

use super::failure::{failed, refused};
use crate::ports::{DatabaseFailure, Progress};

/// Whoever steps a database up or down has this one.
const STEPPER: i64 = 0x756e_7368_6970_0002;
/// How often it is tried again.
const AGAIN_MS: u64 = 100;
/// How long a session that ends may still be seen.
const ENDING_MS_MAX: u64 = 5_000;

const WHO: &str = "SELECT l.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''),
    to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.classid::bigint = (($1 >> 32) & 4294967295) AND l.objid::bigint = ($1 & 4294967295) LIMIT 1";

/// Takes both locks, each within the time that table locks may take altogether. They go with the connection.
pub async fn take(
    conn: &mut PgConnection,
    tool_lock: Option<i64>,
    settings: &Session,
    progress: &dyn Progress,
) -> Result<(), DatabaseFailure> {
    take_one(conn, STEPPER, "another step of unship runs on this database", settings, progress).await?;
    if let Some(key) = tool_lock {
        take_one(conn, key, "the migration tool's own lock is taken", settings, progress).await?;
    }
    Ok(())
}

async fn take_one(
    conn: &mut PgConnection,
    key: i64,
    taken: &str,
    settings: &Session,
    progress: &dyn Progress,
) -> Result<(), DatabaseFailure> {
    let wait_ms_max = settings.lock_ms_max.saturating_mul(u64::from(settings.lock_attempts_max));
    let started = Instant::now();
    let mut was_said = false;
    loop {
        let got: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(key)
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| failed("taking the advisory lock", &error))?;
        if got {
            return Ok(());
        }
        let holder = holder(conn, key).await;
        if started.elapsed() >= Duration::from_millis(wait_ms_max) {
            return Err(refused(
                format!("{taken}: {holder}; waited {wait_ms_max} ms"),
                "wait for it to end, or end it: SELECT pg_terminate_backend(PID)",
            ));
        }
        if !was_said {
            progress.note(&format!("{taken}: {holder}; waiting up to {wait_ms_max} ms"));
            was_said = true;
        }
        tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
    }
}

/// Who has it, for a person.
async fn holder(conn: &mut PgConnection, key: i64) -> String {
    let shown = who(conn, key).await.ok().flatten();
    shown.unwrap_or_else(|| "by a session that is not shown".to_owned())
}

/// The session that has it; none where nobody has.
async fn who(conn: &mut PgConnection, key: i64) -> Result<Option<String>, sqlx::Error> {
    // Process, program, role, since when.
    type Holder = (i32, String, String, Option<String>);
    let found: Option<Holder> = sqlx::query_as(WHO).bind(key).fetch_optional(conn).await?;
    Ok(found.map(|(pid, program, role, since)| {
        let since = since.map(|since| format!(", connected since {since}")).unwrap_or_default();
        format!("process {pid} ({program}, role {role}{since})")
    }))
}

/// Which other session steps this database at the moment. One that is about to end is waited for.
pub async fn stepper(conn: &mut PgConnection) -> Result<Option<String>, DatabaseFailure> {
    let started = Instant::now();
    loop {
        let who = who(conn, STEPPER)
            .await
            .map_err(|error| failed("looking whether a step is under way", &error))?;
        if who.is_none() || started.elapsed() >= Duration::from_millis(ENDING_MS_MAX) {
            return Ok(who);
        }
        tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
    }
}

/// Fails unless this very session has the lock: behind a pooler that gives every transaction another session, no
/// lock of a session means anything.
pub async fn expect_held(conn: &mut PgConnection) -> Result<(), DatabaseFailure> {
    let held: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND pid = pg_backend_pid() AND classid::bigint = (($1 >> 32) & 4294967295)
            AND objid::bigint = ($1 & 4294967295))",
    )
    .bind(STEPPER)
    .fetch_one(conn)
    .await
    .map_err(|error| failed("looking for the advisory lock", &error))?;
    if held {
        return Ok(());
    }
    Err(refused(
        "the session is not the one that took the lock: a pooler stands between, with a session per transaction",
        "name the server itself in the file of `database.url_file`, or a pooler that keeps sessions",
    ))
}
