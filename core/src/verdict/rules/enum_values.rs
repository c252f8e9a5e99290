//! The values of an enum changed.

use super::{Finding, Rule, Subject};
use crate::schema::{Change, Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "enum-values",
    title: "The values of an enum changed",
    page: include_str!("../../../../docs/rules/enum-values.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .altered(&[Kind::Enum], Fact::Values)
        .map(|(change, was, now)| (change, finding(change, was, now)))
        .map(|(change, finding)| subject.ways_to_type(&change.name).into_iter().fold(finding, Finding::needing))
        .collect()
}

fn finding(change: &Change, was: &str, now: &str) -> Finding {
            let gone: Vec<&str> = was.lines().filter(|value| !now.lines().any(|other| other == *value)).collect();
            let new: Vec<&str> = now.lines().filter(|value| !was.lines().any(|other| other == *value)).collect();
            if !gone.is_empty() {
                Finding::breaks(format!("{} has no value {} any more", change.name, gone.join(", ")))
            } else if new.is_empty() {
                Finding::unknown(format!("{} has its values in another order", change.name))
            } else {
                Finding::unknown(format!("{} has the new value {}: can the older release read it?", change.name, new.join(", ")))
            }
}
