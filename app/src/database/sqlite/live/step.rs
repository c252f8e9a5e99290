//! Executes a step down: everything in one transaction, or nothing.
//!
//! The database is compared with a copy from right before, so what the down destroyed is known by what it did, and not
//! by what its text looks like. The copy is made before the lock; if somebody wrote in between it is made again under it.

use std::path::Path;
use std::time::Instant;

use sqlx::SqliteConnection;
use unship_core::down::{Dialect, Loss, Program};
use unship_core::schema::delta;
use unship_core::tools::about;

use super::ceiling::words;
use super::compare::{Compared, compare};
use super::connect::{self, Address, Opening, roll_back};
use super::copy::{self, Copy};
use super::failure::{failed, refused};
use super::script::{self, Script};
use super::table::BEFORE;
use super::{ceiling, epoch, fence, kept, landed, rows, store, violations, visible};
use crate::ports::{DatabaseFailure, Landed, Progress, StepBy, SteppedDown};

/// How many lines of a difference are shown.
const LINES_MAX: usize = 12;

/// Files of the database's size that a step needs room for: the copy, the journal, and what is salvaged.
const COPIES: u64 = 3;

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
    if program.dialect != Dialect::Sqlite {
        return Err(refused(
            "the step down is not one for SQLite",
            "`migrations.database` says which one it is",
        ));
    }
    let script = script::read(program)?;
    let how = Opening { foreign_keys: script.foreign_keys, lock_ms_max: program.session.lock_ms_max };
    let mut conn = step.address.open(how).await?;
    let ended = transaction(step, &script, &mut conn).await;
    if ended.is_err() {
        roll_back(&mut conn).await;
    }
    connect::close(conn, ended).await
}

async fn transaction(
    step: &Step<'_>,
    script: &Script<'_>,
    conn: &mut SqliteConnection,
) -> Result<SteppedDown, DatabaseFailure> {
    let Step { address, program, by, progress } = *step;
    rows::expect_before(conn, program).await?;
    progress.said("copying the database");
    let seen = data_version(conn).await?;
    let mut copy = copy::make(address, COPIES).await?;
    progress.said("taking the write lock");
    let locked = connect::begin(conn, program.session.lock_attempts_max, progress).await?;
    if data_version(conn).await? != seen {
        progress.said("somebody wrote meanwhile: copying the database again, under the lock");
        copy = copy::make(address, COPIES).await?;
    }
    rows::expect_before(conn, program).await?;
    epoch::claim(conn, by).await?;
    progress.said("running the down");
    let mut said = inside(step, script, conn, &copy).await?;
    progress.said("committing");
    finish(step, conn).await?;
    let locked_us = micros(locked);
    said.extend(copy.remove().err().map(|failure| failure.to_string()));
    Ok(SteppedDown { said, locked_us })
}

/// What happens under the lock; what was salvaged, a line each.
async fn inside(
    step: &Step<'_>,
    script: &Script<'_>,
    conn: &mut SqliteConnection,
    copy: &Copy,
) -> Result<Vec<String>, DatabaseFailure> {
    let Step { program, by, progress, .. } = *step;
    let compared = run(conn, script, program, &copy.file).await?;
    let losses: Vec<Loss> = compared.iter().flat_map(|table| table.losses.iter().cloned()).collect();
    ceiling::check(program, &losses)?;
    progress.said("salvaging what is lost");
    let mut said = salvage(conn, program, by, &compared).await?;
    progress.said("writing the version row");
    rows::change(conn, &program.table.name, &program.rows).await?;
    rows::expect_after(conn, program).await?;
    if program.fence {
        progress.said("putting up the fence");
        fence::put(conn, program, by).await?;
        said.push(format!("fence around {}", program.migration));
    }
    Ok(said)
}

/// Runs the down in the open transaction and compares the database with the copy from before. Fails if it does
/// something else to the catalog than the program says, or leaves rows that point nowhere.
pub async fn run(
    conn: &mut SqliteConnection,
    script: &Script<'_>,
    program: &Program,
    before: &Path,
) -> Result<Vec<Compared>, DatabaseFailure> {
    let catalog_before = visible::read(conn, program.tool).await?;
    script.run(conn, program).await?;
    let changes = delta(&catalog_before, &visible::read(conn, program.tool).await?);
    expect_delta(program, &changes)?;
    attach(conn, before).await?;
    let (was, is) = (violations::count(conn, BEFORE).await?, violations::count(conn, "main").await?);
    if let Some(worse) = violations::worse(&was, &is) {
        return Err(refused(
            format!("after the down of {}, {worse}", program.migration),
            "mend those rows, or roll forward",
        ));
    }
    let version_table = about(program.tool).table.map_or("", |table| table.name);
    compare(conn, &script.renames(), version_table, &was).await
}

/// Only now, so that no name in the down can mean a table of the copy.
async fn attach(conn: &mut SqliteConnection, before: &Path) -> Result<(), DatabaseFailure> {
    let Some(file) = before.to_str() else {
        return Err(refused(format!("the path `{}` is not UTF-8", before.display()), "move the database"));
    };
    // The name is fixed: an attached database cannot be given one by a value.
    let attached = sqlx::query("ATTACH ? AS unship_before").bind(file).execute(conn).await;
    attached.map(drop).map_err(|error| failed("opening the copy of the database", &error))
}

fn expect_delta(program: &Program, changes: &[String]) -> Result<(), DatabaseFailure> {
    if changes == program.delta {
        return Ok(());
    }
    let list = |of: &[String], without: &[String]| {
        let lines: Vec<&str> =
            of.iter().filter(|line| !without.contains(line)).map(String::as_str).take(LINES_MAX).collect();
        if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
    };
    Err(refused(
        format!(
            "the down of {} did not do to the catalog what it did when it was tried. Done and not expected: {}. \
             Expected and not done: {}",
            program.migration,
            list(changes, &program.delta),
            list(&program.delta, changes)
        ),
        "it was rolled back; the live schema is not the one that the migrations make: compare them with `unship check`",
    ))
}

async fn salvage(
    conn: &mut SqliteConnection,
    program: &Program,
    by: &StepBy,
    compared: &[Compared],
) -> Result<Vec<String>, DatabaseFailure> {
    let number = kept::next(conn).await?;
    let (mut layouts, mut said) = (Vec::new(), Vec::new());
    for table in compared {
        let Some(layout) = store::save(conn, number, table).await? else { continue };
        let what = layout.losses.iter().map(words).collect::<Vec<_>>().join(", ");
        said.push(format!("salvaged {} rows in `{}`: {what}", layout.rows, layout.place));
        layouts.push(layout);
    }
    if !layouts.is_empty() {
        kept::write(conn, number, program, by, &layouts).await?;
    }
    Ok(said)
}

/// Commits. If that fails, the file itself says whether it was done.
async fn finish(step: &Step<'_>, conn: &mut SqliteConnection) -> Result<(), DatabaseFailure> {
    let Err(failure) = connect::commit(conn, step.program.session.lock_attempts_max).await else {
        return Ok(());
    };
    roll_back(conn).await;
    match landed::landed(step.address, step.program).await {
        Ok(Landed::After) => Ok(()),
        Ok(Landed::Before) => Err(failure),
        Ok(Landed::Neither { .. }) | Err(_) => Err(DatabaseFailure { in_doubt: true, ..failure }),
    }
}

/// Changes whenever another connection has committed something.
async fn data_version(conn: &mut SqliteConnection) -> Result<i64, DatabaseFailure> {
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(conn)
        .await
        .map_err(|error| failed("looking whether somebody writes", &error))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
