//! Sequences that a down sends back or drops: how far they were used is lost, and numbers are given out twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compile::Known;
use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::words_of;

/// Those whose last number goes, by the names before it. `gone` are the tables and columns that it destroys, which
/// take the sequences along that they own; `changed` the tables whose rows it changes.
pub(super) fn lost(
    known: &Known<'_>,
    after: &Catalog,
    gone: &[Arc<Object>],
    changed: &BTreeSet<Name>,
) -> BTreeSet<Name> {
    let all: Vec<&Arc<Object>> = sequences(&known.trial.before).collect();
    let mut found: BTreeSet<Name> = all
        .iter()
        .filter(|was| after.at(Kind::Sequence, was.address).is_none())
        .map(|was| was.name.clone())
        .collect();
    for words in setting(known) {
        let is_named = |sequence: &Object| {
            words.contains(&sequence.name.object.to_lowercase())
                || owner_table(sequence).is_some_and(|table| words.contains(&table.to_lowercase()))
        };
        let mut named: BTreeSet<Name> =
            all.iter().filter(|one| is_named(one)).map(|one| one.name.clone()).collect();
        if words.contains("identity") {
            let of_changed = |one: &&&Arc<Object>| {
                changed.iter().any(|table| owner_table(one) == Some(table.object.as_str()))
            };
            named.extend(all.iter().filter(of_changed).map(|one| one.name.clone()));
        }
        // One that it makes itself is nobody's yet.
        if named.is_empty() && !sequences(after).any(|one| is_named(one)) {
            named.extend(all.iter().map(|one| one.name.clone()));
        }
        found.extend(named);
    }
    let goes_with_owner = |sequence: &Object| {
        let owner = sequence.fact(Fact::OwnedBy).unwrap_or_default();
        gone.iter().any(|was| {
            let name = format!("{}.{}", was.name.schema, was.name.object);
            match &was.name.part {
                Some(part) => owner == format!("{name}.{part}"),
                None => owner.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')),
            }
        })
    };
    let owned: BTreeSet<&Name> = all.iter().filter(|one| goes_with_owner(one)).map(|one| &one.name).collect();
    found.retain(|name| !owned.contains(name));
    found
}

fn sequences(catalog: &Catalog) -> impl Iterator<Item = &Arc<Object>> {
    catalog.objects().filter(|object| object.kind == Kind::Sequence)
}

/// The table that a sequence belongs to, without its schema.
fn owner_table(sequence: &Object) -> Option<&str> {
    let (table, _) = sequence.fact(Fact::OwnedBy)?.rsplit_once('.')?;
    Some(table.strip_prefix(&format!("{}.", sequence.name.schema)).unwrap_or(table))
}

/// The words of each statement that says with which number a sequence goes on, also in blocks and in functions that
/// it calls.
fn setting(known: &Known<'_>) -> Vec<BTreeSet<String>> {
    let script = known.migration.down.script().map(|script| script.sql.as_str()).unwrap_or_default();
    let mut found = Vec::new();
    for statement in &known.facts.statements {
        let text = script.get(statement.span.clone()).unwrap_or_default();
        let bodies = known.trial.before.objects().filter(|object| {
            let name = object.name.object.split('(').next().unwrap_or_default();
            object.kind == Kind::Function && statement.calls.iter().any(|call| call.name == name)
        });
        let bodies = bodies.map(|object| words_of(object.fact(Fact::Body).unwrap_or_default()));
        let all = std::iter::once(words_of(text)).chain(bodies);
        found.extend(all.filter(|words| words.contains("setval") || words.contains("restart")));
    }
    found
}
