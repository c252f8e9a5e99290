//! A function that existed is gone, or takes other arguments.

use super::{Finding, Rule, Subject, gone};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "function-gone",
    title: "A function that existed is gone, or takes other arguments",
    page: include_str!("../../../../docs/rules/function-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    gone(subject, &[Kind::Function])
}
