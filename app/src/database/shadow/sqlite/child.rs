//! The process that runs SQLite: it may write no file, use only so much memory, and dies with its parent.
//!
//! The database lives in memory. Every script runs on a connection of its own, as it would in a run of its
//! tool, so nothing that one script sets reaches the next.

use std::borrow::Cow;
use std::io::{BufRead as _, Read as _, Write as _};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use sqlx::sqlite::{SqliteConnectOptions, SqliteOwnedBuf};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Either, Executor as _, SqlSafeStr as _,
    SqliteConnection, Statement as _, TypeInfo as _,
};
use unship_core::queries::{Outcome, ResultColumn, Sort, sort_of};
use unship_core::sql::query_facts;
use unship_core::tools::{Script, Tool, Wrap, about};

use super::messages::{Failure, LINE_BYTES_MAX, Reply, Request, What};
use crate::database::sqlite::tokens::statements;
use crate::database::sqlite::{guard, schema};

/// Address space of the process. SQLite says `out of memory` when it is reached.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// Processor time of the process, should its parent forget it.
const CPU_SECONDS_MAX: u64 = 3_600;

/// Most pages of 4 KiB that the database may have: SQLite says `database or disk is full`.
const PAGES_MAX: u32 = 65_536;

/// Virtual-machine steps between two looks at the clock.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("the limits of the process could not be set")]
    Limits(#[from] rustix::io::Errno),
    #[error("the conversation with the parent broke off")]
    Io(#[from] std::io::Error),
    #[error("the parent said something that is not understood")]
    Request(#[from] serde_json::Error),
    #[error("SQLite failed on its own account")]
    Sqlite(#[from] sqlx::Error),
}

/// Serves requests from standard input until it ends.
pub fn serve() -> Result<(), ChildError> {
    confine()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut worker = Worker::default();
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    loop {
        let mut line = String::new();
        if input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let request: Request = serde_json::from_str(&line)?;
        let reply = runtime.block_on(worker.answer(request))?;
        serde_json::to_writer(&mut output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
}

/// No file may grow, memory and time end, and no core is left behind.
fn confine() -> Result<(), rustix::io::Errno> {
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setrlimit(Resource::Fsize, limit(0))?;
    setrlimit(Resource::Core, limit(0))?;
    setrlimit(Resource::As, limit(MEMORY_BYTES_MAX))?;
    setrlimit(Resource::Cpu, limit(CPU_SECONDS_MAX))?;
    setrlimit(Resource::Nofile, limit(64))
}

/// The database, as SQLite would write it to a file; none while it is empty.
type Image = Option<Vec<u8>>;

#[derive(Default)]
pub(super) struct Worker {
    kept: Image,
    trial: Option<Image>,
}

impl Worker {
    pub(super) async fn answer(&mut self, request: Request) -> Result<Reply, sqlx::Error> {
        let from = match request.what {
            What::Plan => return self.plan(&request).await,
            What::Image => {
                return Ok(Reply { image: self.kept.clone().unwrap_or_default(), ..Reply::default() });
            }
            What::Keep | What::EndTrial => {
                self.trial = None;
                &self.kept
            }
            What::Trial => self.trial.as_ref().unwrap_or(&self.kept),
        };
        let Some(script) = request.script else { return Ok(Reply::default()) };
        let mut connection = open(from, request.tool).await?;
        let time = Duration::from_millis(request.time_ms_max);
        let mut run = Run { connection: &mut connection, remarks: Vec::new(), tool: request.tool };
        let failure = run.script(&script, time).await.err();
        let remarks = run.remarks;
        let schema = schema::read(&mut connection).await?;
        let image = image(&mut connection).await?;
        connection.close().await?;
        match request.what {
            What::Trial => self.trial = Some(image),
            What::Keep | What::EndTrial | What::Plan | What::Image => self.kept = image,
        }
        Ok(Reply { schema, failure, remarks, ..Reply::default() })
    }
}

impl Worker {
    /// Prepares every query and runs none: SQLite compiles it, and with that finds every name that is gone.
    async fn plan(&self, request: &Request) -> Result<Reply, sqlx::Error> {
        let mut connection = open(&self.kept, request.tool).await?;
        let mut planned = Vec::with_capacity(request.queries.len());
        for query in &request.queries {
            planned.push(prepared(&mut connection, query).await);
        }
        connection.close().await?;
        Ok(Reply { planned, ..Reply::default() })
    }
}

async fn prepared(connection: &mut SqliteConnection, query: &str) -> Outcome {
    match sort_of(&query_facts(query).verb) {
        Sort::NoSchema => return Outcome::NoSchema,
        Sort::Plannable if statements(query).len() == 1 => {}
        Sort::Plannable | Sort::Copy | Sort::Table | Sort::NotPlannable => return Outcome::NotPlannable,
    }
    let statement = match connection.prepare(AssertSqlSafe(query.to_owned()).into_sql_str()).await {
        Ok(statement) => statement,
        Err(error) => {
            let code =
                error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(Cow::into_owned);
            let message = match error.as_database_error() {
                Some(database) => database.message().to_owned(),
                None => error.to_string(),
            };
            return Outcome::Failed { message, code };
        }
    };
    let parameters = match statement.parameters() {
        Some(Either::Right(count)) => vec!["any".to_owned(); count],
        Some(Either::Left(_)) | None => Vec::new(),
    };
    let columns = statement.columns().iter().map(|column| ResultColumn {
        name: column.name().to_owned(),
        of_type: column.type_info().name().to_owned(),
    });
    Outcome::Planned { parameters, columns: columns.collect() }
}

async fn open(image: &Image, tool: Tool) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnectOptions::new()
        .filename(":memory:")
        .foreign_keys(about(tool).sqlite_foreign_keys)
        .connect()
        .await?;
    if let Some(bytes) = image {
        let buffer = SqliteOwnedBuf::try_from(bytes.as_slice())?;
        connection.deserialize(None, buffer, false).await?;
    }
    connection.execute(AssertSqlSafe(format!("PRAGMA max_page_count = {PAGES_MAX}"))).await?;
    connection.execute("PRAGMA temp_store = MEMORY").await?;
    Ok(connection)
}

async fn image(connection: &mut SqliteConnection) -> Result<Image, sqlx::Error> {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await?;
    if pages == 0 {
        return Ok(None);
    }
    Ok(Some(connection.serialize(None).await?.to_vec()))
}

struct Run<'a> {
    connection: &'a mut SqliteConnection,
    remarks: Vec<String>,
    tool: Tool,
}

impl Run<'_> {
    /// Runs a script as its tool does: wrapped or not, statement after statement.
    async fn script(&mut self, script: &Script, time: Duration) -> Result<(), Failure> {
        let wrap = about(self.tool).sqlite_wrap.unwrap_or(script.wrap);
        let parts: Vec<(u32, &str)> = if self.tool == Tool::Plain {
            vec![(script.first_line, script.sql.as_str())]
        } else {
            script.batch_lines.iter().copied().zip(script.batches.iter().map(String::as_str)).collect()
        };
        let fail = |line, message, code| Failure { message, code, path: script.path.clone(), line };
        for (first_line, part) in &parts {
            for statement in statements(part) {
                let line = first_line + statement.line - 1;
                guard::check(&statement).map_err(|why| fail(Some(line), why, None))?;
                if wrap == Wrap::Transaction && guard::switches_foreign_keys(&statement) {
                    self.remarks.push(format!(
                        "line {line}: PRAGMA foreign_keys does nothing inside the transaction that {} opens",
                        self.tool
                    ));
                }
            }
        }
        let until = Instant::now() + time;
        let failed = |line: Option<u32>, error: &sqlx::Error| match error {
            _ if Instant::now() >= until => {
                fail(line, format!("stopped: not done after {} ms", time.as_millis()), None)
            }
            sqlx::Error::Database(database) => {
                fail(line, database.message().to_owned(), database.code().map(Cow::into_owned))
            }
            other => fail(line, other.to_string(), None),
        };
        let mut handle = self.connection.lock_handle().await.map_err(|error| failed(None, &error))?;
        handle.set_progress_handler(STEPS_BETWEEN_LOOKS, move || Instant::now() < until);
        drop(handle);
        if wrap == Wrap::Transaction {
            self.say("BEGIN").await.map_err(|error| failed(None, &error))?;
        }
        let mut outcome = Ok(());
        'parts: for (first_line, part) in &parts {
            for statement in statements(part) {
                if let Err(error) = self.say(statement.text).await {
                    outcome = Err(failed(Some(first_line + statement.line - 1), &error));
                    break 'parts;
                }
            }
        }
        if wrap == Wrap::Transaction && outcome.is_ok() {
            outcome = self.say("COMMIT").await.map_err(|error| failed(None, &error));
        }
        if let Ok(mut handle) = self.connection.lock_handle().await {
            handle.remove_progress_handler();
        }
        // What is still open ends with the tool's connection. There is nothing to end if nothing is open.
        let _ = self.say("ROLLBACK").await;
        self.dangling().await;
        outcome
    }

    async fn say(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *self.connection).await.map(drop)
    }

    /// Says so if rows are left whose foreign keys point nowhere.
    async fn dangling(&mut self) {
        let count: Result<i64, sqlx::Error> =
            sqlx::query_scalar("SELECT count(*) FROM pragma_foreign_key_check")
                .fetch_one(&mut *self.connection)
                .await;
        if let Ok(count @ 1..) = count {
            self.remarks.push(format!("{count} rows are left whose foreign keys point nowhere"));
        }
    }
}
