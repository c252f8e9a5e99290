//! The change between two readings as plain lines, so that what a script did in one database can be compared with
//! what it did in another.

use super::{Catalog, Change, Fact, Name, Object, What, diff};

/// Facts that differ from one database to the next although the schema is the same.
const LOCAL: [Fact; 4] = [Fact::Grants, Fact::Comment, Fact::Version, Fact::Storage];

impl Change {
    /// Is it about what belongs to one database alone, and says nothing about its schema?
    pub fn is_local(&self) -> bool {
        matches!(&self.what, What::Altered { fact, .. } if LOCAL.contains(fact))
    }
}

/// What leads from `before` to `after`, a line a change, sorted. Names, kinds and the facts that a program could
/// notice count; what belongs to the database alone, such as grants, does not.
pub fn delta(before: &Catalog, after: &Catalog) -> Vec<String> {
    let mut lines: Vec<String> = diff(before, after).iter().filter_map(line).collect();
    lines.sort();
    lines
}

/// The tables, views and other objects that changes between the readings are about, by the name they have before,
/// or after where they are new.
pub fn touched(before: &Catalog, after: &Catalog) -> Vec<Name> {
    let mut names: Vec<Name> = diff(before, after)
        .iter()
        .flat_map(|change| [change.was(), change.now()].into_iter().flatten().cloned().collect::<Vec<_>>())
        .map(|object| object.name.parent())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn line(change: &Change) -> Option<String> {
    let kind = change.kind.word();
    Some(match &change.what {
        What::Added { now } => format!("adds {kind} {}{}", full(&change.name), facts(now)),
        What::Removed { .. } => format!("removes {kind} {}", full(&change.name)),
        What::Renamed { was, .. } => format!("renames {kind} {} to {}", full(&was.name), full(&change.name)),
        What::Reordered { .. } => {
            format!("puts the columns of {kind} {} in another order", full(&change.name))
        }
        What::Altered { .. } if change.is_local() => return None,
        What::Altered { now, fact, .. } => {
            format!("{kind} {}: {} is {:?}", full(&change.name), fact.word(), now.fact(*fact).unwrap_or(""))
        }
    })
}

fn facts(object: &Object) -> String {
    let counted = object.facts.iter().filter(|(fact, _)| !LOCAL.contains(fact));
    counted.fold(String::new(), |text, (fact, value)| format!("{text}; {} {value:?}", fact.word()))
}

/// With its schema, always.
fn full(name: &Name) -> String {
    let parts =
        [Some(&name.schema).filter(|schema| !schema.is_empty()), Some(&name.object), name.part.as_ref()];
    parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
}
