//! A function or view does something else under the same name.

use super::{Finding, Need, Rule, Subject};
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
        .map(|(fact, (change, _, _))| {
            let text = format!("{} {}: its {} changed", change.kind.word(), change.name, fact.word());
            let (word, what) = (change.name.object.clone(), "it".to_owned());
            Finding::unknown(text).needing(Need::Unreached { word, what })
        })
        .collect()
}
