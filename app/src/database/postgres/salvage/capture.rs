//! Triggers that are there for one transaction: what the down itself changes or deletes, also through foreign keys and
//! in DO blocks, is kept as it was before; and how each row was left.

use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::LossKind;
use unship_core::sql::quote::literal;

use super::layout::{Form, Kept};
use super::shape::{self, Column, Shape, list};
use super::{failed, run, since};
use crate::ports::DatabaseFailure;

/// The table and its partitions; only those without partitions have rows of their own to be truncated. A table that has
/// plain children shows their rows without what they alone have, and only a trigger for each row is the child's own.
const PARTS: &str = "SELECT format('%I.%I', n.nspname, c.relname), c.relkind = 'r', NOT c.relispartition AND c.relkind = 'r'
        AND EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT $1 UNION SELECT relid FROM pg_partition_tree($1)) AND c.relkind IN ('r', 'p') ORDER BY c.oid";

/// Puts the triggers on. They fire at the end of each statement, so that no event is left for a later ALTER TABLE.
pub(super) async fn watch(conn: &mut PgConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    let what = format!("watching the rows of {}", kept.layout.table);
    let parts: Vec<(String, bool, bool)> = sqlx::query_as(PARTS)
        .bind(Oid(kept.layout.oid))
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| failed(&what, &error))?;
    let shapes: String = sqlx::query_scalar(
        "SELECT coalesce(jsonb_object_agg(attname, _unship.type_shape(atttypid, atttypmod)), '{}')::text
        FROM pg_attribute WHERE attrelid = $1 AND attnum = ANY ($2)",
    )
    .bind(Oid(kept.layout.oid))
    .bind(kept.layout.lost().map(|column| column.num).collect::<Vec<i16>>())
    .fetch_one(&mut *conn)
    .await
    .map_err(|error| failed(&what, &error))?;
    let id = kept.id;
    let call = format!("EXECUTE FUNCTION _unship.keep_rows('{id}', {})", literal(&shapes)?);
    for (part, has_rows, is_family) in parts {
        let each = |tables: &str| {
            if is_family {
                "FOR EACH ROW".to_owned()
            } else {
                format!("REFERENCING {tables} FOR EACH STATEMENT")
            }
        };
        let (old, new) = ("OLD TABLE AS unship_old", "NEW TABLE AS unship_new");
        let mut sql = format!(
            "CREATE TRIGGER unship_u{id} AFTER UPDATE ON {part} {} {call};
            CREATE TRIGGER unship_d{id} AFTER DELETE ON {part} {} {call};",
            each(&format!("{old} {new}")),
            each(old),
        );
        let mut names = vec!["u", "d"];
        if has_rows {
            sql.push_str(&format!(
                "CREATE TRIGGER unship_t{id} BEFORE TRUNCATE ON {part} FOR EACH STATEMENT {call};"
            ));
            names.push("t");
        }
        if !kept.layout.key.is_empty() {
            sql.push_str(&format!(
                "CREATE TRIGGER unship_i{id} AFTER INSERT ON {part} {} {call};",
                each(new)
            ));
            names.push("i");
        }
        for name in names {
            // Whatever the down does to session_replication_role.
            sql.push_str(&format!("ALTER TABLE {part} ENABLE ALWAYS TRIGGER unship_{name}{id};"));
        }
        run(conn, &what, sql).await?;
    }
    Ok(())
}

/// Takes off what is on of them.
pub(super) async fn unwatch(conn: &mut PgConnection, ids: &[i64]) -> Result<(), DatabaseFailure> {
    let what = "taking the triggers off";
    let on: Vec<(String, String)> = sqlx::query_as(
        "SELECT format('%I.%I', n.nspname, c.relname), quote_ident(t.tgname) FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE t.tgname = ANY (SELECT 'unship_' || k || i FROM unnest($1::bigint[]) i, unnest('{u,d,t,i}'::text[]) k)
        AND t.tgfoid = to_regprocedure('_unship.keep_rows()') AND t.tgparentid = 0",
    )
    .bind(ids)
    .fetch_all(&mut *conn)
    .await
    .map_err(|error| failed(what, &error))?;
    for (table, trigger) in on {
        run(conn, what, format!("DROP TRIGGER {trigger} ON {table}")).await?;
    }
    Ok(())
}

