//! A column takes NULL now.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "not-null-dropped",
    title: "A column takes NULL now",
    page: include_str!("../../../../docs/rules/not-null-dropped.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .altered(&[Kind::Column], Fact::NotNull)
        .filter(|(change, _, _)| change.now().is_some_and(|now| !now.has(Fact::NotNull)))
        .map(|(change, _, _)| {
            let column = change.name.clone();
            Finding::assumes(format!("the newer release wrote no NULL into {column} that the older one reads"))
                .needing(Need::NullsRead { column })
        })
        .collect()
}
