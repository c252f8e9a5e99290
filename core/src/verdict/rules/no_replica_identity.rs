//! A published table has nothing that tells its rows apart.

use std::collections::BTreeSet;

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::ObjectName;

pub(super) const RULE: Rule = Rule {
    id: "no-replica-identity",
    title: "A published table has nothing that tells its rows apart",
    page: include_str!("../../../../docs/rules/no-replica-identity.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let before = stuck(subject.before);
    stuck(subject.after)
        .into_iter()
        .filter(|table| !before.contains(table) && subject.before.has_table(table))
        .map(|table| {
            let text = format!("{table} is published and has no replica identity: UPDATE and DELETE fail on it");
            Finding::breaks(text).needing(Need::OnlyAdded { table })
        })
        .collect()
}

/// Tables whose rows can be added and neither changed nor deleted.
fn stuck(catalog: &Catalog) -> BTreeSet<Name> {
    let publications = catalog
        .objects()
        .filter(|object| object.kind == Kind::Other && object.name.object.starts_with("publication "))
        .filter_map(|object| object.fact(Fact::Definition))
        .filter(|text| text.contains("\"pubupdate\": true") || text.contains("\"pubdelete\": true"));
    let mut published = BTreeSet::new();
    for text in publications {
        let list = text.rsplit_once('}').map_or("", |(_, list)| list.trim());
        // One that lists no tables takes all of them, or all of a schema.
        let takes = |table: &Object| {
            list.is_empty()
                || list.split(',').filter_map(ObjectName::parse).any(|name| {
                    name.name == table.name.object && name.schema.is_none_or(|schema| schema == table.name.schema)
                })
        };
        let tables = catalog.objects().filter(|object| object.kind == Kind::Table && takes(object));
        published.extend(tables.map(|table| table.name.clone()));
    }
    published.retain(|table| {
        let options = catalog.get(Kind::Table, table).and_then(|table| table.fact(Fact::Options)).unwrap_or_default();
        let has_key = || catalog.objects().any(|object| {
            object.kind == Kind::Constraint && object.fact(Fact::Sort) == Some("p") && object.name.parent() == *table
        });
        match options.split_once("replica identity ").map(|(_, rest)| &rest[..1]) {
            Some("n") => true,
            Some(_) => false,
            None => !has_key(),
        }
    });
    published
}
