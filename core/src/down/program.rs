//! A step down compiled to a value. A backend executes it in one transaction next to the data, in this order:
//! session settings, the tool's own lock, table locks, the version rows as they must be, recount, salvage, the
//! down, the version rows, the fence, the change of the catalog. Anything unexpected takes all of it back.

use serde::{Deserialize, Serialize};

use super::loss::Allowed;
use crate::release::Digest;
use crate::sql::ObjectName;
use crate::tools::Tool;

/// The database that a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    Postgres,
    Sqlite,
}

/// What is set for the session, whatever the role's own settings are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// How long one try waits for its locks, in milliseconds. Others queue behind it for as long.
    pub lock_ms_max: u64,
    /// How often that is tried.
    pub lock_attempts_max: u32,
    /// How long one statement may run, in milliseconds.
    pub statement_ms_max: u64,
}

/// A value of the version table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One change to the version table, as the tool itself makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// With `{table}` for the quoted name and `$1`, `$2`, ... for the values.
    pub sql: String,
    /// What is bound.
    pub values: Vec<Value>,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The database that it is for.
    pub dialect: Dialect,
    /// Whose migration it is.
    pub tool: Tool,
    /// The migration's id: `0012_repo_topics`.
    pub migration: String,
    /// Its version as the tool records it. It must be the newest applied one.
    pub version: String,
    /// The version that is newest afterwards; none if nothing is applied then.
    pub version_before: Option<String>,
    /// All versions that the version table must have before; more or less stops the program.
    pub applied: Vec<String>,
    /// Digest of the down's text.
    pub down: Digest,
    /// Session settings.
    pub session: Session,
    /// The tool's version table.
    pub table: ObjectName,
    /// Key of the advisory lock that the tool takes, where it takes one.
    pub tool_lock: Option<i64>,
    /// Tables that are locked first, in this order.
    pub locks: Vec<ObjectName>,
    /// What may be destroyed. All of it is salvaged.
    pub allowed: Vec<Allowed>,
    /// Tables whose rows the down may change or delete: what it does to them is kept as it was before.
    pub captured: Vec<ObjectName>,
    /// The down, as the tool sends it: each text is one simple query.
    pub batches: Vec<String>,
    /// What is written to the version table afterwards.
    pub rows: Vec<RowChange>,
    /// What the catalog must show to have changed, as [`crate::schema::delta`] says it.
    pub delta: Vec<String>,
    /// False where no transaction can hold the down and that was accepted: it is then run piece by piece, and
    /// what was done before a failure stays done.
    pub atomic: bool,
    /// SQLite: whether foreign keys are enforced while it runs, as they are when the tool runs it.
    pub foreign_keys: bool,
    /// Whether to keep others from applying the migration again until the fence is lifted.
    pub fence: bool,
}
