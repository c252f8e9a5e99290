//! An extension is gone, or is another one now.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "extension-gone",
    title: "An extension is gone, or is another one now",
    page: include_str!("../../../../docs/rules/extension-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let gone = subject
        .removed(&[Kind::Extension])
        .map(|extension| format!("{} is gone: does the older release use its functions or types?", extension.name));
    let changed = subject.altered(&[Kind::Extension], Fact::Version).map(|(change, was, now)| {
        format!("{} was {was} and is {now}: does the older release use its functions or types?", change.name)
    });
    gone.chain(changed).map(|text| Finding::unknown(text).needing(Need::AllPlan)).collect()
}
