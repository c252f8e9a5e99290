//! A new table points at an existing one.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind};

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
        .filter(|(_, definition)| !definition.contains("ON DELETE CASCADE") && !definition.contains("ON DELETE SET"))
        .filter(|(_, definition)| points_at_old_table(subject, definition))
        .map(|(key, definition)| {
            let target = target(definition);
            Finding::assumes(format!("rows of {} do not stop the older release from deleting from {target}", key.name.parent()))
        })
        .collect()
}

fn points_at_old_table(subject: &Subject, definition: &str) -> bool {
    crate::sql::ObjectName::parse(target(definition))
        .is_some_and(|name| subject.before.has_table(&crate::schema::Name::of(name.schema.unwrap_or_default(), name.name)))
}

/// The table name in `FOREIGN KEY (a) REFERENCES public.t(id) ...`.
fn target(definition: &str) -> &str {
    definition.split_once(" REFERENCES ").and_then(|(_, rest)| rest.split_once('(')).map_or("", |(table, _)| table)
}
