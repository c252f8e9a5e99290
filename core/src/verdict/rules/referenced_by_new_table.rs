//! A new table points at an existing one.

use super::{Finding, Rule, Subject, keys_kept};
use crate::schema::{Fact, Kind, Name};

pub(super) const RULE: Rule = Rule {
    id: "referenced-by-new-table",
    title: "A new table points at an existing one",
    page: include_str!("../../../../docs/rules/referenced-by-new-table.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .after
        .objects()
        .filter(|object| object.kind == Kind::Constraint && object.fact(Fact::Sort) == Some("f"))
        .filter(|key| !subject.before.has_table(&key.name.parent()))
        .filter_map(|key| Some((key, key.fact(Fact::Definition)?)))
        .filter(|(key, definition)| !lets_rows_go(subject, &key.name, definition))
        .filter(|(_, definition)| points_at_old_table(subject, definition))
        .map(|(key, definition)| {
            let target = target(definition);
            Finding::assumes(format!("rows of {} do not stop the older release from deleting from {target}", key.name.parent()))
                .needing(keys_kept(definition))
        })
        .collect()
}

/// Whether rows of the new table never stop a DELETE of what they point at: they go too, or their columns may be NULL
/// and no CHECK speaks of them.
fn lets_rows_go(subject: &Subject, key: &Name, definition: &str) -> bool {
    if definition.contains("ON DELETE CASCADE") {
        return true;
    }
    let table = key.parent();
    let columns = definition.split(['(', ')']).nth(1).unwrap_or_default();
    let names = columns.split(',').map(|name| name.trim().trim_matches('"'));
    let may_be_null = |name: &str| {
        let name = Name { part: Some(name.to_owned()), ..table.clone() };
        subject.after.get(Kind::Column, &name).is_some_and(|column| !column.has(Fact::NotNull))
    };
    let has_check = subject.after.objects().any(|object| {
        object.kind == Kind::Constraint && object.fact(Fact::Sort) == Some("c") && object.name.parent() == table
    });
    definition.contains("ON DELETE SET NULL") && names.into_iter().all(may_be_null) && !has_check
}

fn points_at_old_table(subject: &Subject, definition: &str) -> bool {
    crate::sql::ObjectName::parse(target(definition))
        .is_some_and(|name| subject.before.has_table(&Name::of(name.schema.unwrap_or_default(), name.name)))
}

/// The table name in `FOREIGN KEY (a) REFERENCES public.t(id) ...`.
fn target(definition: &str) -> &str {
    definition.split_once(" REFERENCES ").and_then(|(_, rest)| rest.split_once('(')).map_or("", |(table, _)| table)
}
