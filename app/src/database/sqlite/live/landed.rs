//! Whether a step down was executed, as the version table tells.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;
use unship_core::down::{Program, difference};

use super::connect::{self, Address};
use super::rows;
use crate::ports::{DatabaseFailure, Landed};

/// Looks at the version table alone: a step changes it in its own transaction.
pub async fn landed(address: &Address, program: &Program) -> Result<Landed, DatabaseFailure> {
    let mut conn = address.look().await?;
    let ended = look(&mut conn, program).await;
    connect::close(conn, ended).await
}

async fn look(conn: &mut SqliteConnection, program: &Program) -> Result<Landed, DatabaseFailure> {
    if !rows::is_there(conn, program.tool).await? {
        return Ok(Landed::Neither { why: format!("the version table `{}` is gone", program.table) });
    }
    let (applied, _) = rows::read(conn, program.tool).await?;
    let before: BTreeSet<String> = program.applied.iter().cloned().collect();
    if applied.dirty {
        let why = format!("the version table `{}` says that a migration broke off halfway", program.table);
        return Ok(Landed::Neither { why });
    }
    if applied.versions == before {
        return Ok(Landed::Before);
    }
    if applied.versions == program.versions_after() {
        return Ok(Landed::After);
    }
    let difference = difference(&before, &applied.versions);
    Ok(Landed::Neither { why: format!("the version table `{}`: {difference}", program.table) })
}
