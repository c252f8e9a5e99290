//! Executes a step down that no transaction can hold, and for which that was accepted: piece by piece.

use sqlx::PgConnection;

use super::connect::{as_ourselves, as_the_tool};
use super::failure::failed;
use super::step::{Step, batch_of, expect_delta, read_catalog, transaction, write_rows};
use super::visible::visible;
use super::{commit, count, epoch, exclusive, locks, restore_point, rows};
use crate::database::postgres::salvage;
use crate::ports::{DatabaseFailure, SteppedDown};

/// First what is salvaged, in a transaction with the locks; then each piece by itself; then the tool's rows. From the
/// first piece on a failure leaves what came before it.
pub async fn down(step: &Step<'_>, conn: &mut PgConnection) -> Result<SteppedDown, DatabaseFailure> {
    let Step { program, by, progress, .. } = *step;
    locks::probe(conn, program, progress).await?;
    let mut prepared = salvage::prepare(conn, program, by, progress).await?;
    let online = count::online(conn, &program.allowed).await?;
    let base = read_catalog(conn, None).await?;
    let since = locks::begin(conn, program, progress).await?;
    exclusive::expect_held(conn).await?;
    let xid = transaction(conn).await?;
    epoch::claim(conn, by).await?;
    rows::expect_before(conn, program).await?;
    count::expect_within(conn, &program.allowed, &online, &prepared).await?;
    let mut said = restore_point::make(conn, by, xid).await?;
    let batches = salvage::take(conn, &mut prepared).await?;
    let kept = sqlx::raw_sql("COMMIT").execute(&mut *conn).await;
    kept.map_err(|error| half(step, 0, batches.len(), failed("committing the salvage", &error)))?;
    let locked_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    // From here on what is done stays done.
    as_the_tool(conn)
        .await
        .map_err(|error| half(step, 0, batches.len(), failed("the session's settings", &error)))?;
    for (place, batch) in batches.iter().enumerate() {
        let ended = batch_of(conn, program, batch, place, batches.len()).await;
        ended.map_err(|failure| half(step, place, batches.len(), failure))?;
    }
    let finished = async {
        as_ourselves(conn).await.map_err(|error| failed("the session's settings", &error))?;
        sqlx::raw_sql("BEGIN")
            .execute(&mut *conn)
            .await
            .map_err(|error| failed("the last transaction", &error))?;
        let xid = transaction(conn).await?;
        epoch::claim(conn, by).await?;
        write_rows(step, conn, xid).await?;
        said.extend(salvage::settle(conn, prepared).await?);
        commit::commit(step, conn, xid).await
    };
    finished.await.map_err(|failure| half(step, batches.len(), batches.len(), failure))?;
    let is_as_foreseen = async {
        let before = visible(&base.catalog, program.tool);
        let after = visible(&read_catalog(conn, Some(&base)).await?.catalog, program.tool);
        expect_delta(program, &before, &after)
    };
    is_as_foreseen.await.map_err(|failure| other(step, &failure))?;
    said.push("it was run piece by piece: no transaction can hold it".to_owned());
    Ok(SteppedDown { said, locked_us })
}

/// Says that it is done, and that the schema is not what was foreseen.
fn other(step: &Step<'_>, failure: &DatabaseFailure) -> DatabaseFailure {
    let migration = &step.program.migration;
    DatabaseFailure {
        message: format!(
            "{failure}. No transaction holds this down: {migration} is taken down all the same, and its version with it"
        ),
        hint: Some("mend the schema by hand; `unship salvage list` shows what is kept".into()),
        in_doubt: true,
    }
}

/// Says what stays.
fn half(step: &Step<'_>, done: usize, count: usize, failure: DatabaseFailure) -> DatabaseFailure {
    DatabaseFailure {
        message: format!(
            "{}. No transaction holds this down: {done} of {count} parts of {} are done and stay, and so does what was salvaged",
            failure.message, step.program.migration
        ),
        hint: failure.hint,
        in_doubt: true,
    }
}
