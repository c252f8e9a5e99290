//! What a down destroys, by kind; how much of it there is, only the live database can tell.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changes::Rows;
use super::loss::LossKind;
use crate::schema::{Catalog, Fact, Kind, Name, Object, diff};
use crate::sql::{ObjectName, words_of};
use crate::verdict::destroyed;

/// The losses that lead from `before` to `after`, each once, in order: whole tables, columns, values that are
/// written in another type, and rows that statements change.
pub(super) fn kinds(before: &Catalog, after: &Catalog, rows: &Rows) -> Vec<LossKind> {
    let gone = destroyed(before, after);
    let tables: BTreeSet<&Name> =
        gone.iter().filter(|was| was.kind == Kind::Table).map(|was| &was.name).collect();
    let columns: BTreeSet<&Name> =
        gone.iter().filter(|was| was.kind == Kind::Column).map(|was| &was.name).collect();
    let mut found = BTreeSet::new();
    for was in &gone {
        match was.kind {
            // A partition's rows are its parent's.
            Kind::Table if parents(was).any(|parent| tables.iter().any(|name| is_called(name, &parent))) => {}
            Kind::Table => {
                found.insert(LossKind::Table { table: object_name(&was.name) });
            }
            // A table that was made anew says it for its columns.
            _ if tables.contains(&was.name.parent()) => {}
            _ if !holds_values(before, was) || is_its_parents(before, was, &columns) => {}
            _ => {
                found.insert(LossKind::Column {
                    table: object_name(&was.name),
                    column: was.name.part.clone().unwrap_or_default(),
                    default: was.fact(Fact::Default).map(str::to_owned),
                });
            }
        }
    }
    found.extend(rewritten(before, after));
    for table in rows.changed.iter().filter(|table| !tables.contains(table)) {
        found.insert(LossKind::Rows { table: object_name(table) });
    }
    found.into_iter().collect()
}

/// A name as programs carry it: with its schema, where the database has schemas.
pub(super) fn object_name(name: &Name) -> ObjectName {
    let schema = Some(name.schema.clone()).filter(|schema| !schema.is_empty());
    ObjectName { schema, name: name.object.clone() }
}

/// Is it a column of a table of its own, whose values nothing else brings back?
fn holds_values(before: &Catalog, column: &Object) -> bool {
    before.get(Kind::Table, &column.name.parent()).is_some() && !column.has(Fact::Generated)
}

/// The words that can name the parent of a partition.
fn parents(table: &Object) -> impl Iterator<Item = String> + use<> {
    table.fact(Fact::PartitionBound).map(words_of).unwrap_or_default().into_iter()
}

fn is_called(name: &Name, word: &str) -> bool {
    name.object.eq_ignore_ascii_case(word)
}

/// Is the column one that the partition has from its parent, where it goes too?
fn is_its_parents(before: &Catalog, column: &Object, columns: &BTreeSet<&Name>) -> bool {
    let Some(table) = before.get(Kind::Table, &column.name.parent()) else { return false };
    parents(table)
        .any(|parent| columns.iter().any(|name| is_called(name, &parent) && name.part == column.name.part))
}

fn rewritten(before: &Catalog, after: &Catalog) -> Vec<LossKind> {
    let mut found = Vec::new();
    let mut shrunk: Vec<(Arc<Object>, String)> = Vec::new();
    for change in diff(before, after) {
        let (Some(was), Some(now)) = (change.was(), change.now()) else { continue };
        match (change.kind, change.altered()) {
            (Kind::Column, Some((Fact::Type, Some(from), Some(to))))
                if holds_values(before, was) && !widens(from, to) =>
            {
                found.push((Arc::clone(was), from.to_owned(), to.to_owned()));
            }
            (Kind::Enum, Some((Fact::Values, Some(from), to))) => {
                let kept: BTreeSet<&str> = to.unwrap_or_default().lines().collect();
                let lost: Vec<&str> = from.lines().filter(|value| !kept.contains(value)).collect();
                if !lost.is_empty() {
                    shrunk.push((Arc::clone(now), lost.join(", ")));
                }
            }
            _ => {}
        }
    }
    for (of_type, lost) in shrunk {
        let columns = before.objects().filter(|object| object.kind == Kind::Column);
        for column in columns.filter(|column| holds_values(before, column)) {
            let Some(text) = column.fact(Fact::Type) else { continue };
            let named = ObjectName::parse(text.trim_end_matches("[]"));
            if named.is_some_and(|named| is_called(&of_type.name, &named.name)) {
                found.push((Arc::clone(column), text.to_owned(), format!("{text} without {lost}")));
            }
        }
    }
    found
        .into_iter()
        .map(|(column, from, to)| LossKind::Rewritten {
            table: object_name(&column.name),
            column: column.name.part.clone().unwrap_or_default(),
            from,
            to,
        })
        .collect()
}

/// Does every value of the one type come back from the other as it was?
fn widens(from: &str, to: &str) -> bool {
    const WHOLE: [&str; 3] = ["smallint", "integer", "bigint"];
    let whole = |text: &str| WHOLE.iter().position(|known| *known == text);
    if let (Some(from), Some(to)) = (whole(from), whole(to)) {
        return from <= to;
    }
    let varying = |text: &str| {
        let rest = text.strip_prefix("character varying")?;
        if rest.is_empty() {
            return Some(u64::MAX);
        }
        rest.strip_prefix('(')?.strip_suffix(')')?.parse::<u64>().ok()
    };
    match (varying(from), varying(to)) {
        (Some(from), Some(to)) => from <= to,
        (Some(_), None) => to == "text",
        (None, Some(to)) => from == "text" && to == u64::MAX,
        (None, None) => (from, to) == ("real", "double precision") || (from, to) == ("json", "text"),
    }
}
