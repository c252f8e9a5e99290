//! A join that finds its columns by name, on a table whose columns changed.

use super::{Finding, Rule, Subject};
use crate::verdict::Uses;
use crate::schema::{Change, Kind};

pub(super) const RULE: Rule = Rule {
    id: "natural-join",
    title: "A join that finds its columns by name, on a table whose columns changed",
    page: include_str!("../../../../docs/rules/natural-join.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let queries = subject.uses.into_iter().flat_map(Uses::queries);
    queries
        .filter(|query| query.facts.mentions("natural"))
        .filter_map(|query| {
            let renames = |change: &&Change| change.is_added() || change.takes_a_name_away().is_some();
            let change = subject
                .touched(&[Kind::Column])
                .filter(renames)
                .find(|change| query.facts.mentions(&change.name.object))?;
            let table = change.name.parent();
            Some(Finding::unknown(format!("{} joins {table} by whatever columns have one name", query.id)))
        })
        .collect()
}
