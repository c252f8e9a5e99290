//! A constraint that is named somewhere is gone or has another name.

use super::{Finding, Rule, Subject};
use crate::schema::Kind;
use crate::verdict::uses::Fate;

pub(super) const RULE: Rule = Rule {
    id: "constraint-gone",
    title: "A constraint that is named somewhere is gone or has another name",
    page: include_str!("../../../../docs/rules/constraint-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let Some(uses) = subject.uses else { return Vec::new() };
    subject
        .touched(&[Kind::Constraint])
        .filter_map(|change| change.takes_a_name_away())
        .filter_map(|was| {
            let name = was.part.as_deref()?;
            let text = |by: &str| format!("{was} is gone, and {by} names it");
            let query = uses.queries().find(|query| query.facts.mentions(name));
            match query.map(|query| (query, query.fate())) {
                // `SET CONSTRAINTS name`.
                Some((query, Fate::NoSchema)) => Some(Finding::breaks(text(&query.id))),
                Some((query, Fate::Unusable)) => Some(Finding::unknown(text(&query.id))),
                _ => uses.indirectly(name).map(|by| Finding::unknown(text(by))),
            }
        })
        .collect()
}
