//! Rows were put into an existing table.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind, Object};
use crate::sql::{DmlKind, ObjectName};

pub(super) const RULE: Rule = Rule {
    id: "rows-inserted",
    title: "Rows were put into an existing table",
    page: include_str!("../../../../docs/rules/rows-inserted.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let rows = subject.rows().filter(|dml| matches!(dml.kind, DmlKind::Insert | DmlKind::CopyFrom));
    let rows: Vec<_> = rows.filter_map(|dml| dml.table.as_ref().map(|table| (dml.line, table))).collect();
    let assumed = rows.iter().map(|(line, table)| {
        Finding::assumes(format!("line {line} inserts into {table}; the older release reads rows as they come"))
    });
    let inserted = subject.facts.statements.iter().flat_map(|one| one.inserted.iter().map(move |to| (one.line, to)));
    let numbered = inserted.filter(|(_, to)| rows.iter().any(|(_, table)| **table == to.table)).flat_map(|(line, to)| {
        let columns = subject.before.objects().filter(|object| is_numbered(object) && is_in(object, &to.table));
        let named = |column: &&std::sync::Arc<Object>| {
            let part = column.name.part.as_deref().unwrap_or_default().to_lowercase();
            to.columns.as_ref().is_none_or(|columns| columns.contains(&part))
        };
        columns.filter(named).map(move |column| {
            let column = column.name.clone();
            let text = format!("line {line} gives numbers of {column} that its sequence may give again");
            Finding::unknown(text).needing(Need::DefaultUnused { column, doubted: false })
        })
    });
    assumed.chain(numbered).collect()
}

/// A column that a sequence fills unless somebody names it.
fn is_numbered(object: &Object) -> bool {
    object.kind == Kind::Column
        && (object.fact(Fact::Identity) == Some("d") || object.fact(Fact::Default).is_some_and(|text| text.starts_with("nextval(")))
}

fn is_in(column: &Object, table: &ObjectName) -> bool {
    column.name.object == table.name && table.schema.as_ref().is_none_or(|schema| *schema == column.name.schema)
}