/// Of what was kept of a row the first is how it was; a row that came only with the down was none before.
/// Without a key what a row became and was changed from again cancels out.
pub(super) async fn first_only(conn: &mut PgConnection, kept: &mut Kept) -> Result<(), DatabaseFailure> {
    let what = format!("what was kept of {}", kept.layout.table);
    let store = kept.quoted()?;
    if !kept.layout.key.is_empty() {
        let keys = kept.layout.key_names("")?;
        let later = format!(
            "DELETE FROM {store} s USING (SELECT {keys}, min(unship_n) AS first FROM {store} GROUP BY {keys}
                HAVING count(*) > 1) f WHERE {} AND s.unship_n > f.first",
            kept.layout.same_kept_key("s", "f")?
        );
        run(conn, &what, later).await?;
    }
    run(conn, &what, format!("DELETE FROM {store} WHERE unship_op = 'i'")).await?;
    if kept.layout.key.is_empty() {
        let names = list(&kept.layout.kept, |column| Ok(format!("s.{}", column.quoted()?)))?;
        let cancelled = format!(
            "WITH line AS (SELECT s.ctid AS place, s.unship_op = 'n' AS is_new, x.line, row_number() OVER
                    (PARTITION BY x.line, s.unship_op = 'n' ORDER BY s.unship_op = 'u', s.unship_n) AS number
                FROM {store} s, LATERAL (SELECT CAST(ROW({}, s.unship_lacks) AS text) COLLATE \"C\" AS line) x)
            DELETE FROM {store} s USING line a JOIN line b ON a.line = b.line AND a.number = b.number
            WHERE a.is_new AND NOT b.is_new AND s.ctid IN (a.place, b.place)",
            names.join(", ")
        );
        run(conn, &what, cancelled).await?;
    }
    let count = format!("SELECT count(*) FROM {store} WHERE unship_op <> 'n'");
    kept.rows = Some(super::scalar(conn, &what, count).await?);
    Ok(())
}

/// Puts into kept rows what was gone of them already when they were kept: it is in the stores of its columns. Without a
/// key that is done for rows that were deleted, by what else there was of them; those that are alike in it are one as good
/// as the other.
pub(super) async fn fill(
    conn: &mut PgConnection,
    kept: &Kept,
    columns: &[Kept],
) -> Result<(), DatabaseFailure> {
    let what = format!("what was kept of {}", kept.layout.table);
    let store = kept.quoted()?;
    for other in columns.iter().filter(|other| other.layout.oid == kept.layout.oid) {
        let names = |column: &Column| kept.layout.key.iter().any(|key| key.num == column.num);
        let same_key = other.layout.key.len() == kept.layout.key.len() && other.layout.key.iter().all(names);
        for column in other.layout.kept.iter().filter(|_| same_key) {
            let (name, num) = (column.quoted()?, column.num);
            let from = if kept.layout.key.is_empty() {
                let number = "row_number() OVER (PARTITION BY";
                format!(
                    "(SELECT k.unship_place, c.{name} FROM
                        (SELECT k.ctid AS unship_place, m.unship_seen, {number} m.unship_seen ORDER BY k.unship_n) AS unship_number
                            FROM {store} k, LATERAL (SELECT {mark} AS unship_seen) m WHERE k.unship_op = 'd') k
                        JOIN (SELECT c.{name}, c.unship_mark, {number} c.unship_mark ORDER BY c.ctid) AS unship_number
                            FROM {other} c) c
                        ON c.unship_mark = k.unship_seen AND c.unship_number = k.unship_number) c WHERE s.ctid = c.unship_place",
                    mark = kept.layout.mark_as_named("k")?,
                    other = other.quoted()?,
                )
            } else {
                format!("{} c WHERE {}", other.quoted()?, kept.layout.same_kept_key("s", "c")?)
            };
            let sql = format!(
                "UPDATE {store} s SET {name} = c.{name}, unship_lacks = array_remove(s.unship_lacks, {num}::smallint)
                FROM {from} AND s.unship_lacks @> ARRAY[{num}::smallint]"
            );
            run(conn, &what, sql).await?;
        }
    }
    let sql = format!("UPDATE {store} SET unship_lacks = NULL WHERE unship_lacks = '{{}}'");
    run(conn, &what, sql).await.map(drop)
}

/// How the table is called and made up now; nothing if it is gone.
pub(super) struct Now {
    shape: Shape,
}

impl Now {
    pub async fn of(conn: &mut PgConnection, oid: u32) -> Result<Option<Now>, DatabaseFailure> {
        let read =
            shape::read(conn, oid).await.map_err(|error| failed("reading what the down left", &error))?;
        Ok(read.map(|shape| Now { shape }))
    }

    /// What a column is called now, if it is still there with its type.
    fn name(&self, column: &Column) -> Option<String> {
        let same = |now: &&Column| now.num == column.num && now.type_name == column.type_name;
        self.shape.columns.iter().find(same).map(|now| now.name.clone())
    }

    /// From the commit on, notes which rows somebody writes.
    pub async fn watch(&self, conn: &mut PgConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
        let key: Option<Vec<String>> = kept.layout.key.iter().map(|column| self.name(column)).collect();
        match key {
            Some(key) if !key.is_empty() => since::watch(conn, kept, &self.shape.quoted()?, &key).await,
            _ if matches!(kept.kind, LossKind::Rewritten { .. } | LossKind::Rows { .. }) => {
                since::watch(conn, kept, &self.shape.quoted()?, &[]).await
            }
            // Rows are then told apart by what stays of them.
            _ => Ok(()),
        }
    }

