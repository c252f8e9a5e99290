//! A domain takes other values.

use super::{Finding, Rule, Subject};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "domain-changed",
    title: "A domain takes other values",
    page: include_str!("../../../../docs/rules/domain-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .touched(&[Kind::Domain, Kind::DomainConstraint])
        .filter(|change| !change.is_added() || change.kind == Kind::DomainConstraint)
        .filter(|change| change.takes_a_name_away().is_none() || change.kind == Kind::DomainConstraint)
        .filter(|change| subject.before.get(Kind::Domain, &change.name.parent()).is_some())
        .map(|change| (change, Finding::unknown(format!("{change}: does the older release write only what it takes?"))))
        .map(|(change, finding)| subject.ways_to_type(&change.name.parent()).into_iter().fold(finding, Finding::needing))
        .collect()
}
