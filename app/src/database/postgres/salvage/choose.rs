//! Which stores a step down needs, and how each is filled.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::down::{Allowed, LossKind, Program};
use unship_core::sql::{self, DroppedTables, ObjectAction};

use super::failed;
use super::layout::{Form, Layout, OURS};
use super::shape::{self, Column, Shape};
use crate::database::postgres::live::failure::refused;
use crate::ports::DatabaseFailure;

/// A store that is to be made.
pub(super) struct Wanted {
    pub kind: LossKind,
    pub layout: Layout,
    pub shape: Shape,
}

impl Wanted {
    /// Without a key the lost columns of a table are kept together: nothing else says which values were of one row.
    fn take_in(&mut self, kind: &LossKind, layout: Layout) {
        self.layout.kept.extend(layout.kept);
        self.layout.kept.sort_by_key(|column| column.num);
        // What is written in another type needs more care.
        if matches!(kind, LossKind::Rewritten { .. }) {
            self.kind = kind.clone();
        }
    }
}

/// Everything that is read of the database for it.
struct Seen {
    shapes: BTreeMap<u32, Shape>,
    /// Of each table the columns that lose their values.
    lost: BTreeMap<u32, BTreeSet<String>>,
    /// Tables whose rows the down may change.
    changed: BTreeSet<u32>,
    /// Partitions, with what they are partitions of.
    parents: BTreeMap<u32, BTreeSet<u32>>,
}

/// The names of a program as the server takes them with the search path of the tool.
pub(super) struct Named {
    kinds: Vec<(Option<u32>, LossKind)>,
    captured: BTreeSet<u32>,
    /// The down's plain `DROP TABLE` statements, with the tables that they mean.
    pub drops: Vec<(DroppedTables, Vec<Option<u32>>)>,
}

/// Finds out which tables are meant. The search path must be the tool's.
pub(super) async fn named(conn: &mut PgConnection, program: &Program) -> Result<Named, DatabaseFailure> {
    let mut named = Named { kinds: Vec::new(), captured: BTreeSet::new(), drops: Vec::new() };
    let is_of_rows = |allowed: &&Allowed| !matches!(allowed.kind, LossKind::Sequence { .. });
    for allowed in program.allowed.iter().filter(is_of_rows) {
        let oid = shape::oid_of(conn, allowed.kind.table()).await?;
        named.kinds.push((oid, allowed.kind.clone()));
    }
    for dropped in plain_drops(program) {
        let mut oids = Vec::new();
        for table in &dropped.tables {
            let oid = shape::oid_of(conn, table).await?;
            // It goes whether anybody has named it or not.
            named.kinds.extend(oid.map(|oid| (Some(oid), LossKind::Table { table: table.clone() })));
            oids.push(oid);
        }
        named.drops.push((dropped, oids));
    }
    for table in &program.captured {
        named.captured.extend(shape::oid_of(conn, table).await?);
    }
    Ok(named)
}

/// The stores, the tables first; and what has to be said.
pub(super) async fn stores(
    conn: &mut PgConnection,
    named: &Named,
) -> Result<(Vec<Wanted>, Vec<String>), DatabaseFailure> {
    let mut said = Vec::new();
    let mut kinds: Vec<(u32, LossKind)> = Vec::new();
    let mut asked = named.captured.clone();
    for (oid, kind) in &named.kinds {
        let Some(oid) = *oid else {
            said.push(format!("{} is no table with rows of its own: nothing to salvage", kind.table()));
            continue;
        };
        if matches!(kind, LossKind::Rows { .. }) {
            asked.insert(oid);
        }
        if !kinds.iter().any(|(other, known)| *other == oid && same_loss(known, kind)) {
            kinds.push((oid, kind.clone()));
        }
    }
    let seen = look(conn, &kinds, &asked).await?;
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut written = BTreeSet::new();
    for (oid, kind) in &kinds {
        let Some(shape) = seen.shapes.get(oid) else { continue };
        if is_in_another(&kinds, &seen, *oid, kind) {
            continue;
        }
        let made = match kind {
            LossKind::Table { .. } => Some(table(shape, may_move(&named.drops, *oid, &seen))),
            LossKind::Column { column: name, .. } | LossKind::Rewritten { column: name, .. } => {
                written.insert(*oid);
                match column(shape, name, &seen) {
                    Some(layout) => Some(layout),
                    None => {
                        said.push(format!("{}.{name} is computed or gone: nothing to salvage", shape.name));
                        None
                    }
                }
            }
            LossKind::Rows { .. } | LossKind::Sequence { .. } => None,
        };
        let Some(layout) = made else { continue };
        match wanted.iter_mut().find(|one| one.shape.oid == *oid && one.layout.is_keyless_column(&one.kind)) {
            Some(one) if layout.is_keyless_column(kind) => one.take_in(kind, layout),
            _ => wanted.push(Wanted { kind: kind.clone(), layout, shape: shape.clone() }),
        }
    }
    written.extend(&seen.changed);
    for oid in written {
        let Some(shape) = seen.shapes.get(&oid) else { continue };
        // What is dropped as a whole was copied whole beforehand; only what stays needs to be told apart by key later.
        let copied =
            wanted.iter().any(|one| one.shape.oid == oid && matches!(one.kind, LossKind::Table { .. }));
        let is_part = seen
            .parents
            .get(&oid)
            .is_some_and(|parents| parents.iter().any(|one| seen.changed.contains(one)));
        if !copied && !is_part {
            let kind = LossKind::Rows { table: shape.name.clone() };
            wanted.push(Wanted { kind, layout: rows(shape, &seen), shape: shape.clone() });
        }
    }
    for one in &wanted {
        let ours = one.shape.columns.iter().find(|column| column.name.starts_with(OURS));
        if let Some(column) = ours {
            return Err(refused(
                format!(
                    "{} has a column `{}`, and names that begin so are unship's own",
                    one.shape.name, column.name
                ),
                "rename the column",
            ));
        }
    }
    Ok((wanted, said))
}

