//! A query of the older release does not plan any more.

use super::{Finding, Rule, Subject};
use crate::queries::Outcome;
use crate::verdict::uses::{Fate, Uses};

pub(super) const RULE: Rule = Rule {
    id: "query-fails",
    title: "A query of the older release does not plan any more",
    page: include_str!("../../../../docs/rules/query-fails.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let queries = subject.uses.into_iter().flat_map(Uses::queries);
    queries
        .filter(|query| query.fate() == Fate::Fails)
        .map(|query| match &query.after {
            Outcome::Failed { message, .. } => Finding::breaks(format!("{}: {message}", query.id)),
            _ => Finding::breaks(format!("{} cannot be planned any more", query.id)),
        })
        .collect()
}
