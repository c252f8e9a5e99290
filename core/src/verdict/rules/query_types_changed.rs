//! A query takes or gives other types.

use super::{Finding, Rule, Subject};
use crate::verdict::uses::{Difference, Fate, Uses};

pub(super) const RULE: Rule = Rule {
    id: "query-types-changed",
    title: "A query takes or gives other types",
    page: include_str!("../../../../docs/rules/query-types-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let queries = subject.uses.into_iter().flat_map(Uses::queries);
    queries
        .filter(|query| query.fate() == Fate::Plans)
        .filter_map(|query| match query.difference() {
            Difference::Parameter { place, was, now } => {
                Some(Finding::breaks(format!("{}: parameter {place} was {was} and is {now}", query.id)))
            }
            Difference::WiderParameter { place, was, now } => Some(Finding::unknown(format!(
                "{}: parameter {place} was {was} and is {now}: does the driver send that too?",
                query.id
            ))),
            Difference::ColumnType { name, was, now } => {
                Some(Finding::breaks(format!("{}: column {name} was {was} and is {now}", query.id)))
            }
            _ => None,
        })
        .collect()
}
