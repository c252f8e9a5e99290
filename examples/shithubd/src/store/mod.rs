//! What is kept in the database, one file a noun. The SQL itself is in `queries/`.

pub mod issues;
pub mod jobs;
pub mod repos;
pub mod stars;
pub mod tokens;
pub mod users;

use std::time::{SystemTime, UNIX_EPOCH};

/// The most rows that one listing returns.
pub const LIST_LIMIT: i64 = 100;

/// Seconds since 1970. A clock before that reads as 0 instead of failing requests.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or(0)
}

/// Writes that can meet an existing row of the same name.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("it exists already")]
    Exists,
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(inner) if inner.is_unique_violation() => Self::Exists,
            _ => Self::Database(error),
        }
    }
}
