//! Rows of an existing table were changed or deleted.

use super::{Finding, Need, Rule, Subject};
use crate::sql::DmlKind;

pub(super) const RULE: Rule = Rule {
    id: "rows-changed",
    title: "Rows of an existing table were changed or deleted",
    page: include_str!("../../../../docs/rules/rows-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .rows()
        .filter(|dml| matches!(dml.kind, DmlKind::Update | DmlKind::Delete | DmlKind::Truncate | DmlKind::Merge))
        .map(|dml| {
            let table = dml.table.as_ref().map_or_else(|| "a table".to_owned(), ToString::to_string);
            let verb = match dml.kind {
                DmlKind::Update => "updates",
                DmlKind::Delete => "deletes from",
                DmlKind::Truncate => "truncates",
                _ => "merges into",
            };
            let finding = Finding::unknown(format!("line {} {verb} {table}: can the older release live with the new values?", dml.line));
            match &dml.table {
                Some(table) => finding.needing(Need::Unreached { word: table.name.clone(), what: "these rows".to_owned() }),
                None => finding,
            }
        })
        .collect()
}
