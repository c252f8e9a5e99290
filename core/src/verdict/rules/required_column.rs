//! A new column must be given in every INSERT.

use super::{Finding, Need, Rule, Subject};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "required-column",
    title: "A new column must be given in every INSERT",
    page: include_str!("../../../../docs/rules/required-column.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .added_where_written(Kind::Column)
        .filter(|column| column.is_required_column())
        .map(|column| Finding::breaks(format!("{} is NOT NULL without a default: INSERTs that do not name it fail", column.name))
            .needing(Need::Given { column: column.name.clone(), is_new: true }))
        .collect()
}
