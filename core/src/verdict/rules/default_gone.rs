//! A column that does not take NULL has lost its default.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "default-gone",
    title: "A column that does not take NULL has lost its default",
    page: include_str!("../../../../docs/rules/default-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    [Fact::Default, Fact::Identity, Fact::Generated]
        .into_iter()
        .flat_map(|fact| subject.altered(&[Kind::Column], fact))
        .filter(|(change, was, _)| !was.is_empty() && change.now().is_some_and(|now| now.is_required_column()))
        .map(|(change, was, _)| {
            Finding::unknown(format!("{} has no default any more (it was {was}): does the older release always name it?", change.name))
                .needing(Need::Given { column: change.name.clone(), is_new: false })
        })
        .collect()
}
