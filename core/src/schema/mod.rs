//! What a PostgreSQL database's catalog says, and how two readings of it differ.
//!
//! Owns [`Catalog`] (one reading, as objects with facts), [`diff`] (two readings to named [`Change`]s) and
//! nothing else: it reads no database, and it does not say whether a change is good or bad (`verdict` does).
//!
//! A reading leaves out what is not the user's: system schemas, objects owned by an extension, and the
//! version table of the migration tool.

mod change;
mod delta;
mod diff;
mod object;

#[cfg(test)]
mod tests;

pub use change::{Change, What};
pub use delta::{delta, touched};
pub use diff::diff;
pub use object::{Address, Fact, Kind, Name, Object};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What identifies an object across two readings: its kind and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    pub name: Name,
}

/// One reading of a catalog. Cloning shares the objects, so a reading per migration step costs little. Written down,
/// it is the list of its objects without their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    objects: BTreeMap<Arc<Key>, Arc<Object>>,
}

impl Catalog {
    /// Puts an object in, in place of one with the same kind and name, and returns its key.
    pub fn insert(&mut self, object: Object) -> Arc<Key> {
        let key = Arc::new(Key { kind: object.kind, name: object.name.clone() });
        self.objects.insert(Arc::clone(&key), Arc::new(object));
        key
    }

    /// Takes an object out. `address` guards against taking out a newer object of the same name.
    pub fn remove(&mut self, key: &Key, address: Address) {
        if self.objects.get(key).is_some_and(|object| object.address.same_unit(address)) {
            self.objects.remove(key);
        }
    }

    pub fn get(&self, kind: Kind, name: &Name) -> Option<&Arc<Object>> {
        self.objects.get(&Key { kind, name: name.clone() })
    }

    /// The table that a column, constraint, index, trigger or policy belongs to.
    pub fn relation(&self, name: &Name) -> Option<&Arc<Object>> {
        let relation = name.parent();
        Kind::RELATIONS.iter().find_map(|kind| self.get(*kind, &relation))
    }

    /// Is there a table (plain, partitioned or foreign) of this name?
    pub fn has_table(&self, name: &Name) -> bool {
        [Kind::Table, Kind::ForeignTable].iter().any(|kind| self.get(*kind, name).is_some())
    }

    /// Without tables of these names, in whatever schema, and what belongs to them.
    #[must_use]
    pub fn without_tables(&self, names: &[String]) -> Self {
        let is_one = |object: &Object| {
            let own_sequence = || {
                object.kind == Kind::Sequence
                    && object
                        .fact(Fact::OwnedBy)
                        .and_then(|column| column.split('.').nth(1))
                        .is_some_and(|table| names.iter().any(|name| name == table))
            };
            (object.kind == Kind::Table || object.kind.is_part()) && names.contains(&object.name.object)
                || own_sequence()
        };
        if !self.objects.values().any(|object| is_one(object)) {
            return self.clone();
        }
        let objects = self.objects.iter().filter(|(_, object)| !is_one(object));
        Self { objects: objects.map(|(key, object)| (Arc::clone(key), Arc::clone(object))).collect() }
    }

    /// As if read from another database: nothing in it is the same object as one of another reading, so that a
    /// number that two databases happen to share is not taken for a rename.
    #[must_use]
    pub fn without_addresses(&self) -> Self {
        self.objects().map(|object| Object { address: Address::default(), ..(**object).clone() }).collect()
    }

    /// The object at an address, if it is still there, under whatever name.
    pub fn at(&self, kind: Kind, address: Address) -> Option<&Arc<Object>> {
        self.objects.values().find(|object| object.kind == kind && object.address == address)
    }

    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub(crate) fn entries(&self) -> &BTreeMap<Arc<Key>, Arc<Object>> {
        &self.objects
    }
}

impl Serialize for Catalog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.objects.values().map(|object| &**object))
    }
}

impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Object>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl FromIterator<Object> for Catalog {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut catalog = Self::default();
        for object in objects {
            catalog.insert(object);
        }
        catalog
    }
}
