//! A write without a list of columns, into a table whose columns changed.

use super::{Finding, Rule, Subject};
use crate::schema::{Catalog, Fact, Kind, Name};
use crate::sql::WriteKind;
use crate::verdict::uses::Fate;

pub(super) const RULE: Rule = Rule {
    id: "insert-without-columns",
    title: "A write without a list of columns, into a table whose columns changed",
    page: include_str!("../../../../docs/rules/insert-without-columns.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let Some(uses) = subject.uses else { return Vec::new() };
    let tables = subject.before.objects().filter(|object| object.kind == Kind::Table);
    let mut found = Vec::new();
    for table in tables {
        let (was, now) = (columns(subject.before, &table.name), columns(subject.after, &table.name));
        if was == now || now.is_empty() {
            continue;
        }
        let appended = now.starts_with(&was);
        for (query, write) in uses.writes(&table.name).filter(|(_, write)| write.columns.is_none()) {
            let (id, name) = (&query.id, &table.name);
            match write.kind {
                WriteKind::Insert if appended && query.fate() == Fate::Plans => {
                    found.push(Finding::assumes(format!("{id} names no columns of {name}; the new ones are at its end")));
                }
                WriteKind::Insert if query.facts.mentions("default") => {
                    found.push(Finding::unknown(format!("{id} names no columns of {name}, which has others now")));
                }
                WriteKind::Insert => {
                    found.push(Finding::breaks(format!("{id} names no columns of {name}, and they are others now")));
                }
                WriteKind::CopyFrom => {
                    found.push(Finding::breaks(format!("{id} copies rows into {name}, whose columns are others now")));
                }
                WriteKind::Update | WriteKind::Delete | WriteKind::Merge | WriteKind::Truncate => {}
            }
        }
    }
    found
}

/// Names and types of a table's columns, in their order.
fn columns<'a>(catalog: &'a Catalog, table: &Name) -> Vec<(&'a str, &'a str)> {
    let mut columns: Vec<_> = catalog
        .objects()
        .filter(|object| object.kind == Kind::Column && object.name.parent() == *table)
        .collect();
    columns.sort_by_key(|column| column.position);
    let column = |object: &&'a std::sync::Arc<crate::schema::Object>| {
        (object.name.part.as_deref().unwrap_or_default(), object.fact(Fact::Type).unwrap_or_default())
    };
    columns.iter().map(column).collect()
}
