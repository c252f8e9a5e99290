//! How far sequences were used before a step down, for those that the down drops or sends back: numbers that were given
//! out must not be given out again.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::down::LossKind;
use unship_core::sql::ObjectName;

use super::failed;
use crate::database::postgres::live::home::SCHEMA;
use crate::ports::{Conflict, DatabaseFailure, Restored, Store};

const WHAT: &str = "the last numbers of sequences";
/// Where they are kept.
pub(super) const TABLE: &str = "salvage_sequence";

/// Notes how far every sequence was used. What a down does to them no text tells for sure, and to look at all is quick.
pub(super) async fn note(conn: &mut PgConnection, salvage: i64) -> Result<(), DatabaseFailure> {
    // Asked of anything else the functions fail, so the planner must not ask them before.
    let sql = "WITH known AS MATERIALIZED (
            SELECT c.oid, n.nspname, c.relname, d.refobjid::regclass::text AS owner, a.attname
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
            LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> '_unship'),
        used AS (SELECT known.*, pg_sequence_last_value(known.oid) AS last FROM known
            WHERE has_sequence_privilege(known.oid, 'USAGE, SELECT'))
        INSERT INTO _unship.salvage_sequence (salvage, oid, schema, name, owner, owner_column, last)
        SELECT $1, oid, nspname, relname, owner, attname, last FROM used WHERE last IS NOT NULL";
    let noted = sqlx::query(sql).bind(salvage).execute(conn).await;
    noted.map(drop).map_err(|error| failed(WHAT, &error))
}

/// Forgets those that are as far as they were.
pub(super) async fn settle(conn: &mut PgConnection, salvage: i64) -> Result<(), DatabaseFailure> {
    let sql = "WITH there AS MATERIALIZED (
            SELECT k.oid, k.last, s.seqincrement FROM _unship.salvage_sequence k JOIN pg_sequence s ON s.seqrelid = k.oid
            WHERE k.salvage = $1),
        now AS (SELECT there.*, pg_sequence_last_value(there.oid) AS now FROM there)
        DELETE FROM _unship.salvage_sequence k USING now n WHERE k.salvage = $1 AND k.oid = n.oid
        AND CASE WHEN n.seqincrement > 0 THEN n.now >= n.last ELSE n.now <= n.last END";
    let settled = sqlx::query(sql).bind(salvage).execute(conn).await;
    settled.map(drop).map_err(|error| failed(WHAT, &error))
}

/// One that was sent back or dropped.
pub(super) struct Sequence {
    pub name: ObjectName,
    owner: Option<String>,
    owner_column: Option<String>,
    pub last: i64,
}

/// Schema and name, the table and column that it belonged to, its last number.
type SequenceRow = (String, String, Option<String>, Option<String>, i64);

/// Those of a salvage.
pub(super) async fn of(conn: &mut PgConnection, salvage: i64) -> Result<Vec<Sequence>, DatabaseFailure> {
    let found: Vec<SequenceRow> = sqlx::query_as(
        "SELECT schema, name, owner, owner_column, last FROM _unship.salvage_sequence WHERE salvage = $1
        ORDER BY schema, name",
    )
    .bind(salvage)
    .fetch_all(conn)
    .await
    .map_err(|error| failed(WHAT, &error))?;
    let sequence = |(schema, name, owner, owner_column, last): SequenceRow| Sequence {
        name: ObjectName { schema: Some(schema), name },
        owner,
        owner_column,
        last,
    };
    Ok(found.into_iter().map(sequence).collect())
}

impl Sequence {
    /// As it is listed.
    pub fn listed(&self) -> Store {
        Store {
            kind: LossKind::Sequence { sequence: self.name.clone() },
            place: ObjectName { schema: Some(SCHEMA.to_owned()), name: TABLE.to_owned() },
            rows: 1,
            bytes: 0,
        }
    }

    /// That of the column that it belonged to, or the one of its name.
    async fn find(&self, conn: &mut PgConnection) -> Result<Option<u32>, DatabaseFailure> {
        let found: Option<Oid> = sqlx::query_scalar(
            "SELECT coalesce(
                (SELECT c.oid FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
                    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = to_regclass($1) AND a.attname = $2 AND d.deptype IN ('a', 'i') LIMIT 1),
                (SELECT c.oid FROM pg_class c WHERE c.relkind = 'S' AND c.oid = to_regclass(format('%I.%I', $3::text, $4::text))))",
        )
        .bind(&self.owner)
        .bind(&self.owner_column)
        .bind(&self.name.schema)
        .bind(&self.name.name)
        .fetch_one(conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
        Ok(found.map(|oid| oid.0))
    }
}

/// Advances them to where they were, if they are not further. No rollback takes that back, nor needs to, and with
/// `dry_run` it is not done.
pub(super) async fn advance(
    conn: &mut PgConnection,
    salvage: i64,
    dry_run: bool,
    restored: &mut Restored,
) -> Result<(), DatabaseFailure> {
    for sequence in of(conn, salvage).await? {
        let Some(oid) = sequence.find(conn).await? else {
            restored.conflicts_count += 1;
            restored.conflicts.push(Conflict {
                table: sequence.name,
                key: format!("last number {}", sequence.last),
                why: "the sequence is not there".to_owned(),
            });
            continue;
        };
        if dry_run {
            continue;
        }
        sqlx::query(
            "SELECT setval(s.seqrelid, CASE WHEN s.seqincrement > 0 THEN greatest(x.last, $2) ELSE least(x.last, $2) END)
            FROM pg_sequence s, LATERAL (SELECT pg_sequence_last_value(s.seqrelid) AS last) x WHERE s.seqrelid = $1",
        )
        .bind(Oid(oid))
        .bind(sequence.last)
        .execute(&mut *conn)
        .await
        .map_err(|error| failed(format_args!("advancing the sequence {}", sequence.name), &error))?;
    }
    Ok(())
}
