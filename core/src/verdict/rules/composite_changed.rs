//! A composite type has other attributes.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "composite-changed",
    title: "A composite type has other attributes",
    page: include_str!("../../../../docs/rules/composite-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .altered(&[Kind::Composite], Fact::Definition)
        .map(|(change, _, _)| {
            let text = format!("{} has other attributes: does the older release read or write its values?", change.name);
            subject.ways_to_type(&change.name).into_iter().fold(Finding::unknown(text), Finding::needing)
        })
        .collect()
}
