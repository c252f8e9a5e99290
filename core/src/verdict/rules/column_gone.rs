//! A column that existed is gone or has another name.

use super::{Finding, Rule, Subject, gone};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "column-gone",
    title: "A column that existed is gone or has another name",
    page: include_str!("../../../../docs/rules/column-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    gone(subject, &[Kind::Column])
}
