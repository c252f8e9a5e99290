//! A table that existed is gone or has another name.

use super::{Finding, Rule, Subject, gone};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "table-gone",
    title: "A table that existed is gone or has another name",
    page: include_str!("../../../../docs/rules/table-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    gone(subject, &[Kind::Table, Kind::ForeignTable])
}
