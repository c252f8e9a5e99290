//! An existing table has a new or changed unique index.

use super::{Finding, Rule, Subject, restricts};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "unique-index-added",
    title: "An existing table has a new or changed unique index",
    page: include_str!("../../../../docs/rules/unique-index-added.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let added = subject.added(&[Kind::Index]);
    let changed = subject.altered(&[Kind::Index], Fact::Definition).filter_map(|(change, _, _)| change.now().map(|now| &**now));
    added
        .chain(changed)
        .filter(|index| index.has(Fact::Unique) && subject.before.has_table(&index.name.parent()))
        .map(|index| {
            let columns = index.fact(Fact::Columns).unwrap_or_default();
            Finding::unknown(format!("{} is unique on {columns}: does the older release ever write the same twice?", index.name))
                .needing(restricts(subject, index))
        })
        .collect()
}