    /// The same for a table that the down made anew in the place of the one that is kept: it has other columns, of the
    /// same names as far as they stay.
    pub async fn watch_anew(&self, conn: &mut PgConnection, kept: &mut Kept) -> Result<(), DatabaseFailure> {
        let is_there = |column: &Column| self.shape.columns.iter().any(|now| now.name == column.name);
        kept.layout.rest = kept.layout.columns().into_iter().filter(is_there).collect();
        let key = &kept.layout.key;
        let key = if key.iter().all(is_there) { key.as_slice() } else { &[] };
        let key: Vec<String> = key.iter().map(|column| column.name.clone()).collect();
        since::watch(conn, kept, &self.shape.quoted()?, &key).await
    }

    /// Whether all that marks are made of is there as it was.
    fn is_as_foreseen(&self, kept: &Kept) -> bool {
        kept.layout.rest.iter().chain(&kept.layout.key).all(|column| self.name(column).is_some())
    }

    fn same_key(&self, kept: &Kept, live: &str, store: &str) -> Result<Option<String>, DatabaseFailure> {
        let layout = &kept.layout;
        if layout.key.is_empty() || layout.key.iter().any(|column| self.name(column).is_none()) {
            return Ok(None);
        }
        Ok(Some(layout.same_live_key(live, store, |column| self.name(column))?))
    }

    /// Notes for each row of the store how the down left it: its mark, or that it is gone. A mark is made of what is
    /// there with the migration and without it.
    pub async fn mark(&self, conn: &mut PgConnection, kept: &mut Kept) -> Result<(), DatabaseFailure> {
        kept.layout.rest.retain(|column| self.name(column).is_some());
        let Some(same) = self.same_key(kept, "o", "k")? else { return Ok(()) };
        let sql = format!(
            "UPDATE {store} s SET unship_touched = true, unship_after = x.mark FROM (SELECT k.ctid AS place,
                CASE WHEN o.ctid IS NOT NULL THEN {mark} END AS mark FROM {store} k LEFT JOIN {from} o ON {same}) x
            WHERE s.ctid = x.place",
            store = kept.quoted()?,
            mark = kept.layout.mark("o", |column| self.name(column))?,
            from = self.shape.from()?,
        );
        run(conn, &format!("marking the rows of {}", kept.layout.table), sql).await.map(drop)
    }

    /// Marks the rows of a column's store: those that the down changed otherwise too, or all where the table has
    /// become another than was foreseen.
    pub async fn mark_column(
        &self,
        conn: &mut PgConnection,
        kept: &mut Kept,
        changed: Option<&Kept>,
    ) -> Result<(), DatabaseFailure> {
        if !self.is_as_foreseen(kept) {
            self.mark(conn, kept).await?;
            let sql = format!("UPDATE {} SET unship_mark = NULL", kept.quoted()?);
            run(conn, &format!("marking the rows of {}", kept.layout.table), sql).await?;
        } else if let Some(changed) =
            changed.filter(|changed| !kept.layout.key.is_empty() && changed.layout.key == kept.layout.key)
        {
            let sql = format!(
                "UPDATE {} s SET unship_touched = true, unship_after = c.unship_after FROM {} c WHERE {}",
                kept.quoted()?,
                changed.quoted()?,
                kept.layout.same_kept_key("s", "c")?
            );
            run(conn, &format!("marking the rows of {}", kept.layout.table), sql).await?;
        }
        match kept.kind {
            LossKind::Rewritten { .. } => self.note_made(conn, kept).await,
            _ => Ok(()),
        }
    }

    /// Notes what the down made of each value that reads otherwise now.
    async fn note_made(&self, conn: &mut PgConnection, kept: &mut Kept) -> Result<(), DatabaseFailure> {
        let Some(same) = self.same_key(kept, "o", "s")? else { return Ok(()) };
        let Some(column) = kept.layout.kept.first().cloned() else { return Ok(()) };
        let Some(now) = self.shape.columns.iter().find(|now| now.num == column.num) else { return Ok(()) };
        kept.layout.made_type = Some(now.type_name.clone());
        let (live, saved) = (format!("o.{}", now.quoted()?), format!("s.{}", column.quoted()?));
        let text = |value: &str| {
            format!("CASE num_nulls({value}) WHEN 0 THEN 'v' || format('%s', {value}) ELSE 'n' END")
        };
        let sql = format!(
            "UPDATE {} s SET unship_made = {made} FROM {} o WHERE {same} AND {made} <> {}",
            kept.quoted()?,
            self.shape.from()?,
            text(&saved),
            made = text(&live),
        );
        run(conn, &format!("what the down made of {}", kept.layout.table), sql).await.map(drop)
    }
}

/// Whether the store has a row.
pub(super) async fn has_rows(conn: &mut PgConnection, kept: &Kept) -> Result<bool, DatabaseFailure> {
    debug_assert_eq!(kept.layout.form, Form::Changed);
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT EXISTS (SELECT FROM {})", kept.quoted()?)))
        .fetch_one(conn)
        .await
        .map_err(|error| failed(format_args!("looking what was kept of {}", kept.layout.table), &error))
}
