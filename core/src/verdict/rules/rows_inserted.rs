//! Rows were put into an existing table.

use super::{Finding, Rule, Subject};
use crate::sql::DmlKind;

pub(super) const RULE: Rule = Rule {
    id: "rows-inserted",
    title: "Rows were put into an existing table",
    page: include_str!("../../../../docs/rules/rows-inserted.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .rows()
        .filter(|dml| matches!(dml.kind, DmlKind::Insert | DmlKind::CopyFrom))
        .filter_map(|dml| dml.table.as_ref().map(|table| (dml.line, table)))
        .map(|(line, table)| Finding::assumes(format!("line {line} inserts into {table}; the older release reads rows as they come")))
        .collect()
}