fn same_loss(one: &LossKind, other: &LossKind) -> bool {
    match (one, other) {
        (LossKind::Table { .. }, LossKind::Table { .. }) | (LossKind::Rows { .. }, LossKind::Rows { .. }) => {
            true
        }
        (
            LossKind::Column { column: one, .. } | LossKind::Rewritten { column: one, .. },
            LossKind::Column { column: other, .. } | LossKind::Rewritten { column: other, .. },
        ) => one == other,
        _ => false,
    }
}

/// What is lost of a table that is dropped, or of a partition whose whole loses the same, is kept with that.
fn is_in_another(kinds: &[(u32, LossKind)], seen: &Seen, oid: u32, kind: &LossKind) -> bool {
    let parents = seen.parents.get(&oid);
    kinds.iter().any(|(other, whole)| {
        let is_parent = parents.is_some_and(|parents| parents.contains(other));
        match whole {
            LossKind::Table { .. } => {
                is_parent || *other == oid && !matches!(kind, LossKind::Table { .. } | LossKind::Rows { .. })
            }
            _ => is_parent && same_loss(whole, kind),
        }
    })
}

async fn look(
    conn: &mut PgConnection,
    kinds: &[(u32, LossKind)],
    asked: &BTreeSet<u32>,
) -> Result<Seen, DatabaseFailure> {
    let what = "reading the tables that lose something";
    let roots: Vec<Oid> = asked.iter().copied().map(Oid).collect();
    let reached: Vec<Oid> = sqlx::query_scalar(REACHED)
        .bind(roots)
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| failed(what, &error))?;
    let mut seen = Seen {
        shapes: BTreeMap::new(),
        lost: BTreeMap::new(),
        changed: reached.into_iter().map(|oid| oid.0).collect(),
        parents: BTreeMap::new(),
    };
    for (oid, kind) in kinds {
        if let LossKind::Column { column, .. } | LossKind::Rewritten { column, .. } = kind {
            seen.lost.entry(*oid).or_default().insert(column.clone());
        }
    }
    let all: BTreeSet<u32> = kinds.iter().map(|(oid, _)| *oid).chain(seen.changed.iter().copied()).collect();
    for oid in all {
        if let Some(shape) = shape::read(conn, oid).await.map_err(|error| failed(what, &error))? {
            seen.shapes.insert(oid, shape);
        }
        let parents: Vec<Oid> =
            sqlx::query_scalar("SELECT relid::oid FROM pg_partition_ancestors($1) WHERE relid::oid <> $1")
                .bind(Oid(oid))
                .fetch_all(&mut *conn)
                .await
                .map_err(|error| failed(what, &error))?;
        if !parents.is_empty() {
            seen.parents.insert(oid, parents.into_iter().map(|oid| oid.0).collect());
        }
    }
    Ok(seen)
}

/// The tables themselves, and those that a change of their rows goes on to through foreign keys or to plain children.
/// Partitions are reached through their whole.
const REACHED: &str = "WITH RECURSIVE reached AS (
        SELECT unnest($1::oid[]) AS rel
        UNION SELECT x.rel FROM reached r CROSS JOIN LATERAL (
            SELECT c.conrelid FROM pg_constraint c WHERE c.confrelid = r.rel AND c.contype = 'f' AND c.conparentid = 0
                AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
            UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
                WHERE i.inhparent = r.rel AND NOT k.relispartition AND k.relkind = 'r') x(rel))
    SELECT rel FROM reached";

