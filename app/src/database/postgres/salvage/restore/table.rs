//! The tables that something is put back into: found, locked, their triggers quiet meanwhile.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::database::postgres::salvage::layout::Kept;
use crate::database::postgres::salvage::shape::{self, Column, Shape};
use crate::database::postgres::salvage::{failed, refused, run};
use crate::ports::DatabaseFailure;

/// A live table, and what of it is written.
pub(super) struct Target {
    pub shape: Shape,
    /// The kept columns with those of the table, by name; key columns too.
    pub columns: Vec<(Column, Column)>,
}

impl Target {
    /// Finds the table that a store belongs into, with every column that is needed.
    pub async fn find(conn: &mut PgConnection, kept: &Kept) -> Result<Target, DatabaseFailure> {
        let table = &kept.layout.table;
        let missing = |what: String| {
            refused(
                format!("{what}: what is salvaged has no place there"),
                "look whether the migration that is applied now is the one that was taken down; `unship salvage export` writes the rows into files",
            )
        };
        let oid = shape::oid_of(conn, table).await?;
        let oid = oid.ok_or_else(|| missing(format!("the table {table} is not there")))?;
        let shape =
            shape::read(conn, oid).await.map_err(|error| failed(format_args!("reading {table}"), &error))?;
        let shape = shape.ok_or_else(|| missing(format!("the table {table} is gone")))?;
        let mut columns = Vec::new();
        for column in kept.layout.columns() {
            let live = shape.columns.iter().find(|live| live.name == column.name);
            let live = live.ok_or_else(|| missing(format!("{table} has no column `{}`", column.name)))?;
            columns.push((column, live.clone()));
        }
        for column in &kept.layout.rest {
            if !shape.columns.iter().any(|live| live.name == column.name) {
                return Err(missing(format!("{table} has no column `{}`", column.name)));
            }
        }
        columns.retain(|(_, live)| !live.generated);
        Ok(Target { shape, columns })
    }

    /// What is set where a row is there: not what tells it apart, and not what the database alone may write.
    pub fn written(&self, kept: &Kept) -> impl Iterator<Item = &(Column, Column)> {
        let is_key = |column: &Column| kept.layout.key.iter().any(|key| key.name == column.name);
        self.columns.iter().filter(move |(column, live)| !is_key(column) && !live.always_identity)
    }
}

/// The kept column of `row` as the live column takes it.
pub(super) fn value(row: &str, (column, live): &(Column, Column)) -> Result<String, DatabaseFailure> {
    let kept = format!("{row}.{}", column.quoted()?);
    Ok(if column.kept_type() == live.type_name {
        kept
    } else {
        format!("CAST({kept} AS {})", live.type_name)
    })
}

/// Keeps others from writing the tables until the end of the transaction; they can still read.
pub(super) async fn lock(conn: &mut PgConnection, targets: &[Target]) -> Result<(), DatabaseFailure> {
    let names: BTreeSet<String> =
        targets.iter().map(|target| target.shape.quoted()).collect::<Result<_, _>>()?;
    for name in names {
        let sql = format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE");
        run(conn, &format!("locking {name} against other writers"), sql).await?;
    }
    Ok(())
}

/// Triggers that were switched off, with how each was on.
pub(super) struct Quiet(Vec<(String, String, String)>);

const USER_TRIGGERS: &str = "SELECT format('%I.%I', n.nspname, c.relname), quote_ident(t.tgname),
        CASE t.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
    AND c.oid IN (SELECT x.o FROM unnest($1::oid[]) x(o) UNION SELECT p.relid FROM unnest($1::oid[]) x(o), pg_partition_tree(x.o) p)";

/// Switches the service's own triggers off: what they did when the rows were written, they did then.
pub(super) async fn quiet(conn: &mut PgConnection, targets: &[Target]) -> Result<Quiet, DatabaseFailure> {
    let what = "switching triggers off";
    let oids: Vec<sqlx::postgres::types::Oid> =
        targets.iter().map(|target| sqlx::postgres::types::Oid(target.shape.oid)).collect();
    let on: Vec<(String, String, String)> = sqlx::query_as(USER_TRIGGERS)
        .bind(oids)
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| failed(what, &error))?;
    for (table, trigger, _) in &on {
        run(conn, what, format!("ALTER TABLE {table} DISABLE TRIGGER {trigger}")).await?;
    }
    Ok(Quiet(on))
}

/// Switches them on again, each as it was.
pub(super) async fn loud(conn: &mut PgConnection, quiet: Quiet) -> Result<(), DatabaseFailure> {
    for (table, trigger, how) in quiet.0 {
        run(conn, "switching triggers on again", format!("ALTER TABLE {table} {how} TRIGGER {trigger}"))
            .await?;
    }
    Ok(())
}
