//! A function or view does something else under the same name.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "body-changed",
    title: "A function or view does something else under the same name",
    page: include_str!("../../../../docs/rules/body-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let kinds = [Kind::Function, Kind::View, Kind::MaterializedView];
    [Fact::Body, Fact::Definition, Fact::Type, Fact::Options]
        .into_iter()
        .flat_map(|fact| subject.altered(&kinds, fact).map(move |found| (fact, found)))
        .map(|(fact, (change, _, _))| Finding::unknown(format!("{} {}: its {} changed", change.kind.word(), change.name, fact.word())))
        .collect()
}
