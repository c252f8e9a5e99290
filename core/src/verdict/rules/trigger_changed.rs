//! A trigger or rule was added, removed or changed.

use super::{Finding, Need, Rule, Subject};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "trigger-changed",
    title: "A trigger or rule was added, removed or changed",
    page: include_str!("../../../../docs/rules/trigger-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let kinds = [Kind::Trigger, Kind::Rule, Kind::EventTrigger];
    subject
        .touched(&kinds)
        .filter(|change| {
            change.kind == Kind::EventTrigger
                || subject.before.relation(&change.name).is_some()
                || change.now().is_some_and(|now| subject.is_written(now))
        })
        .map(|change| (change, Finding::unknown(format!("{change}: it acts on what the older release writes"))))
        .map(|(change, finding)| match change.kind {
            Kind::EventTrigger => finding,
            _ => finding.needing(Need::Unwritten { table: change.name.parent() }),
        })
        .collect()
}
