//! Which file it is, and connections to it.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::failure::{failed, is_busy, is_read_only, refused};
use crate::ports::{DatabaseFailure, Progress};

/// How long looking waits for a writer, in milliseconds.
const LOOK_MS_MAX: u64 = 5_000;

/// Virtual-machine steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// How a database is opened for changes.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Whether foreign keys are enforced.
    pub foreign_keys: bool,
    /// How long one try waits for the lock, in milliseconds.
    pub lock_ms_max: u64,
}

/// The file of a database.
#[derive(Debug, Clone)]
pub struct Address {
    pub file: PathBuf,
}

impl Address {
    /// The database that the URL in `url_file` names.
    pub fn read(url_file: &Path) -> Result<Address, DatabaseFailure> {
        let hint = "`database.url_file` names a file that holds the URL and nothing else: sqlite:/var/lib/service/service.db";
        let text = fs_err::read_to_string(url_file)
            .map_err(|error| refused(format!("cannot read the database URL: {error}"), hint))?;
        let not_one = |why: &str| {
            let message = format!("the URL in `{}` {why}", url_file.display());
            Err(refused(message, hint))
        };
        // What follows `?` is for the service's own driver; only a database in memory cannot be this one.
        let (url, parameters) = text.trim().split_once('?').unwrap_or((text.trim(), ""));
        if parameters.contains("mode=memory") || url.ends_with(":memory:") {
            return not_one("names a database in the memory of another process");
        }
        let Some(("sqlite" | "sqlite3", path)) = url.split_once(':') else {
            return not_one("is not one of SQLite");
        };
        let Ok(options) = SqliteConnectOptions::from_str(&format!("sqlite:{path}")) else {
            return not_one("cannot be read");
        };
        let file = std::path::absolute(options.get_filename())
            .map_err(|error| refused(format!("the path of the database cannot be told: {error}"), hint))?;
        if !file.is_file() {
            return Err(refused(format!("there is no database at `{}`", file.display()), hint));
        }
        Ok(Address { file })
    }

    /// For looking.
    pub async fn look(&self) -> Result<SqliteConnection, DatabaseFailure> {
        open_to_look(self.options(LOOK_MS_MAX)).await.map_err(|error| self.failing(&error))
    }

    /// For changing.
    pub async fn open(&self, how: Opening) -> Result<SqliteConnection, DatabaseFailure> {
        self.connect(self.options(how.lock_ms_max).foreign_keys(how.foreign_keys)).await
    }

    fn options(&self, busy_ms: u64) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.file)
            .create_if_missing(false)
            .busy_timeout(Duration::from_millis(busy_ms))
    }

    async fn connect(&self, options: SqliteConnectOptions) -> Result<SqliteConnection, DatabaseFailure> {
        opened(&options).await.map_err(|error| self.failing(&error))
    }

    fn failing(&self, error: &sqlx::Error) -> DatabaseFailure {
        failed(format_args!("opening the database `{}`", self.file.display()), error)
    }
}

/// Opens a database for looking. What a process that was killed has left half written is taken back first, as by
/// anybody who opens the file: SQLite cannot do that for a connection that only reads.
pub async fn open_to_look(options: SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let looking = options.clone().read_only(true);
    match opened(&looking).await {
        Err(error) if is_read_only(&error) => {
            opened(&options).await?.close().await?;
            opened(&looking).await
        }
        opened => opened,
    }
}

async fn opened(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut conn = options.connect().await?;
    // SQLite opens the file at the first question only.
    say(&mut conn, "SELECT count(*) FROM sqlite_schema").await?;
    Ok(conn)
}

/// Sends fixed or quoted SQL without values.
pub async fn say(conn: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}

/// Takes the lock that only one writer has, trying so often. Others may read meanwhile.
pub async fn begin(
    conn: &mut SqliteConnection,
    attempts_max: u32,
    progress: &dyn Progress,
) -> Result<Instant, DatabaseFailure> {
    let mut attempt = 1;
    loop {
        match say(conn, "BEGIN IMMEDIATE").await {
            Ok(()) => return Ok(Instant::now()),
            Err(error) if is_busy(&error) && attempt < attempts_max => {
                progress.note(&format!(
                    "the database is locked by another writer; try {attempt} of {attempts_max}"
                ));
                attempt += 1;
            }
            Err(error) => return Err(failed("taking the write lock", &error)),
        }
    }
}

/// Commits. While readers hold a database without WAL the commit waits, and is tried again; it is not done in part.
pub async fn commit(conn: &mut SqliteConnection, attempts_max: u32) -> Result<(), DatabaseFailure> {
    let mut attempt = 1;
    loop {
        match say(conn, "COMMIT").await {
            Ok(()) => return Ok(()),
            Err(error) if is_busy(&error) && attempt < attempts_max => attempt += 1,
            Err(error) => return Err(failed("committing", &error)),
        }
    }
}

/// Ends what is open. There is nothing to end if nothing is open, and what is not ended here ends with the connection.
pub async fn roll_back(conn: &mut SqliteConnection) {
    let _ = say(conn, "ROLLBACK").await;
}

/// Interrupts statements of this connection after `ms_max`.
pub async fn limit(conn: &mut SqliteConnection, ms_max: u64) -> Result<(), DatabaseFailure> {
    let until = Instant::now() + Duration::from_millis(ms_max);
    let mut handle = conn.lock_handle().await.map_err(|error| failed("setting the time limit", &error))?;
    handle.set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < until);
    Ok(())
}

/// No limit any more.
pub async fn unlimit(conn: &mut SqliteConnection) -> Result<(), DatabaseFailure> {
    let mut handle = conn.lock_handle().await.map_err(|error| failed("lifting the time limit", &error))?;
    handle.remove_progress_handler();
    Ok(())
}

/// Ends the connection; of two errors the first counts.
pub async fn close<T>(
    conn: SqliteConnection,
    ended: Result<T, DatabaseFailure>,
) -> Result<T, DatabaseFailure> {
    let closed = conn.close().await;
    let value = ended?;
    closed.map_err(|error| failed("closing the database", &error))?;
    Ok(value)
}
