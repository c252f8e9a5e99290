//! Which transaction applied a migration again, and which are unship's own or those of other migrations: what these
//! wrote, nobody wrote.

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::LossKind;
use unship_core::sql::quote::identifier;
use unship_core::tools::about;

use super::version_table;
use crate::database::postgres::live::name::quoted;
use crate::database::postgres::salvage::shape::Column;
use crate::database::postgres::salvage::shelf::{self, Written};
use crate::database::postgres::salvage::{failed, run, scalar, since as notes};
use crate::ports::DatabaseFailure;

const WHAT: &str = "what was written since the step down";

/// What is known of the time since the migration was applied again. Transactions are numbered as rows have them.
pub(super) struct Since {
    /// The transaction that applied it; none where nothing tells.
    pub up: Option<String>,
    /// The first transaction that is surely ours: the tables are locked against all others.
    pub ours: i64,
    /// Those of unship's steps, and of all migrations that were applied again.
    pub own: Vec<String>,
    /// Earlier restores, each from its first number to its last: savepoints have numbers too.
    pub restores: Vec<(String, String)>,
}

impl Since {
    /// Reads it. The tables are locked by now.
    pub async fn read(conn: &mut PgConnection, written: &Written) -> Result<Since, DatabaseFailure> {
        let ours = "SELECT txid_snapshot_xmax(txid_current_snapshot())";
        let ours = scalar(conn, "asking for the transaction's number", ours).await?;
        let own = "SELECT (xid % 4294967296)::text FROM _unship.step
            UNION SELECT (xid::bigint % 4294967296)::text FROM _unship.salvage WHERE xid IS NOT NULL";
        let mut own: Vec<String> =
            sqlx::query_scalar(own).fetch_all(&mut *conn).await.map_err(|error| failed(WHAT, &error))?;
        let mut up = None;
        for other in shelf::all(conn).await? {
            let applied = applied(conn, &other).await?;
            if other.id == written.id {
                up.clone_from(&applied);
            }
            own.extend(applied);
        }
        let restores =
            sqlx::query_as("SELECT (first_xid % 4294967296)::text, xmin::text FROM _unship.restored")
                .fetch_all(conn)
                .await
                .map_err(|error| failed(WHAT, &error))?;
        Ok(Since { up, ours, own, restores })
    }

    /// Writes down which numbers this restore has, for those that come after it. The row has the last of them itself:
    /// a savepoint gets its number after all that came before it.
    pub async fn note(&self, conn: &mut PgConnection) -> Result<(), DatabaseFailure> {
        let sql = format!(
            "SAVEPOINT unship_note; INSERT INTO _unship.restored VALUES ({}); RELEASE SAVEPOINT unship_note",
            self.ours
        );
        run(conn, "the account of the salvage", sql).await.map(drop)
    }

    /// The row version `xmin` is of an own transaction or an earlier restore.
    pub fn is_own(&self, xmin: &str) -> String {
        let mut any = vec![format!("CAST({xmin} AS text) = ANY ('{{{}}}'::text[])", self.own.join(","))];
        any.extend(
            self.restores.iter().map(|(first, last)| {
                format!("age({xmin}) BETWEEN age('{last}'::xid) AND age('{first}'::xid)")
            }),
        );
        any.join(" OR ")
    }

    /// The row version `xmin` is of this transaction.
    pub fn is_ours(&self, xmin: &str) -> String {
        format!("age({xmin}) <= age('{}'::xid)", self.ours % (1 << 32))
    }
}

/// The transaction that applied a salvage's migration again: the oldest that wrote its version, made what its down had
/// taken away, or gave a column its type again. The row of the version alone does not tell: sqlx writes it once more
/// after its commit, golang-migrate has one for all versions, and without a transaction it comes last.
async fn applied(conn: &mut PgConnection, written: &Written) -> Result<Option<String>, DatabaseFailure> {
    let Some(down) = written.xid else { return Ok(None) };
    let mut found = version_row(conn, written).await?;
    let time_of = applied_at(written)?;
    for kept in shelf::stores(conn, written.id).await? {
        if let Some(time_of) = &time_of {
            found.extend(notes::begun_at(conn, &kept, time_of, &written.version).await?);
        }
        let columns: Vec<String> = match &kept.kind {
            LossKind::Column { column, .. } | LossKind::Rewritten { column, .. } => vec![column.clone()],
            LossKind::Table { .. } => {
                let stayed = |column: &Column| kept.layout.rest.iter().any(|one| one.name == column.name);
                let was_made_anew = !kept.layout.rest.is_empty();
                let columns = kept.layout.columns().into_iter().filter(|one| was_made_anew && !stayed(one));
                // Once the table is made nothing ever writes the row of this column again.
                columns.map(|column| column.name).chain(["tableoid".to_owned()]).collect()
            }
            // What they are of is not made anew.
            LossKind::Rows { .. } | LossKind::Sequence { .. } => continue,
        };
        let made: Vec<String> = sqlx::query_scalar(
            "SELECT xmin::text FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attname = ANY ($2) AND NOT attisdropped",
        )
        .bind(quoted(&kept.layout.table)?)
        .bind(columns)
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
        found.extend(made);
    }
    // Numbers go round; one is newer than the down up to half a round after it.
    let since_down = |xid: &String| xid.parse::<u32>().unwrap_or_default().wrapping_sub(down);
    found.retain(|xid| (1..1 << 31).contains(&since_down(xid)));
    Ok(found.into_iter().min_by_key(since_down))
}

/// A query for the time at which the transaction began that wrote a version's row, where the tool has the server note
/// it. It says which one that was although the row was written once more after it.
fn applied_at(written: &Written) -> Result<Option<String>, DatabaseFailure> {
    let Some(facts) = about(written.tool()?).table else { return Ok(None) };
    let Some(column) = facts.columns.iter().find(|column| column.postgres == "timestamptz") else {
        return Ok(None);
    };
    Ok(Some(format!(
        "SELECT v.{} FROM {} v WHERE v.{}::text = $1",
        identifier(column.name)?,
        quoted(&version_table(written)?)?,
        identifier(facts.version_column)?
    )))
}

/// The transaction of the newest row of the migration's version.
async fn version_row(conn: &mut PgConnection, written: &Written) -> Result<Vec<String>, DatabaseFailure> {
    let Some(facts) = about(written.tool()?).table else { return Ok(Vec::new()) };
    let table = quoted(&version_table(written)?)?;
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&table)
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    if !is_there {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT xmin::text FROM {table} WHERE {}::text = $1 ORDER BY age(xmin) LIMIT 1",
        identifier(facts.version_column)?
    );
    let row = sqlx::query_scalar(AssertSqlSafe(sql)).bind(&written.version).fetch_all(conn).await;
    row.map_err(|error| failed("reading the version table", &error))
}
