//! A function or trigger takes all columns of a table that has new ones.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind, Object};

pub(super) const RULE: Rule = Rule {
    id: "body-sees-new-column",
    title: "A function or trigger takes all columns of a table that has new ones",
    page: include_str!("../../../../docs/rules/body-sees-new-column.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let Some(uses) = subject.uses else { return Vec::new() };
    let columns = subject.added(&[Kind::Column]).filter(|column| subject.before.relation(&column.name).is_some());
    columns
        .filter_map(|column| {
            let part = column.name.part.as_deref().unwrap_or_default().to_lowercase();
            let table = column.name.parent();
            let is_written = uses.writes(&table).next().is_some() || uses.written_indirectly(&table).is_some();
            let body = uses.bodies().find(|body| {
                body.words.contains(&part)
                    || body.takes_whole_rows_of(&table.object, is_written)
                    || body.takes_row && is_written && has_no_equality(column)
            })?;
            Some(Finding::unknown(format!(
                "{} runs because of a query, and may come to the new column {}",
                body.by, column.name
            )))
        })
        .collect()
}

/// Rows with a column of such a type cannot be compared.
fn has_no_equality(column: &Object) -> bool {
    let of_type = column.fact(Fact::Type).unwrap_or_default().trim_end_matches("[]");
    matches!(of_type, "json" | "xml" | "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle")
}
