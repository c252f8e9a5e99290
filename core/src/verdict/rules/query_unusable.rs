//! A query that proves nothing names what changed.

use super::{Finding, Rule, Subject};
use crate::schema::Kind;
use crate::verdict::uses::{Fate, Uses};
use crate::verdict::{UpClass, class_of};

pub(super) const RULE: Rule = Rule {
    id: "query-unusable",
    title: "A query that proves nothing names what changed",
    page: include_str!("../../../../docs/rules/query-unusable.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let queries = subject.uses.into_iter().flat_map(Uses::queries);
    queries
        .filter(|query| query.fate() == Fate::Unusable)
        .filter_map(|query| {
            let touched = subject.changes.iter().find(|change| {
                let names_it = |word: &str| query.facts.mentions(word.split('(').next().unwrap_or(word));
                let name = change.was().map_or(&change.name, |was| &was.name);
                if !names_it(&name.object) {
                    return false;
                }
                // Nothing but its own name, or all columns at once, lets a query come to a new column.
                let new_column = change.kind == Kind::Column && change.is_added();
                let seen = new_column && name.part.as_deref().is_some_and(names_it);
                seen || class_of(subject.before, change) > UpClass::Loosening
            })?;
            Some(Finding::unknown(format!(
                "{} does not plan even on the older schema, and names {}, which changed",
                query.id,
                touched.name.parent()
            )))
        })
        .collect()
}
