//! An enum, domain, range or composite type that existed is gone or has another name.

use super::{Finding, Rule, Subject, gone};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "type-gone",
    title: "An enum, domain, range or composite type that existed is gone or has another name",
    page: include_str!("../../../../docs/rules/type-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    gone(subject, &[Kind::Enum, Kind::Domain, Kind::Range, Kind::Composite, Kind::BaseType])
}
