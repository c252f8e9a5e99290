//! A sequence that existed is gone or has another name.

use super::{Finding, Rule, Subject, gone};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "sequence-gone",
    title: "A sequence that existed is gone or has another name",
    page: include_str!("../../../../docs/rules/sequence-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    gone(subject, &[Kind::Sequence])
}
