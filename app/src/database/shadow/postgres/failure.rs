//! How a script ended that did not end well, and what it would have needed.

use super::guard::Stop;
use crate::database::shadow::Limits;

/// Why a script did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// PostgreSQL's own words, or ours where it was stopped.
    pub message: String,
    /// PostgreSQL's five-character code, if the words are its own.
    pub code: Option<String>,
    /// Which piece of the script, from 0.
    pub piece: usize,
    /// Where in that piece, in characters from 1.
    pub position: Option<usize>,
    /// The connection is of no use any more, and an open transaction is gone.
    pub is_connection_lost: bool,
}

/// Something that a script lacks and that can be given to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// A role of this name.
    Role(String),
    /// A superuser, to create this extension.
    ExtensionRight(String),
    /// The files of this extension: there is no giving, only leaving it out.
    Extension(String),
}

impl Failure {
    pub(super) fn of(error: &sqlx::Error, piece: usize) -> Self {
        let Some(database) = error.as_database_error() else {
            return Self {
                message: format!("the connection broke: {error}"),
                code: None,
                piece,
                position: None,
                is_connection_lost: true,
            };
        };
        let database = database.downcast_ref::<sqlx::postgres::PgDatabaseError>();
        let position = match database.position() {
            Some(sqlx::postgres::PgErrorPosition::Original(position)) => Some(position),
            _ => None,
        };
        // Class 57P: the server ended the session. FATAL and PANIC do so too.
        let is_connection_lost = database.code().starts_with("57P")
            || !matches!(database.severity(), sqlx::postgres::PgSeverity::Error);
        Self {
            message: database.message().to_owned(),
            code: Some(database.code().to_owned()),
            piece,
            position,
            is_connection_lost,
        }
    }

    pub(super) fn stopped(why: Stop, piece: usize, limits: &Limits) -> Self {
        let message = match why {
            Stop::Time => format!("stopped: it ran longer than {} ms", limits.step_ms_max),
            Stop::Disk => format!("stopped: it wrote more than {} MiB", limits.disk_bytes_max >> 20),
        };
        Self { message, code: None, piece, position: None, is_connection_lost: true }
    }

    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// What would help, told from PostgreSQL's words (`lc_messages` is C).
    pub fn lack(&self) -> Option<Lack> {
        let quoted = self.message.split('"').nth(1).map(str::to_owned)?;
        match self.code.as_deref()? {
            "42704" if self.message.starts_with("role \"") => Some(Lack::Role(quoted)),
            "42501" if self.message.starts_with("permission denied to create extension") => {
                Some(Lack::ExtensionRight(quoted))
            }
            "0A000" | "58P01" if self.message.starts_with("extension \"") => Some(Lack::Extension(quoted)),
            // Up to PostgreSQL 16: could not open extension control file "/usr/share/.../postgis.control"
            "58P01" | "0A000" if self.message.contains("extension control file") => {
                let file = quoted.rsplit('/').next().unwrap_or_default();
                file.strip_suffix(".control").map(|name| Lack::Extension(name.to_owned()))
            }
            _ => None,
        }
    }
}
