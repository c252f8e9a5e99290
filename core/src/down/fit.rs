//! Whether the schema that is left after all downs is one that the target runs on: the one that it was made for, or
//! one that differs from it by what a program does not notice.

use crate::schema::{Catalog, Change, Fact, Kind, What, diff};

/// Facts that differ without any program noticing.
const UNNOTICED: [Fact; 4] = [Fact::Grants, Fact::Comment, Fact::Version, Fact::Storage];

/// What of `left` a program that was made for `known` could trip over, a sentence each; empty where nothing is.
/// Another column order is none of it: the verdict's rules say which queries mind.
pub fn unfit(known: &Catalog, left: &Catalog) -> Vec<String> {
    diff(known, left).iter().filter(|change| trips(change)).map(Change::to_string).collect()
}

fn trips(change: &Change) -> bool {
    match &change.what {
        What::Removed { .. } | What::Renamed { .. } => true,
        What::Altered { fact, .. } => !UNNOTICED.contains(fact),
        What::Reordered { .. } => false,
        What::Added { now } => match now.kind {
            Kind::Column => now.is_required_column(),
            Kind::Index => now.has(Fact::Unique),
            // They act on what the program writes.
            Kind::Constraint
            | Kind::DomainConstraint
            | Kind::Trigger
            | Kind::Policy
            | Kind::Rule
            | Kind::EventTrigger => true,
            Kind::Schema
            | Kind::Extension
            | Kind::Enum
            | Kind::Domain
            | Kind::Range
            | Kind::Composite
            | Kind::BaseType
            | Kind::Sequence
            | Kind::Table
            | Kind::ForeignTable
            | Kind::View
            | Kind::MaterializedView
            | Kind::Function
            | Kind::DefaultPrivileges
            | Kind::Other => false,
        },
    }
}

#[cfg(test)]
mod tests;
