//! An existing table has a new or changed unique index.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind, Object};
use crate::verdict::limits::restricts;

pub(super) const RULE: Rule = Rule {
    id: "unique-index-added",
    title: "An existing table has a new or changed unique index",
    page: include_str!("../../../../docs/rules/unique-index-added.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let added = subject.added_where_written(Kind::Index);
    let changed = subject.altered(&[Kind::Index], Fact::Definition).filter_map(|(change, _, _)| change.now().map(|now| &**now));
    let refreshed = |index: &&Object| {
        subject.before.get(Kind::MaterializedView, &index.name.parent()).is_some()
            && subject.uses.is_none_or(|uses| uses.reached_by("refresh").is_some())
    };
    let of_view = subject.added(&[Kind::Index]).filter(refreshed);
    let changed = changed.filter(|index| subject.is_written(index));
    added
        .chain(changed)
        .chain(of_view)
        .filter(|index| index.has(Fact::Unique))
        .map(|index| {
            let columns = index.fact(Fact::Columns).unwrap_or_default();
            Finding::unknown(format!("{} is unique on {columns}: does the older release ever write the same twice?", index.name))
                .needing(if refreshed(&index) {
                    Need::Unreached { word: index.name.object.clone(), what: "it".to_owned() }
                } else {
                    restricts(subject.after, index)
                })
        })
        .collect()
}
