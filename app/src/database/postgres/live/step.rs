//! Executes a step down: everything in one transaction, or nothing.

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::{Dialect, Program};
use unship_core::schema::{Catalog, delta};

use super::connect::{Address, as_ourselves, as_the_tool};
use super::failure::{failed, refused, within};
use super::locks::SLACK_MS;
use super::visible::visible;
use super::{commit, count, epoch, exclusive, fence, home, locks, look, pieces, restore_point, rows};
use crate::database::postgres::catalog::{self, Reading};
use crate::database::postgres::salvage::{self, Prepared};
use crate::ports::{DatabaseFailure, Progress, StepBy, SteppedDown};

/// How many lines of either side of a difference are shown.
const LINES_MAX: usize = 12;
/// How long the way back to the state before may take.
const ROLLBACK_MS_MAX: u64 = 15_000;

/// A session of the server: its process, and when it began.
type BackendSession = (i32, String);

/// What a step is taken with.
pub struct Step<'a> {
    pub address: &'a Address,
    pub program: &'a Program,
    pub by: &'a StepBy,
    pub progress: &'a dyn Progress,
}

/// Takes the step.
pub async fn down(step: &Step<'_>) -> Result<SteppedDown, DatabaseFailure> {
    let program = step.program;
    if program.dialect != Dialect::Postgres {
        return Err(refused(
            "the step down is not one for PostgreSQL",
            "`migrations.database` says which one it is",
        ));
    }
    let mut conn = step.address.connect(&program.session).await?;
    expect_may(&mut conn, program).await?;
    home::ensure(&mut conn).await?;
    exclusive::take(&mut conn, program.tool_lock, &program.session, step.progress).await?;
    rows::expect_before(&mut conn, program).await?;
    let session: BackendSession =
        sqlx::query_as("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            .fetch_one(&mut conn)
            .await
            .map_err(|error| failed("asking for the session", &error))?;
    let ended =
        if program.atomic { whole(step, &mut conn).await } else { pieces::down(step, &mut conn).await };
    match ended {
        Err(failure) if !failure.in_doubt || !program.atomic => {
            let left = abandon(step, conn, &session).await.err();
            let left = left
                .map(|left| format!("; what was prepared for the salvage could not be put in order: {left}"));
            Err(DatabaseFailure {
                message: format!("{}{}", failure.message, left.unwrap_or_default()),
                ..failure
            })
        }
        ended => ended,
    }
}

/// Whether the role can do it at all.
async fn expect_may(conn: &mut PgConnection, program: &Program) -> Result<(), DatabaseFailure> {
    if let Some(why) = look::look(conn, program.tool).await?.cannot_change {
        return Err(refused(format!("nothing can be changed in the database: {why}"), "nothing was touched"));
    }
    match look::why_not(conn, &program.locks).await? {
        Some(why) => Err(refused(why, "nothing was touched")),
        None => Ok(()),
    }
}

/// All of it in one transaction.
async fn whole(step: &Step<'_>, conn: &mut PgConnection) -> Result<SteppedDown, DatabaseFailure> {
    let Step { program, by, progress, .. } = *step;
    locks::probe(conn, program, progress).await?;
    let prepared = salvage::prepare(conn, program, by, progress).await?;
    let online = count::online(conn, &program.allowed).await?;
    let base = read_catalog(conn, None).await?;
    let since = locks::begin(conn, program, progress).await?;
    let (xid, said) = inside(step, conn, prepared, &online, &base).await?;
    commit::commit(step, conn, xid).await?;
    let locked_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(SteppedDown { said, locked_us })
}

async fn inside(
    step: &Step<'_>,
    conn: &mut PgConnection,
    mut prepared: Prepared,
    online: &[u64],
    base: &Reading,
) -> Result<(i64, Vec<String>), DatabaseFailure> {
    let Step { program, by, .. } = *step;
    exclusive::expect_held(conn).await?;
    let xid = transaction(conn).await?;
    epoch::claim(conn, by).await?;
    rows::expect_before(conn, program).await?;
    count::expect_within(conn, &program.allowed, online, &prepared).await?;
    let before = visible(&read_catalog(conn, Some(base)).await?.catalog, program.tool);
    let mut said = restore_point::make(conn, by, xid).await?;
    let batches = salvage::take(conn, &mut prepared).await?;
    run(conn, program, &batches).await?;
    if transaction(conn).await? != xid {
        // The first half is there to stay; nobody can take it back from here.
        return Err(DatabaseFailure {
            message: format!("the down of {} ended its transaction by itself", program.migration),
            hint: Some("look at the schema by hand: what stood before that statement is committed".into()),
            in_doubt: true,
        });
    }
    write_rows(step, conn, xid).await?;
    said.extend(salvage::settle(conn, prepared).await?);
    let after = visible(&read_catalog(conn, Some(base)).await?.catalog, program.tool);
    expect_delta(program, &before, &after)?;
    Ok((xid, said))
}

/// Runs the down as the tool would, and then what would otherwise wait for the commit.
async fn run(conn: &mut PgConnection, program: &Program, batches: &[String]) -> Result<(), DatabaseFailure> {
    as_the_tool(conn).await.map_err(|error| failed("the session's settings", &error))?;
    for (place, batch) in batches.iter().enumerate() {
        batch_of(conn, program, batch, place, batches.len()).await?;
    }
    let checked = sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *conn);
    within(program.session.statement_ms_max.saturating_add(SLACK_MS), checked)
        .await
        .map_err(|error| failed(format_args!("the rows after the down of {}", program.migration), &error))?;
    as_ourselves(conn).await.map_err(|error| failed("the session's settings", &error))
}

