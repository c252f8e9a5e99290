//! Whether a step down was executed, as the version table tells where it can.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use unship_core::down::{Program, difference};

use super::failure::failed;
use super::{exclusive, rows};
use crate::ports::{DatabaseFailure, Landed};

/// Looks at the version table alone: a step changes it in its own transaction. What that says counts only once nobody
/// steps the database any more, and on the server where steps are taken.
pub async fn landed(conn: &mut PgConnection, program: &Program) -> Result<Landed, DatabaseFailure> {
    let is_replica: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| failed("looking at the database", &error))?;
    if is_replica {
        let why =
            "the server is a replica, which may not have it yet: the primary has to be named".to_owned();
        return Ok(Landed::Neither { why });
    }
    if let Some(who) = exclusive::stepper(conn).await? {
        return Ok(Landed::Neither { why: format!("a step of unship is still under way: {who}") });
    }
    if rows::find(conn, program.tool).await?.is_none() {
        return Ok(Landed::Neither { why: format!("the version table {} is gone", program.table) });
    }
    let (applied, _) = rows::read(conn, program.tool, &program.table).await?;
    let before: BTreeSet<String> = program.applied.iter().cloned().collect();
    if applied.dirty {
        let why = format!("the version table {} says that a migration broke off halfway", program.table);
        return Ok(Landed::Neither { why });
    }
    if applied.versions == before {
        return Ok(Landed::Before);
    }
    if applied.versions == program.versions_after() {
        return Ok(Landed::After);
    }
    let difference = difference(&before, &applied.versions);
    Ok(Landed::Neither { why: format!("the version table {}: {difference}", program.table) })
}
