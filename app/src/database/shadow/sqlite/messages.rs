//! What the shadow and the process that runs SQLite for it say to each other: one line of JSON each.

use serde::{Deserialize, Serialize};
use unship_core::queries::Outcome;
use unship_core::tools::{Script, Tool};
use unship_core::verdict::RunFailure;

use crate::database::sqlite::schema::Schema;

/// Longest line either side takes, in bytes: a script of 32 MiB with every byte escaped.
pub(super) const LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is wanted of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub what: What,
    pub tool: Tool,
    /// None for `EndTrial` and `Plan`.
    pub script: Option<Script>,
    /// For `Plan` alone.
    pub queries: Vec<String>,
    /// Time for the script, in milliseconds.
    pub time_ms_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// Run the script on the database and keep what it did.
    Keep,
    /// Run it on a copy of the database, which the next trial goes on with.
    Trial,
    /// Forget the copy.
    EndTrial,
    /// Prepare queries on the database.
    Plan,
    /// Give the database itself.
    Image,
}

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The schema afterwards.
    pub schema: Schema,
    pub failure: Option<Failure>,
    pub remarks: Vec<String>,
    /// For `Image` alone: the database as SQLite writes it to a file.
    pub image: Vec<u8>,
    /// One for each query.
    pub planned: Vec<Outcome>,
}

/// A [`RunFailure`] that can be read back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub message: String,
    pub code: Option<String>,
    pub path: String,
    pub line: Option<u32>,
}

impl From<Failure> for RunFailure {
    fn from(failure: Failure) -> RunFailure {
        RunFailure {
            message: failure.message,
            code: failure.code,
            path: failure.path,
            line: failure.line,
            column: None,
        }
    }
}
