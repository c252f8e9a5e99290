//! Databases: reading what their catalog says, and running SQL in throwaway ones.
//!
//! Owns every word of SQL that is sent to PostgreSQL by the verdict. Knows nothing of migrations' meaning, of
//! flows or of the command line.

mod applied;
pub mod postgres;
pub mod shadow;
pub mod sqlite;

use crate::ports::DatabaseFailure;

/// A failure of our own finding: nothing was changed.
fn refused(message: impl Into<String>, hint: impl Into<String>) -> DatabaseFailure {
    DatabaseFailure { message: message.into(), hint: Some(hint.into()), in_doubt: false }
}
