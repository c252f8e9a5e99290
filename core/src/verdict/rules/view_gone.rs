//! A view that existed is gone or has another name.

use super::{Finding, Rule, Subject, gone};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "view-gone",
    title: "A view that existed is gone or has another name",
    page: include_str!("../../../../docs/rules/view-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    gone(subject, &[Kind::View, Kind::MaterializedView])
}
