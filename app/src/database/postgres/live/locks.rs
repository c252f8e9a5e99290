//! The tables of a step, locked before anything else of its transaction, and who stands in the way.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::Program;
use unship_core::sql::ObjectName;

use super::failure::{DEADLOCK, LOCK_NOT_AVAILABLE, QUERY_CANCELED, failed, is_code, refused, within};
use super::name::quoted;
use crate::ports::{DatabaseFailure, Progress};

/// Pause before the second try; doubled each time, so that others get on in between.
const PAUSE_MS_MIN: u64 = 250;
const PAUSE_MS_MAX: u64 = 5_000;
/// What the network may take on top of what the server is allowed.
pub const SLACK_MS: u64 = 10_000;

/// Opens the step's transaction and locks its tables, or fails with who is in the way and no lock left. The locks
/// come before the first snapshot: a row that somebody writes before them is seen, and none is written after.
pub async fn begin(
    conn: &mut PgConnection,
    program: &Program,
    progress: &dyn Progress,
) -> Result<Instant, DatabaseFailure> {
    let tables = lockable(conn, program).await?;
    let sql = statement(program, &tables)?;
    let settings = &program.session;
    let mut pause_ms = PAUSE_MS_MIN;
    for attempt in 1..=settings.lock_attempts_max.max(1) {
        let tried = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut *conn);
        let Err(error) = within(settings.lock_ms_max.saturating_add(SLACK_MS), tried).await else {
            return Ok(Instant::now());
        };
        if !is_code(&error, &[LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK]) {
            return Err(failed("locking the tables of the step", &error));
        }
        let released = sqlx::raw_sql("ROLLBACK").execute(&mut *conn);
        within(SLACK_MS, released).await.map_err(|error| failed("giving the locks back", &error))?;
        let blockers = blockers(conn, program, &tables).await?;
        if attempt >= settings.lock_attempts_max {
            return Err(refused(
                format!(
                    "the tables of {} could not be locked: {attempt} tries of {} ms; {blockers}",
                    program.migration, settings.lock_ms_max
                ),
                "let it end, or end it: SELECT pg_terminate_backend(PID)",
            ));
        }
        progress.note(&format!(
            "no lock within {} ms; {blockers}; trying again in {pause_ms} ms",
            settings.lock_ms_max
        ));
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
    }
    Err(refused("the step allows no try at its locks", "`lock_attempts_max` has to be 1 or more"))
}

/// Fails with who is in the way if the tables cannot be locked now. Asked before anything is prepared for the step,
/// which would wait for the same sessions and leave more behind.
pub async fn probe(
    conn: &mut PgConnection,
    program: &Program,
    progress: &dyn Progress,
) -> Result<(), DatabaseFailure> {
    begin(conn, program, progress).await?;
    let released = within(SLACK_MS, sqlx::raw_sql("ROLLBACK").execute(conn)).await;
    released.map(drop).map_err(|error| failed("giving the locks back", &error))
}

/// Of the relations of the program those that LOCK takes without taking others along. What else the down locks, it
/// locks itself.
async fn lockable(conn: &mut PgConnection, program: &Program) -> Result<Vec<ObjectName>, DatabaseFailure> {
    let mut tables = Vec::new();
    for name in &program.locks {
        let kind: Option<i8> = sqlx::query_scalar("SELECT relkind FROM pg_class WHERE oid = to_regclass($1)")
            .bind(quoted(name)?)
            .fetch_optional(&mut *conn)
            .await
            .map_err(|error| failed(format_args!("looking for the table {name}"), &error))?;
        match kind.and_then(|kind| u8::try_from(kind).ok()) {
            Some(b'r' | b'p') if *name != program.table => tables.push(name.clone()),
            Some(_) => {}
            None => {
                return Err(refused(
                    format!("{name} is not there, which the down of {} is about", program.migration),
                    "the database is not as its migrations left it",
                ));
            }
        }
    }
    Ok(tables)
}

/// One query: no snapshot is taken before the locks. The version table comes last, as with the tools.
fn statement(program: &Program, tables: &[ObjectName]) -> Result<String, DatabaseFailure> {
    let ms = program.session.lock_ms_max;
    let mut sql = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {ms}; \
         SET LOCAL statement_timeout = {ms}; "
    );
    let names = tables.iter().map(quoted).collect::<Result<Vec<_>, _>>()?;
    if !names.is_empty() {
        sql.push_str(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; ", names.join(", ")));
    }
    // Keeps every tool from writing, and nobody from looking.
    sql.push_str(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE; ", quoted(&program.table)?));
    sql.push_str(&format!("SET LOCAL statement_timeout = {}", program.session.statement_ms_max));
    Ok(sql)
}

const BLOCKERS: &str = "SELECT l.pid, x.gid, string_agg(DISTINCT l.relation::regclass::text, ', '),
    max(a.usename::text), max(a.application_name), max(a.state),
    to_char(max(a.xact_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC',
    to_char(max(a.query_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN (pg_locks t JOIN pg_prepared_xacts x ON t.locktype = 'transactionid' AND x.transaction = t.transactionid)
    ON l.pid IS NULL AND t.pid IS NULL AND t.virtualtransaction = l.virtualtransaction
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (l.relation = ANY($1::regclass[])
    OR l.relation = $2::regclass AND l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
GROUP BY l.pid, x.gid ORDER BY max(a.xact_start) NULLS FIRST LIMIT 3";

type Blocker = (
    Option<i32>,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// Who has locks on the tables, the oldest transactions first. The text of their queries is not shown: there may be
/// anybody's data in it.
async fn blockers(
    conn: &mut PgConnection,
    program: &Program,
    tables: &[ObjectName],
) -> Result<String, DatabaseFailure> {
    let names = tables.iter().map(quoted).collect::<Result<Vec<_>, _>>()?;
    let found: Vec<Blocker> = sqlx::query_as(BLOCKERS)
        .bind(names)
        .bind(quoted(&program.table)?)
        .fetch_all(conn)
        .await
        .map_err(|error| failed("looking who is in the way", &error))?;
    if found.is_empty() {
        return Ok("who was in the way is gone".to_owned());
    }
    Ok(found.iter().map(shown).collect::<Vec<_>>().join("; "))
}

fn shown((pid, gid, tables, role, program, state, transaction, query): &Blocker) -> String {
    let Some(pid) = pid else {
        let gid = gid.as_deref().unwrap_or("?");
        return format!("the prepared transaction `{gid}` has {tables}");
    };
    let text =
        |value: &Option<String>, else_: &'static str| value.clone().unwrap_or_else(|| else_.to_owned());
    format!(
        "process {pid} ({}, role {}, {}) has {tables}: its transaction began {}, its query {}",
        text(program, "no name"),
        text(role, "not shown"),
        text(state, "state not shown"),
        text(transaction, "at a time that is not shown"),
        text(query, "at a time that is not shown"),
    )
}
