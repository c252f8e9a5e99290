//! Executes steps down on a copy: whether they run on the rows that are there, and what they destroy.

use unship_core::down::Program;

use super::connect::{self, Address, Opening, commit, roll_back, say};
use super::copy::{self, Copy};
use super::failure::{failed, refused};
use super::{rows, script, step};
use crate::ports::{DatabaseFailure, Rehearsed};

/// The copy, the one that is tried on, and its journal.
const COPIES: u64 = 3;

/// Executes them one after the other, up to the first that fails. The live database is only read.
pub async fn rehearse(address: &Address, programs: &[Program]) -> Result<Vec<Rehearsed>, DatabaseFailure> {
    let copy = copy::make(address, COPIES).await?;
    let mut all = Vec::with_capacity(programs.len());
    for program in programs {
        let trial = copy.trial();
        std::fs::copy(&copy.file, &trial).map_err(|error| {
            refused(format!("the copy of the database cannot be copied: {error}"), "look at the disk")
        })?;
        match one(&copy, program).await {
            Ok(rehearsed) => all.push(rehearsed),
            Err(failure) => {
                all.push(Rehearsed { losses: Vec::new(), fails: Some(failure.message) });
                break;
            }
        }
        // What the next step finds.
        std::fs::rename(&trial, &copy.file).map_err(|error| {
            refused(format!("the copy of the database cannot be renamed: {error}"), "look at the disk")
        })?;
    }
    copy.remove()?;
    Ok(all)
}

async fn one(copy: &Copy, program: &Program) -> Result<Rehearsed, DatabaseFailure> {
    let script = script::read(program)?;
    let how = Opening { foreign_keys: script.foreign_keys, lock_ms_max: program.session.lock_ms_max };
    let mut conn = Address { file: copy.trial() }.open(how).await?;
    let work = async {
        say(&mut conn, "BEGIN IMMEDIATE").await.map_err(|error| failed("beginning on the copy", &error))?;
        let compared = step::run(&mut conn, &script, program, &copy.file).await?;
        rows::change(&mut conn, &program.table.name, &program.rows).await?;
        // Deferred foreign keys speak up at the commit.
        commit(&mut conn, 1).await?;
        Ok(compared.into_iter().flat_map(|table| table.losses).collect())
    };
    let ended = work.await;
    if ended.is_err() {
        roll_back(&mut conn).await;
    }
    let losses = connect::close(conn, ended).await?;
    Ok(Rehearsed { losses, fails: None })
}
