//! One table of a catalog with all that hangs on it and on its partitions and children, which its rows may be in.

use std::sync::Arc;

use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::words_of;

pub(in crate::verdict) struct Table<'a> {
    catalog: &'a Catalog,
    name: Name,
    /// Itself and all below it.
    family: Vec<Name>,
}

impl<'a> Table<'a> {
    pub fn of(catalog: &'a Catalog, name: &Name) -> Table<'a> {
        let mut family = vec![name.clone()];
        let mut at = 0;
        while let Some(parent) = family.get(at).cloned() {
            let below = catalog.objects().filter(|object| is_below(object, &parent));
            let new: Vec<Name> =
                below.map(|object| object.name.clone()).filter(|name| !family.contains(name)).collect();
            family.extend(new);
            at += 1;
        }
        Table { catalog, name: name.clone(), family }
    }

    /// Everything that belongs to it or to one below it, and the tables themselves.
    pub fn objects(&self) -> impl Iterator<Item = &'a Arc<Object>> {
        self.catalog.objects().filter(|object| self.family.contains(&object.name.parent()))
    }

    pub fn column(&self, column: &str) -> Option<&'a Object> {
        let column = column.trim_matches('"');
        let own = |object: &&Arc<Object>| {
            object.kind == Kind::Column
                && object.name.parent() == self.name
                && object.name.part.as_deref().is_some_and(|part| part.eq_ignore_ascii_case(column))
        };
        self.catalog.objects().find(own).map(|object| &**object)
    }

    /// The domain that is the type of this column.
    pub fn domain_of(&self, column: &Object) -> Option<&'a Object> {
        let words = words_of(column.fact(Fact::Type)?);
        let domain = self
            .catalog
            .objects()
            .find(|object| object.kind == Kind::Domain && words.contains(&object.name.object.to_lowercase()));
        domain.map(|domain| &**domain)
    }

    /// Is there a rule, or a trigger that fires on `event`, which is in capitals?
    pub fn has_trigger(&self, event: &str) -> bool {
        self.objects().any(|object| match object.kind {
            Kind::Rule => true,
            Kind::Trigger => {
                let definition = object.fact(Fact::Definition).unwrap_or_default();
                words_of(definition).contains(&event.to_lowercase())
            }
            _ => false,
        })
    }
}

/// Is the table a partition or child of `parent`?
fn is_below(object: &Object, parent: &Name) -> bool {
    if !matches!(object.kind, Kind::Table | Kind::ForeignTable) || object.name == *parent {
        return false;
    }
    let parent = parent.object.to_lowercase();
    [Fact::PartitionBound, Fact::Inherits]
        .into_iter()
        .filter_map(|fact| object.fact(fact))
        .any(|parents| words_of(parents).contains(&parent))
}
