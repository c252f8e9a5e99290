//! What a down destroys, by kind; how much of it there is, only the live database can tell.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::changes::Rows;
use super::compile::Known;
use super::loss::LossKind;
use super::sequences;
use crate::schema::{Catalog, Fact, Kind, Name, Object, diff};
use crate::sql::{ObjectName, computes_values, words_of};
use crate::verdict::destroyed;

/// What a down loses that leaves the catalog `after`, each once, in order: whole tables, columns, values that are
/// written in another type or computed anew, sequences, and rows that statements change.
pub(super) fn kinds(known: &Known<'_>, after: &Catalog, rows: &Rows) -> Vec<LossKind> {
    let before = &known.trial.before;
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
    found.extend(rewritten(known, after, &gone));
    let sequences = sequences::lost(known, after, &gone, &rows.changed);
    found.extend(sequences.iter().map(|name| LossKind::Sequence { sequence: object_name(name) }));
    for table in rows.changed.union(&rows.beside).filter(|table| !tables.contains(table)) {
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

/// Columns that stay and whose values do not, or not wholly.
fn rewritten(known: &Known<'_>, after: &Catalog, gone: &[Arc<Object>]) -> Vec<LossKind> {
    let before = &known.trial.before;
    let mut found: Vec<(Arc<Object>, String)> = Vec::new();
    let mut shrunk: Vec<(Name, String)> = Vec::new();
    for change in diff(before, after) {
        let (Some(was), Some(_)) = (change.was(), change.now()) else { continue };
        match (change.kind, change.altered()) {
            (Kind::Column, Some((Fact::Type, Some(from), Some(to))))
                if holds_values(before, was) && !widens(from, to) =>
            {
                found.push((Arc::clone(was), to.to_owned()));
            }
            (Kind::Enum, Some((Fact::Values, Some(from), to))) => {
                let kept: BTreeSet<&str> = to.unwrap_or_default().lines().collect();
                let lost: Vec<&str> = from.lines().filter(|value| !kept.contains(value)).collect();
                if !lost.is_empty() {
                    shrunk.push((was.name.clone(), format!("without {}", lost.join(", "))));
                }
            }
            (Kind::Composite, Some((Fact::Definition, Some(from), to))) => {
                let to = to.unwrap_or_default();
                // What is only added stands behind the rest.
                let rest = to.strip_prefix(from);
                if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(", ")) {
                    shrunk.push((was.name.clone(), format!("as ({to})")));
                }
            }
            _ => {}
        }
    }
    // Every table is a type too, and columns of it lose what its rows lose.
    for column in gone.iter().filter(|was| was.kind == Kind::Column) {
        let lost = column.name.part.as_deref().unwrap_or_default();
        shrunk.push((column.name.parent(), format!("without {lost}")));
    }
    for (of_type, how) in shrunk {
        let types = holding(before, &of_type);
        let columns = before.objects().filter(|object| object.kind == Kind::Column);
        for column in columns.filter(|column| holds_values(before, column) && !gone.contains(column)) {
            let Some(text) = column.fact(Fact::Type) else { continue };
            if names_any(text, &types) {
                found.push((Arc::clone(column), format!("{text} {how}")));
            }
        }
    }
    for was in computed(known, after) {
        let now = after.at(Kind::Column, was.address).and_then(|now| now.fact(Fact::Type));
        let is_known = found.iter().any(|(column, _)| Arc::ptr_eq(column, &was));
        if let Some(now) = now.filter(|_| !is_known && holds_values(before, &was)) {
            found.push((was, now.to_owned()));
        }
    }
    found
        .into_iter()
        .map(|(column, to)| LossKind::Rewritten {
            table: object_name(&column.name),
            column: column.name.part.clone().unwrap_or_default(),
            from: column.fact(Fact::Type).unwrap_or_default().to_owned(),
            to,
        })
        .collect()
}

/// The names, in lower case, of a type and of all that are made of it: domains, composite types, ranges.
fn holding(catalog: &Catalog, of_type: &Name) -> BTreeSet<String> {
    let mut names = BTreeSet::from([of_type.object.to_lowercase()]);
    loop {
        let types = catalog
            .objects()
            .filter(|object| matches!(object.kind, Kind::Domain | Kind::Composite | Kind::Range));
        let more: Vec<String> = types
            .filter(|object| {
                let text = object.fact(Fact::Type).or(object.fact(Fact::Definition)).unwrap_or_default();
                names_any(text, &names)
            })
            .map(|object| object.name.object.to_lowercase())
            .collect();
        let known = names.len();
        names.extend(more);
        if names.len() == known {
            return names;
        }
    }
}

/// Can the text of a type mean one of these?
fn names_any(text: &str, names: &BTreeSet<String>) -> bool {
    words_of(text).iter().any(|word| names.contains(word))
}

/// Columns that stay and may have other values now, though their type tells nothing of it: the down wrote their table
/// and their definition anew, and gave the values by an expression of its own.
fn computed(known: &Known<'_>, after: &Catalog) -> Vec<Arc<Object>> {
    if known.trial.rewritten.is_empty() || !may_compute(known) {
        return Vec::new();
    }
    let is = |column: &&Arc<Object>| {
        let table = object_name(&column.name.parent());
        let name = column.name.part.as_deref();
        column.kind == Kind::Column
            && known.trial.rewritten.iter().any(|(of, column)| *of == table && name == Some(column.as_str()))
            && after.at(Kind::Column, column.address).is_some()
    };
    known.trial.before.objects().filter(is).cloned().collect()
}

/// The catalog `after` as far as rows can be asked beforehand whether they fit it: which values a down computes is not
/// known, so those columns are as they were.
pub(super) fn asked(known: &Known<'_>, after: &Catalog) -> Catalog {
    let columns = computed(known, after);
    let types: BTreeSet<String> =
        columns.iter().filter_map(|column| column.fact(Fact::Type)).flat_map(words_of).collect();
    let was = |now: &Object| -> Option<Arc<Object>> {
        match now.kind {
            Kind::Column => columns.iter().find(|was| was.address == now.address).cloned(),
            Kind::Enum if types.contains(&now.name.object.to_lowercase()) => {
                known.trial.before.get(Kind::Enum, &now.name).cloned()
            }
            _ => None,
        }
    };
    let as_was = |now: &Arc<Object>| {
        let fact = if now.kind == Kind::Enum { Fact::Values } else { Fact::Type };
        match was(now).as_ref().and_then(|was| was.fact(fact)) {
            Some(text) => Object::clone(now).with(fact, text),
            None => Object::clone(now),
        }
    };
    after.objects().map(as_was).collect()
}

/// Whether its text, or what runs because of it, may give a column's values by an expression.
fn may_compute(known: &Known<'_>) -> bool {
    let script = known.migration.down.script().map(|script| script.sql.as_str()).unwrap_or_default();
    let is_function = |name: &str| {
        let called = |object: &Arc<Object>| {
            object.kind == Kind::Function && object.name.object.split('(').next() == Some(name)
        };
        known.trial.before.objects().any(called)
    };
    known.facts.statements.iter().any(|statement| {
        !statement.opaque_execute.is_empty()
            || computes_values(script.get(statement.span.clone()).unwrap_or_default())
            || statement.calls.iter().any(|call| is_function(&call.name))
    })
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
