//! An existing column does not take NULL any more.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "not-null-set",
    title: "An existing column does not take NULL any more",
    page: include_str!("../../../../docs/rules/not-null-set.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .altered(&[Kind::Column], Fact::NotNull)
        .filter(|(change, _, _)| change.now().is_some_and(|now| now.has(Fact::NotNull)))
        .map(|(change, _, _)| Finding::unknown(format!("{} is NOT NULL now: does the older release ever write NULL there?", change.name)))
        .collect()
}
