//! Why a migration is not taken down. Each says what would be right; `explain` has no other words for it.

use serde::{Deserialize, Serialize};

/// Why there is no program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    /// There is no down.
    #[error("{migration} has no down")]
    Missing {
        /// The migration.
        migration: String,
    },
    /// There is a down without a statement, although the up changed something.
    #[error("the down of {migration} is empty, and its up was not")]
    Empty {
        /// The migration.
        migration: String,
    },
    /// It was run on a throwaway database and failed.
    #[error("the down of {migration} fails: {why}")]
    Fails {
        /// The migration.
        migration: String,
        /// The database's words.
        why: String,
    },
    /// It would fail on the rows that are there.
    #[error("the down of {migration} would fail on the live data: {why}")]
    FailsOnData {
        /// The migration.
        migration: String,
        /// Which rows are in the way.
        why: String,
    },
    /// One transaction cannot hold it.
    #[error("the down of {migration} cannot be taken back once begun: {why}")]
    NotAtomic {
        /// The migration.
        migration: String,
        /// Which statement, and why.
        why: String,
    },
    /// The live schema is not the one that the down was tried on, where it matters.
    #[error("the database is not as {migration} left it: {}", .drift.join("; "))]
    Drift {
        /// The migration.
        migration: String,
        /// The differences on the objects that it touches.
        drift: Vec<String>,
    },
    /// The schema after it is not one that the target runs on.
    #[error("after the down of {migration} the target cannot run either: {why}")]
    LeavesUnfit {
        /// The migration.
        migration: String,
        /// What it cannot run on.
        why: String,
    },
    /// The tool cannot be stepped down.
    #[error("{migration} cannot be taken down: {why}")]
    NotPossible {
        /// The migration.
        migration: String,
        /// Why.
        why: String,
    },
}
