//! The class of an up migration: a mechanical label of the catalog difference, by fixed precedence.
//!
//! Objects are compared by name. "On a table that existed before" means a table of that name in the older
//! reading. The label says what kind of change it was; whether old code bears it is the verdict's business.

use serde::Serialize;

use crate::schema::{Catalog, Change, Fact, Kind, Object, What};

/// What a migration did to the catalog, from nothing to the worst. The order is the precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpClass {
    /// No catalog change.
    None,
    /// Anything else that changed the catalog; a dropped constraint or plain index too.
    Additive,
    /// A NOT NULL was dropped.
    Loosening,
    /// The values of an existing enum changed.
    Enum,
    /// A body, options, grants or row security changed; a trigger or policy was added, removed or changed.
    Behavioural,
    /// An existing table accepts fewer rows than before.
    Restricting,
    /// A name that existed is gone, or a column has another type.
    Breaking,
}

impl UpClass {
    pub const ALL: [Self; 7] = [
        Self::Breaking,
        Self::Restricting,
        Self::Behavioural,
        Self::Enum,
        Self::Loosening,
        Self::Additive,
        Self::None,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Additive => "additive",
            Self::Loosening => "loosening",
            Self::Enum => "enum",
            Self::Behavioural => "behavioural",
            Self::Restricting => "restricting",
            Self::Breaking => "breaking",
        }
    }
}

/// The class of the whole difference: that of its worst change.
pub fn up_class(old: &Catalog, changes: &[Change]) -> UpClass {
    changes.iter().map(|change| class_of(old, change)).max().unwrap_or(UpClass::None)
}

/// The class of one change by itself.
pub fn class_of(old: &Catalog, change: &Change) -> UpClass {
    match &change.what {
        What::Removed { was } => of_lost_name(was),
        What::Renamed { was, .. } => of_renamed(was),
        What::Added { now } => of_added(old, now),
        What::Altered { was, now, fact } => of_altered(old, was, now, *fact),
        What::Reordered { .. } => UpClass::Additive,
    }
}

/// A name that programs use is gone.
fn of_lost_name(was: &Object) -> UpClass {
    match was.kind {
        Kind::Table
        | Kind::ForeignTable
        | Kind::View
        | Kind::MaterializedView
        | Kind::Column
        | Kind::Function
        | Kind::Schema
        | Kind::Enum
        | Kind::Domain
        | Kind::Range
        | Kind::Sequence => UpClass::Breaking,
        Kind::Trigger | Kind::Policy | Kind::EventTrigger | Kind::DomainConstraint => UpClass::Behavioural,
        Kind::Extension
        | Kind::Composite
        | Kind::BaseType
        | Kind::Constraint
        | Kind::Index
        | Kind::Rule
        | Kind::DefaultPrivileges
        | Kind::Other => UpClass::Additive,
    }
}

/// Constraints and indexes act the same under any name; everything else is gone by its old one.
fn of_renamed(was: &Object) -> UpClass {
    of_lost_name(was)
}

fn of_added(old: &Catalog, now: &Object) -> UpClass {
    let on_old_table = old.has_table(&now.name.parent());
    match now.kind {
        Kind::Column if on_old_table && now.is_required_column() => UpClass::Restricting,
        Kind::Constraint if on_old_table => UpClass::Restricting,
        Kind::Index if on_old_table && now.has(Fact::Unique) => UpClass::Restricting,
        Kind::Trigger | Kind::Policy | Kind::EventTrigger | Kind::DomainConstraint => UpClass::Behavioural,
        _ => UpClass::Additive,
    }
}

fn of_altered(old: &Catalog, was: &Object, now: &Object, fact: Fact) -> UpClass {
    // Comments act on nothing, whatever they are on.
    if fact == Fact::Comment {
        return UpClass::Additive;
    }
    match now.kind {
        Kind::Column => of_altered_column(old, was, now, fact),
        Kind::Constraint if old.has_table(&now.name.parent()) => UpClass::Restricting,
        Kind::Index if old.has_table(&now.name.parent()) && now.has(Fact::Unique) => UpClass::Restricting,
        Kind::Enum if fact == Fact::Values => UpClass::Enum,
        Kind::Function
        | Kind::View
        | Kind::MaterializedView
        | Kind::Policy
        | Kind::Table
        | Kind::ForeignTable
        | Kind::Schema
        | Kind::Domain
        | Kind::DomainConstraint
        | Kind::Trigger
        | Kind::EventTrigger => UpClass::Behavioural,
        _ => UpClass::Additive,
    }
}

fn of_altered_column(old: &Catalog, was: &Object, now: &Object, fact: Fact) -> UpClass {
    let in_table = old.has_table(&now.name.parent());
    match fact {
        Fact::Type => UpClass::Breaking,
        Fact::NotNull if now.has(Fact::NotNull) && in_table => UpClass::Restricting,
        Fact::NotNull if in_table => UpClass::Loosening,
        Fact::Default | Fact::Identity if in_table && now.is_required_column() && was.has(fact) => {
            UpClass::Restricting
        }
        // A column's own privileges are grants of its table.
        Fact::Grants => UpClass::Behavioural,
        _ => UpClass::Additive,
    }
}
