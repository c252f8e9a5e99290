//! One object of a catalog: what kind it is, how it is called, where it sits, and the facts about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of objects that are told apart. Everything PostgreSQL has beyond these is `Other`, with its own
/// description as name, so nothing that changes goes unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Schema,
    Extension,
    Enum,
    Domain,
    Range,
    Composite,
    BaseType,
    Sequence,
    Table,
    ForeignTable,
    View,
    MaterializedView,
    Column,
    Constraint,
    DomainConstraint,
    Index,
    Function,
    Trigger,
    Policy,
    Rule,
    EventTrigger,
    DefaultPrivileges,
    Other,
}

impl Kind {
    /// Kinds that have columns.
    pub const RELATIONS: [Self; 4] = [Self::Table, Self::ForeignTable, Self::View, Self::MaterializedView];

    /// Does an object of this kind belong to another one, and come and go with it?
    pub fn is_part(self) -> bool {
        matches!(
            self,
            Self::Column
                | Self::Constraint
                | Self::DomainConstraint
                | Self::Index
                | Self::Trigger
                | Self::Policy
                | Self::Rule
        )
    }

    /// The word for it in sentences.
    pub fn word(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Extension => "extension",
            Self::Enum => "enum",
            Self::Domain => "domain",
            Self::Range => "range type",
            Self::Composite => "composite type",
            Self::BaseType => "base type",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::ForeignTable => "foreign table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::DomainConstraint => "domain constraint",
            Self::Index => "index",
            Self::Function => "function",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::Rule => "rule",
            Self::EventTrigger => "event trigger",
            Self::DefaultPrivileges => "default privileges",
            Self::Other => "object",
        }
    }
}

/// Where an object sits in one database: the catalog's oid, the object's oid, and the column number (0 for the
/// object itself). Stable under renames inside one database, meaningless between two, so it takes no part in
/// equality and only tells a rename from a drop and a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address {
    pub class: u32,
    pub oid: u32,
    pub sub: i32,
}

impl Address {
    /// Same object, whatever the column.
    pub fn same_unit(self, other: Self) -> bool {
        self.class == other.class && self.oid == other.oid
    }
}

/// How an object is called: `schema.object`, or `schema.object.part` for what belongs to a relation. Objects
/// outside any schema have an empty `schema`. A function's `object` carries its argument types.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    pub schema: String,
    pub object: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl Name {
    pub fn global(object: impl Into<String>) -> Self {
        Self { schema: String::new(), object: object.into(), part: None }
    }

    pub fn of(schema: impl Into<String>, object: impl Into<String>) -> Self {
        Self { schema: schema.into(), object: object.into(), part: None }
    }

    pub fn part(schema: impl Into<String>, object: impl Into<String>, part: impl Into<String>) -> Self {
        Self { schema: schema.into(), object: object.into(), part: Some(part.into()) }
    }

    /// The name of what this belongs to; itself if it belongs to nothing.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self { schema: self.schema.clone(), object: self.object.clone(), part: None }
    }
}

impl fmt::Display for Name {
    /// `public` is left out, as people do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.schema.is_empty() && self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.object)?;
        match &self.part {
            Some(part) => write!(f, ".{part}"),
            None => Ok(()),
        }
    }
}

/// What is known about an object. A fact that does not apply or has its default value is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A column's type with its modifier; a sequence's type; a function's return type.
    Type,
    NotNull,
    Default,
    Identity,
    Generated,
    Collation,
    /// Storage, compression, statistics target and options of a column.
    Storage,
    /// A constraint's, index's, trigger's, policy's, rule's or view's text as PostgreSQL prints it.
    Definition,
    /// A constraint's kind: `c`, `f`, `p`, `u`, `x` as in pg_constraint; a function's: `f`, `p`, `a`, `w`.
    Sort,
    /// The columns that a constraint or an index is about.
    Columns,
    /// Present on a unique index.
    Unique,
    /// Present when a constraint was never validated, or an index is not usable.
    Invalid,
    /// A function's source, as text or digest.
    Body,
    /// Everything beside body and type that a function, table, view, sequence or type was given.
    Options,
    /// Ordered values of an enum.
    Values,
    /// Row security switched on.
    RowSecurity,
    /// Row security also for the owner.
    ForceRowSecurity,
    Grants,
    /// Partition key of a partitioned table.
    PartitionKey,
    /// Parent and bounds of a partition.
    PartitionBound,
    /// Parents of a table that is not a partition.
    Inherits,
    /// The column that a sequence belongs to.
    OwnedBy,
    /// When a trigger or a rule fires at all.
    Enabled,
    Version,
    Comment,
}

impl Fact {
    /// The word for it in sentences.
    pub fn word(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::NotNull => "NOT NULL",
            Self::Default => "default",
            Self::Identity => "identity",
            Self::Generated => "generated expression",
            Self::Collation => "collation",
            Self::Storage => "storage",
            Self::Definition => "definition",
            Self::Sort => "sort",
            Self::Columns => "columns",
            Self::Unique => "uniqueness",
            Self::Invalid => "validity",
            Self::Body => "body",
            Self::Options => "options",
            Self::Values => "values",
            Self::RowSecurity => "row security",
            Self::ForceRowSecurity => "forced row security",
            Self::Grants => "grants",
            Self::PartitionKey => "partition key",
            Self::PartitionBound => "partition bounds",
            Self::Inherits => "parents",
            Self::OwnedBy => "owning column",
            Self::Enabled => "firing mode",
            Self::Version => "version",
            Self::Comment => "comment",
        }
    }
}

/// One object with its facts. Two are equal wherever they sit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Object {
    pub kind: Kind,
    pub name: Name,
    #[serde(skip)]
    pub address: Address,
    pub facts: BTreeMap<Fact, String>,
    /// A column's place in its table: ascending, gaps allowed, 0 for everything else. Only the relative order
    /// of columns present in both readings is compared.
    pub position: i32,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.name, &self.facts, self.position)
            == (other.kind, &other.name, &other.facts, other.position)
    }
}

impl Eq for Object {}

impl Object {
    pub fn new(kind: Kind, name: Name, address: Address) -> Self {
        Self { kind, name, address, facts: BTreeMap::new(), position: 0 }
    }

    /// Adds a fact; an empty value is the same as none.
    #[must_use]
    pub fn with(mut self, fact: Fact, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.facts.insert(fact, value);
        }
        self
    }

    #[must_use]
    pub fn at(mut self, position: i32) -> Self {
        self.position = position;
        self
    }

    pub fn fact(&self, fact: Fact) -> Option<&str> {
        self.facts.get(&fact).map(String::as_str)
    }

    pub fn has(&self, fact: Fact) -> bool {
        self.facts.contains_key(&fact)
    }

    /// Must an INSERT name this column? True for a NOT NULL column that fills itself in no way.
    pub fn is_required_column(&self) -> bool {
        self.kind == Kind::Column
            && self.has(Fact::NotNull)
            && !self.has(Fact::Default)
            && !self.has(Fact::Identity)
            && !self.has(Fact::Generated)
    }
}
