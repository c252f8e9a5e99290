//! From what the server or the wire says to words with a way out.

use std::fmt::Display;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use unship_core::sql::quote::QuoteError;

pub(in crate::database) use crate::database::refused;
use crate::ports::DatabaseFailure;

/// Codes of PostgreSQL that are told apart here.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";
pub const DEADLOCK: &str = "40P01";
pub const QUERY_CANCELED: &str = "57014";
const DISK_FULL: &str = "53100";
const NO_PRIVILEGE: &str = "42501";
const READ_ONLY: &str = "25006";

/// `what` was being done when the database said no.
pub fn failed(what: impl Display, error: &sqlx::Error) -> DatabaseFailure {
    let Some(said) = said(error) else {
        let hint = "look whether the server is up; what was not committed is rolled back there";
        return refused(format!("{what}: the connection to the database broke: {error}"), hint);
    };
    let mut message = format!("{what}: {}", said.message());
    if let Some(detail) = said.detail() {
        message.push_str(&format!(" ({detail})"));
    }
    message.push_str(&format!(" [{}]", said.code()));
    let hint = match said.code() {
        DISK_FULL => Some("free space on the database's disk, then try again".to_owned()),
        NO_PRIVILEGE => Some("connect as the owner of the tables, or grant its role to this one".to_owned()),
        READ_ONLY => Some("name the primary in the file of `database.url_file`".to_owned()),
        LOCK_NOT_AVAILABLE | DEADLOCK => {
            Some("another session has the lock; look at pg_stat_activity and try again".to_owned())
        }
        QUERY_CANCELED => Some("it took longer than it may, or somebody cancelled it".to_owned()),
        code if code.starts_with("28") || code.starts_with("3D") => {
            Some("look at role, password and database in the file of `database.url_file`".to_owned())
        }
        _ => said.hint().map(str::to_owned),
    };
    DatabaseFailure { message, hint, in_doubt: false }
}

/// The server's own words, if the error is an answer of the server.
pub fn said(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
}

/// Whether the server answered with this code.
pub fn is_code(error: &sqlx::Error, codes: &[&str]) -> bool {
    said(error).is_some_and(|said| codes.contains(&said.code()))
}

/// Whether the session goes on after this: an answer that is no more than an error.
pub fn session_lives(error: &sqlx::Error) -> bool {
    said(error)
        .is_some_and(|said| matches!(said.severity(), PgSeverity::Error) && !said.code().starts_with("57P"))
}

/// A name that no table can have.
impl From<QuoteError> for DatabaseFailure {
    fn from(error: QuoteError) -> DatabaseFailure {
        DatabaseFailure { message: error.to_string(), hint: None, in_doubt: false }
    }
}

/// Waits so long at most. A server that is gone without a word is a connection that broke.
pub async fn within<T>(
    ms_max: u64,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(Duration::from_millis(ms_max), work).await {
        Ok(ended) => ended,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {ms_max} ms"),
        ))),
    }
}
