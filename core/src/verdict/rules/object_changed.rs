//! A text search object, collation, operator or cast is gone or changed.

use super::{Finding, Need, Rule, Subject};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "object-changed",
    title: "A text search object, collation, operator or cast is gone or changed",
    page: include_str!("../../../../docs/rules/object-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .touched(&[Kind::Other])
        .filter(|change| !change.is_added())
        .filter(|change| !["publication ", "statistics ", "language "].iter().any(|kind| change.name.object.starts_with(kind)))
        .map(|change| {
            let what = &change.name.object;
            let finding = Finding::unknown(format!("{what} is not as it was: does the older release use it?"));
            // A parameter may name a text search object, which no planning sees.
            let by_parameter = what.starts_with("text search ").then_some("regconfig");
            let own = what.rsplit([' ', '.']).next().unwrap_or(what);
            let unreached = |word: &str| Need::Unreached { word: word.to_owned(), what: "it".to_owned() };
            let needs = [Some(own), by_parameter].into_iter().flatten().map(unreached);
            needs.chain([Need::AllPlan]).fold(finding, Finding::needing)
        })
        .collect()
}
