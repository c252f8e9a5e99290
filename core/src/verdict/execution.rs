//! What was seen when a migration was run on a shadow: the evidence that classes and rules are made from.

use serde::Serialize;

use super::TableLock;
use crate::schema::Catalog;

/// One step: its up, then its down, then its up again.
#[derive(Debug, Clone)]
pub struct StepRun {
    pub before: Catalog,
    /// The catalog after the up.
    pub up: Result<Catalog, RunFailure>,
    /// None if there is nothing to run, or the up failed.
    pub down: Option<DownRun>,
    /// What had to be given or left out for it to run here: roles, extensions, psql lines.
    pub remarks: Vec<String>,
    /// Time for all of it, readings included.
    pub took_ms: u64,
    /// Locks of the up on tables that were there before; none unless they were asked for.
    pub locks: Vec<TableLock>,
}

#[derive(Debug, Clone)]
pub struct DownRun {
    /// The catalog after the down.
    pub outcome: Result<Catalog, RunFailure>,
    /// The catalog after the up that followed the down; None if the down failed.
    pub again: Option<Result<Catalog, RunFailure>>,
}

/// A script that did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunFailure {
    /// PostgreSQL's own words, or why it was stopped or never sent.
    pub message: String,
    /// PostgreSQL's five-character code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub path: String,
    /// Line of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Character of that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl RunFailure {
    /// A script that was not sent at all.
    pub fn not_sent(path: &str, line: Option<u32>, message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None, path: path.to_owned(), line, column: None }
    }
}