fn table(shape: &Shape, may_move: bool) -> Layout {
    let key = shape.key_without(&BTreeSet::new()).cloned().unwrap_or_default();
    let form = match (may_move, key.is_empty()) {
        (true, _) => Form::Aside,
        (false, false) => Form::Copied,
        (false, true) => Form::CopiedWhole,
    };
    layout(shape, form, key, |column| !column.generated, |_| false)
}

fn column(shape: &Shape, name: &str, seen: &Seen) -> Option<Layout> {
    shape.columns.iter().find(|column| column.name == name && !column.generated)?;
    let none = BTreeSet::new();
    let lost = seen.lost.get(&shape.oid).unwrap_or(&none);
    let key = shape.key_without(lost).cloned().unwrap_or_default();
    let form = if key.is_empty() { Form::CopiedWhole } else { Form::Copied };
    Some(layout(shape, form, key, |column| column.name == name, |column| !lost.contains(&column.name)))
}

fn rows(shape: &Shape, seen: &Seen) -> Layout {
    let none = BTreeSet::new();
    let lost = seen.lost.get(&shape.oid).unwrap_or(&none);
    let key = shape.key_without(lost).cloned().unwrap_or_default();
    layout(shape, Form::Changed, key, |_| true, |column| !lost.contains(&column.name))
}

fn layout(
    shape: &Shape,
    form: Form,
    key: Vec<Column>,
    is_kept: impl Fn(&Column) -> bool,
    is_rest: impl Fn(&Column) -> bool,
) -> Layout {
    let others = || {
        let in_key = |column: &&Column| key.iter().any(|other| other.num == column.num);
        shape.columns.iter().filter(move |column| !column.generated && !in_key(column))
    };
    let kept = others().filter(|column| is_kept(column)).cloned().collect();
    let rest = others().filter(|column| is_rest(column)).cloned().collect();
    let table = shape.name.clone();
    Layout { form, table, oid: shape.oid, key, kept, rest, made_type: None }
}

/// Whether the table can be moved aside where the down drops it: a plain statement does that, nothing else in the
/// down could mean another table by the name, and no row of it is changed before.
fn may_move(drops: &[(DroppedTables, Vec<Option<u32>>)], oid: u32, seen: &Seen) -> bool {
    let is_movable = |oid: &Option<u32>| {
        let shape =
            oid.as_ref().filter(|oid| !seen.changed.contains(oid)).and_then(|oid| seen.shapes.get(oid));
        shape.is_some_and(|shape| shape.plain)
    };
    let is_alone = |oid: &Option<u32>| {
        oid.as_ref().and_then(|oid| seen.shapes.get(oid)).is_some_and(|shape| shape.alone)
    };
    let mut naming = drops.iter().filter(|(_, oids)| oids.contains(&Some(oid)));
    let Some((dropped, oids)) = naming.next() else { return false };
    naming.next().is_none() && oids.iter().all(is_movable) && (!dropped.cascade || oids.iter().all(is_alone))
}

/// The down's plain `DROP TABLE` statements, before which nothing happens to the tables that they name; none where the
/// text leaves open which tables they mean.
fn plain_drops(program: &Program) -> Vec<DroppedTables> {
    let mut found = Vec::new();
    let mut elsewhere = BTreeSet::new();
    let mut is_hidden = false;
    for batch in &program.batches {
        let facts = sql::facts(batch);
        if facts.statements.iter().any(|statement| !statement.session_changes.is_empty()) {
            return Vec::new();
        }
        for statement in &facts.statements {
            // What a block or a function does first is not in the text.
            is_hidden |= ["DO", "CALL"].contains(&statement.verb.as_str())
                || !statement.opaque_execute.is_empty()
                || !statement.calls.is_empty() && statement.verb == "SELECT";
            if let Some(dropped) = sql::dropped_tables(&batch[statement.span.clone()])
                && !is_hidden
            {
                found.push(dropped);
            }
            for object in &statement.objects {
                match object.action {
                    // A column that was taken out before is not there any more when the table is moved.
                    ObjectAction::Create | ObjectAction::Alter => {
                        elsewhere.insert(object.name.name.clone());
                    }
                    ObjectAction::Rename => {
                        elsewhere.insert(object.name.name.clone());
                        elsewhere.extend(object.renamed_to.clone());
                    }
                    ObjectAction::Drop => {}
                }
            }
        }
    }
    found.retain(|dropped| dropped.tables.iter().all(|table| !elsewhere.contains(&table.name)));
    found
}
