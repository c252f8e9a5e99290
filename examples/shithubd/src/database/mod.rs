//! The two databases behind one enum.
//!
//! sqlx's `Any` driver decodes types unlike in the two, so each database has its own pool and its
//! own migrations; the queries are the same files for both (`$1` placeholders, TEXT and BIGINT).

pub mod migrations;

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::config::Config;

/// How long a request waits for a free connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers run beside the one writer; more connections would only wait for each other.
const SQLITE_CONNECTIONS: u32 = 4;
/// Two releases overlap during a flip, each with a pool of this size.
const POSTGRES_CONNECTIONS: u32 = 8;

#[derive(Debug, Clone)]
pub enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the database URL begins with neither sqlite: nor postgres:")]
    UnknownKind,
    #[error("the database URL is malformed")]
    BadUrl,
    #[error("cannot create {path}: {source}")]
    Folder { path: String, source: std::io::Error },
    #[error("cannot open the database: {0}")]
    Open(#[source] sqlx::Error),
    #[error("database: {0}")]
    Query(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("cannot lock {path} for migrating: {source}")]
    Lock { path: String, source: std::io::Error },
    #[error("migration {version} is not applied: run `shithubd migrate up`")]
    Behind { version: i64 },
    #[error("nothing to revert: no migration is applied")]
    NothingToRevert,
    #[error(
        "the newest applied migration is {version}, which {tag} does not know: \
         only the release that brought it can revert it"
    )]
    NotOurs { version: i64, tag: &'static str },
}

/// Runs one expression on whichever pool it is. The expression is compiled once for each.
macro_rules! each {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            $crate::database::Db::Sqlite($pool) => $body,
            $crate::database::Db::Postgres($pool) => $body,
        }
    };
}
pub(crate) use each;

/// A file of `queries/`, compiled in.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $name, ".sql"))
    };
}
pub(crate) use sql;

impl Db {
    pub async fn open(config: &Config) -> Result<Self, DatabaseError> {
        match &config.database_url {
            None => {
                Self::open_sqlite(SqliteConnectOptions::new().filename(config.data_dir.join("shithubd.db")))
                    .await
            }
            Some(url) if url.reveal().starts_with("sqlite:") => {
                let options =
                    SqliteConnectOptions::from_str(url.reveal()).map_err(|_| DatabaseError::BadUrl)?;
                Self::open_sqlite(options).await
            }
            Some(url) if url.reveal().starts_with("postgres:") || url.reveal().starts_with("postgresql:") => {
                // The parser's own error could quote the URL, and with it the password.
                let options = PgConnectOptions::from_str(url.reveal()).map_err(|_| DatabaseError::BadUrl)?;
                let options = options
                    .application_name("shithubd")
                    // sqlx asks for its table with IF NOT EXISTS, and the server would say each time that it is there.
                    .options([("client_min_messages", "warning")])
                    .disable_statement_logging();
                let pool = PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_with(options)
                    .await
                    .map_err(DatabaseError::Open)?;
                Ok(Self::Postgres(pool))
            }
            Some(_) => Err(DatabaseError::UnknownKind),
        }
    }

    async fn open_sqlite(options: SqliteConnectOptions) -> Result<Self, DatabaseError> {
        if let Some(folder) = options.get_filename().parent().filter(|folder| *folder != Path::new("")) {
            std::fs::create_dir_all(folder)
                .map_err(|source| DatabaseError::Folder { path: folder.display().to_string(), source })?;
        }
        let options = options
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            // With a write-ahead log NORMAL survives a killed process; FULL would sync every request.
            .synchronous(SqliteSynchronous::Normal)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(SQLITE_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(DatabaseError::Open)?;
        Ok(Self::Sqlite(pool))
    }

    /// Is the database there and answering?
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        each!(self, pool => sqlx::query(sql!("health_check")).execute(pool).await.map(drop))
    }

    pub async fn close(&self) {
        each!(self, pool => pool.close().await);
    }
}
