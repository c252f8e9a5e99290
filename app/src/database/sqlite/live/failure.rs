//! From what SQLite says to words with a way out.

use std::fmt::Display;

pub(in crate::database) use crate::database::refused;
use crate::ports::DatabaseFailure;

/// Primary result codes of SQLite that are told apart here.
const BUSY: i32 = 5;
const READ_ONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IO_ERROR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

/// `what` was being done when SQLite said no.
pub fn failed(what: impl Display, error: &sqlx::Error) -> DatabaseFailure {
    let said =
        error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let hint = match primary(error) {
        Some(BUSY) => {
            "another connection is writing or has the database open for long: look who has the file open \
             (`fuser -v`), then try again"
        }
        Some(READ_ONLY | CANNOT_OPEN) => {
            "the file and its folder must be writable for whoever runs this: SQLite keeps \
             its journal beside the file"
        }
        Some(FULL) => "free space on the database's disk, then try again",
        Some(IO_ERROR) => "look at the disk, and at limits on the size of files (`ulimit -f`)",
        Some(CORRUPT) => "run `PRAGMA integrity_check` on the database before anything else",
        Some(NOT_A_DATABASE) => "`database.url_file` must name a SQLite database",
        Some(INTERRUPT) => "it took longer than it may",
        _ => return DatabaseFailure { message: format!("{what}: {said}"), hint: None, in_doubt: false },
    };
    refused(format!("{what}: {said}"), hint)
}

/// The primary result code, if the error is SQLite's.
fn primary(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Whether it cannot be done without writing.
pub fn is_read_only(error: &sqlx::Error) -> bool {
    primary(error) == Some(READ_ONLY)
}

/// Whether somebody else has the lock that is wanted.
pub fn is_busy(error: &sqlx::Error) -> bool {
    primary(error) == Some(BUSY)
}
