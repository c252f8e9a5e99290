//! An existing table has a new or changed constraint.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind, Object};
use crate::verdict::limits::{is_left_null, keys_kept, null_passes, restricts};

pub(super) const RULE: Rule = Rule {
    id: "constraint-added",
    title: "An existing table has a new or changed constraint",
    page: include_str!("../../../../docs/rules/constraint-added.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let added = subject.added_where_written(Kind::Constraint);
    let changed = subject.altered(&[Kind::Constraint], Fact::Definition).filter_map(|(change, _, _)| change.now().map(|now| &**now));
    let changed = changed.filter(|constraint| subject.is_written(constraint));
    added
        .chain(changed)
        .map(|constraint| {
            let definition = constraint.fact(Fact::Definition).unwrap_or_default();
            if only_on_columns_left_empty(subject, constraint) && null_passes(constraint) {
                let finding = Finding::assumes(format!("{} is on new columns only, which the older release leaves as they are", constraint.name));
                keys_kept(subject.after, constraint).into_iter().fold(finding, Finding::needing)
            } else {
                let finding = Finding::unknown(format!("{}: {definition}: does everything that the older release writes pass?", constraint.name))
                    .needing(restricts(subject.after, constraint));
                keys_kept(subject.after, constraint).into_iter().fold(finding, Finding::needing)
            }
        })
        .collect()
}

/// Are all its columns new, and does a row that does not name them pass because they are NULL?
fn only_on_columns_left_empty(subject: &Subject, constraint: &Object) -> bool {
    let Some(columns) = constraint.fact(Fact::Columns) else { return false };
    // Of a new table that is written through another one, columns are as old as those.
    subject.before.has_table(&constraint.name.parent()) && columns.split(", ").all(|column| {
        let mut name = constraint.name.clone();
        name.part = Some(column.trim_matches('"').to_owned());
        subject.before.get(Kind::Column, &name).is_none()
            && subject.after.get(Kind::Column, &name).is_some_and(|column| is_left_null(subject.after, column))
    })
}
