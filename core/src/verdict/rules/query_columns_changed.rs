//! A query gives other columns.

use super::{Finding, Rule, Subject};
use crate::queries::Form;
use crate::verdict::uses::{Difference, Fate, Uses};

pub(super) const RULE: Rule = Rule {
    id: "query-columns-changed",
    title: "A query gives other columns",
    page: include_str!("../../../../docs/rules/query-columns-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let queries = subject.uses.into_iter().flat_map(Uses::queries);
    queries
        .filter(|query| query.fate() == Fate::Plans)
        .filter_map(|query| {
            let id = &query.id;
            Some(match (query.difference(), query.form) {
                (Difference::Appended { names }, Form::SqlxOffline) => {
                    Finding::assumes(format!("{id} gives {names} too, behind the columns that it took"))
                }
                (Difference::Appended { names }, _) => Finding::unknown(format!(
                    "{id} gives {names} too: does the older release take columns by name?"
                )),
                (Difference::Moved, Form::SqlxOffline) => {
                    Finding::breaks(format!("{id} gives its columns in other places, and they are taken by place"))
                }
                (Difference::Moved, _) => Finding::unknown(format!(
                    "{id} gives its columns in other places: does the older release take them by name?"
                )),
                (Difference::Gone { names }, _) => Finding::breaks(format!("{id} does not give {names} any more")),
                _ => return None,
            })
        })
        .collect()
}