/// Sends one batch as one simple query.
pub async fn batch_of(
    conn: &mut PgConnection,
    program: &Program,
    batch: &str,
    place: usize,
    count: usize,
) -> Result<(), DatabaseFailure> {
    // The text is the down's own, the one that was checked.
    let sent = sqlx::raw_sql(AssertSqlSafe(batch.to_owned())).execute(conn);
    let ended = within(program.session.statement_ms_max.saturating_add(SLACK_MS), sent).await;
    ended.map(drop).map_err(|error| {
        let which = if count > 1 { format!(", part {} of {count}", place + 1) } else { String::new() };
        failed(format_args!("the down of {}{which}", program.migration), &error)
    })
}

/// The tool's rows, the fence, and the row by which it is known that all this was committed.
pub async fn write_rows(step: &Step<'_>, conn: &mut PgConnection, xid: i64) -> Result<(), DatabaseFailure> {
    let Step { program, by, .. } = *step;
    rows::change(conn, &program.table, &program.rows).await?;
    rows::expect_after(conn, program).await?;
    epoch::mark(conn, program, by, xid).await?;
    if program.fence {
        fence::put(conn, program, by).await?;
    }
    Ok(())
}

/// The transaction's number; one is given out if it has none yet.
pub async fn transaction(conn: &mut PgConnection) -> Result<i64, DatabaseFailure> {
    let number = sqlx::query_scalar("SELECT txid_current()").fetch_one(conn).await;
    number.map_err(|error| failed("asking for the transaction's number", &error))
}

/// Reads the catalog, or what changed of it since.
pub async fn read_catalog(
    conn: &mut PgConnection,
    base: Option<&Reading>,
) -> Result<Reading, DatabaseFailure> {
    let read = match base {
        Some(base) => catalog::read_since(conn, base).await,
        None => catalog::read(conn).await,
    };
    let reading = read.map_err(|error| failed("reading the catalog", &error))?;
    as_ourselves(conn).await.map_err(|error| failed("the session's settings", &error))?;
    Ok(reading)
}

/// Fails unless the catalog has changed exactly as on the throwaway database.
pub fn expect_delta(program: &Program, before: &Catalog, after: &Catalog) -> Result<(), DatabaseFailure> {
    let found = delta(before, after);
    if found == program.delta {
        return Ok(());
    }
    let without = |of: &[String], other: &[String]| {
        let lines: Vec<&str> = of.iter().filter(|line| !other.contains(line)).map(String::as_str).collect();
        let more = lines.len().saturating_sub(LINES_MAX);
        let shown = lines.iter().take(LINES_MAX).copied().collect::<Vec<_>>().join("; ");
        match (lines.is_empty(), more) {
            (true, _) => "nothing".to_owned(),
            (false, 0) => shown,
            (false, more) => format!("{shown}; and {more} more"),
        }
    };
    Err(DatabaseFailure {
        message: format!(
            "the down of {} does not do to this database what it did to the throwaway one. Only here: {}. Only there: {}",
            program.migration,
            without(&found, &program.delta),
            without(&program.delta, &found),
        ),
        hint: Some(
            "somebody changed the schema by hand, or just now: compare it, then ask for the step again"
                .into(),
        ),
        in_doubt: false,
    })
}

/// Takes the transaction back and what was prepared before it; what was taken of a step that broke off is settled. A session that hangs is ended, so that its locks go.
async fn abandon(
    step: &Step<'_>,
    mut conn: PgConnection,
    session: &BackendSession,
) -> Result<(), DatabaseFailure> {
    let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut conn);
    let is_back = within(ROLLBACK_MS_MAX, rolled_back).await.is_ok();
    let settled = within(ROLLBACK_MS_MAX, as_ourselves(&mut conn)).await;
    if !is_back || settled.is_err() {
        drop(conn);
        conn = step.address.reconnect(&step.program.session).await?;
        // It may have ended with its connection.
        let ended = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2",
        );
        let _ = ended.bind(session.0).bind(&session.1).execute(&mut conn).await;
    }
    let ended = salvage::abandon(&mut conn, &step.by.run, step.by.step).await;
    step.address.close(conn, ended).await
}
