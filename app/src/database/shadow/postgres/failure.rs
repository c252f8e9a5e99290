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
    /// The files of this extension: there is no giving, only leaving it out.
    Extension(String),
    /// A superuser, for one kind of statement.
    Superuser(Privileged),
}

/// Statements that only a superuser may run and that stay inside the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privileged {
    CreateExtension(String),
    /// Switching the triggers of constraints off and on.
    SystemTriggers,
    /// Writing to a system catalog.
    Catalog(String),
    EventTrigger,
    PublicationOfAll,
    /// Giving an object to a role that could not have made it.
    Owner,
}

/// System catalogs that migrations write to and that say nothing about who may do what.
const WRITABLE_CATALOGS: [&str; 5] = ["pg_attribute", "pg_constraint", "pg_enum", "pg_index", "pg_trigger"];

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
        if self.has_code("42501") {
            return self.lacks_superuser().map(Lack::Superuser);
        }
        let quoted = self.message.split('"').nth(1).map(str::to_owned)?;
        match self.code.as_deref()? {
            "42704" if self.message.starts_with("role \"") => Some(Lack::Role(quoted)),
            "0A000" | "58P01" if self.message.starts_with("extension \"") => Some(Lack::Extension(quoted)),
            // Up to PostgreSQL 16: could not open extension control file "/usr/share/.../postgis.control"
            "58P01" | "0A000" if self.message.contains("extension control file") => {
                let file = quoted.rsplit('/').next().unwrap_or_default();
                file.strip_suffix(".control").map(|name| Lack::Extension(name.to_owned()))
            }
            _ => None,
        }
    }

    fn lacks_superuser(&self) -> Option<Privileged> {
        let message = self.message.as_str();
        if message.ends_with("is a system trigger") {
            return Some(Privileged::SystemTriggers);
        }
        if message.starts_with("permission denied to create event trigger") {
            return Some(Privileged::EventTrigger);
        }
        if message.starts_with("must be superuser to create FOR ALL TABLES publication") {
            return Some(Privileged::PublicationOfAll);
        }
        if message.starts_with("permission denied for schema ")
            || message.starts_with("must be member of role ")
            || message.starts_with("must be able to SET ROLE ")
        {
            return Some(Privileged::Owner);
        }
        if message.starts_with("permission denied to create extension") {
            return message.split('"').nth(1).map(|name| Privileged::CreateExtension(name.to_owned()));
        }
        let table = message.strip_prefix("permission denied for table ")?;
        WRITABLE_CATALOGS.contains(&table).then(|| Privileged::Catalog(table.to_owned()))
    }
}
