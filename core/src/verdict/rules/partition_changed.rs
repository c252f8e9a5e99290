//! An existing table became, or stopped being, a partition or a child.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "partition-changed",
    title: "An existing table became, or stopped being, a partition or a child",
    page: include_str!("../../../../docs/rules/partition-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    [Fact::PartitionKey, Fact::PartitionBound, Fact::Inherits]
        .into_iter()
        .flat_map(|fact| subject.altered(&[Kind::Table, Kind::ForeignTable], fact).map(move |found| (fact, found)))
        .map(|(fact, (change, _, _))| Finding::unknown(format!("the {} of {} changed", fact.word(), change.name)))
        .collect()
}
