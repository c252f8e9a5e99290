//! A shadow in SQLite: in the memory of a process of its own, which can be killed.
//!
//! SQLite runs inside whoever calls it, and some of its functions cannot be interrupted, so a migration that
//! hangs or eats memory is stopped by ending that process. The next one is brought to where the last one was by
//! running the kept scripts again.

mod child;
mod messages;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use unship_core::down::Trial;
use unship_core::queries::{Outcome, Query};
use unship_core::schema::Catalog;
use unship_core::tools::{Migration, Script, Tool};
use unship_core::verdict::{DownRun, RunFailure, StepRun};

use self::messages::{LINE_BYTES_MAX, Reply, Request, What};
use super::{Limits, account};
use crate::ports::{Lent, Shadow, ShadowFailure};

pub use child::{ChildError, serve};

/// How much longer than the script's own limit an answer may take, for reading the schema.
const GRACE: Duration = Duration::from_secs(5);

/// How to start the process that calls [`serve`].
#[derive(Debug, Clone)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// A SQLite database in another process.
#[derive(Debug)]
pub struct SqliteShadow {
    launch: Launch,
    limits: Limits,
    version_tables: Vec<String>,
    process: Option<Process>,
    /// The scripts that are in the database, to bring a new process there.
    kept: Vec<(Tool, Script)>,
    catalog: Catalog,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// An empty folder to stand in.
    _folder: tempfile::TempDir,
}

/// What became of a request.
enum Answer {
    Reply(Box<Reply>),
    /// The process had to be ended, or ended itself.
    Died(RunFailure),
}

impl SqliteShadow {
    /// An empty database. Tables named in `version_tables` are the migration tool's own and are left out of
    /// every catalog.
    pub fn open(launch: Launch, limits: Limits, version_tables: Vec<String>) -> SqliteShadow {
        SqliteShadow {
            launch,
            limits,
            version_tables,
            process: None,
            kept: Vec::new(),
            catalog: Catalog::default(),
        }
    }

    fn start(&self) -> Result<Process, ShadowFailure> {
        let failed = |error: std::io::Error| ShadowFailure {
            message: format!("the process for SQLite could not be started: {error}"),
            hint: None,
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        // The process stands in another folder, where a relative path would lead elsewhere.
        let program = std::path::absolute(&self.launch.program).map_err(failed)?;
        let mut child = Command::new(program)
            .args(&self.launch.arguments)
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let no_pipe = || failed(std::io::Error::other("no pipe to it"));
        let input = child.stdin.take().ok_or_else(no_pipe)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(no_pipe)?);
        Ok(Process { child, input, output, _folder: folder })
    }

    /// Asks the process, starting one and bringing it up to date where there is none.
    async fn ask(&mut self, what: What, tool: Tool, script: &Script) -> Result<Answer, ShadowFailure> {
        self.ready().await?;
        Ok(self.exchange(what, tool, Some(script)).await)
    }

    /// Has a process that is where the kept scripts lead.
    async fn ready(&mut self) -> Result<(), ShadowFailure> {
        if self.process.is_none() {
            self.process = Some(self.start()?);
            for (tool, script) in self.kept.clone() {
                if let Answer::Died(why) = self.exchange(What::Keep, tool, Some(&script)).await {
                    let message =
                        format!("the database could not be brought back after a stop: {}", why.message);
                    return Err(ShadowFailure { message, hint: None });
                }
            }
        }
        Ok(())
    }

    async fn exchange(&mut self, what: What, tool: Tool, script: Option<&Script>) -> Answer {
        self.exchange_all(what, tool, script, Vec::new()).await
    }

    async fn exchange_all(
        &mut self,
        what: What,
        tool: Tool,
        script: Option<&Script>,
        queries: Vec<String>,
    ) -> Answer {
        let path = script.map(|script| script.path.clone()).unwrap_or_default();
        let died = |why: String| Answer::Died(RunFailure::not_sent(&path, None, why));
        let Some(mut process) = self.process.take() else {
            return died("stopped: there is no process".into());
        };
        let request =
            Request { what, tool, script: script.cloned(), queries, time_ms_max: self.limits.step_ms_max };
        let Ok(mut line) = serde_json::to_vec(&request) else { return died("not sent: not writable".into()) };
        line.push(b'\n');
        let talk = async {
            process.input.write_all(&line).await?;
            process.input.flush().await?;
            let mut answer = String::new();
            (&mut process.output).take(LINE_BYTES_MAX).read_line(&mut answer).await?;
            Ok::<String, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(self.limits.step_time() + GRACE, talk).await;
        let reply = match &answer {
            Ok(Ok(answer)) => serde_json::from_str::<Reply>(answer).ok(),
            _ => None,
        };
        if let Some(reply) = reply {
            self.process = Some(process);
            return Answer::Reply(Box::new(reply));
        }
        // Killed and waited for, so that nothing of it is left running.
        let _ = process.child.kill().await;
        died(match answer {
            Err(_) => format!(
                "stopped: not done after {} ms, and it could not be interrupted",
                self.limits.step_ms_max
            ),
            Ok(_) => "stopped: it used more memory than the shadow has, or broke SQLite".to_owned(),
        })
    }

    fn visible(&self, reply: &Reply) -> Catalog {
        reply.schema.catalog(&self.version_tables)
    }

    /// Refuses what cannot be sent at all.
    fn sendable(&self, script: &Script) -> Result<(), RunFailure> {
        if let Some(unreadable) = &script.unreadable {
            let why = format!("not sent: {}", unreadable.why);
            return Err(RunFailure::not_sent(&script.path, unreadable.line, why));
        }
        let max = self.limits.script_bytes_max;
        if script.sql.len() > max {
            let why = format!("not sent: it is longer than {} MiB", max >> 20);
            return Err(RunFailure::not_sent(&script.path, None, why));
        }
        if script.sql.contains('\0') {
            let why = "not sent: there is a NUL byte in it, at which SQLite would stop reading";
            return Err(RunFailure::not_sent(&script.path, None, why));
        }
        Ok(())
    }

    /// Runs a script whose effect stays.
    async fn keep(
        &mut self,
        tool: Tool,
        script: &Script,
        remarks: &mut Vec<String>,
    ) -> Result<Result<Catalog, RunFailure>, ShadowFailure> {
        if let Err(failure) = self.sendable(script) {
            return Ok(Err(failure));
        }
        match self.ask(What::Keep, tool, script).await? {
            Answer::Died(failure) => Ok(Err(failure)),
            Answer::Reply(reply) => {
                remarks.extend(reply.remarks.iter().cloned());
                self.catalog = self.visible(&reply);
                // A script that failed without a transaction leaves what it had done; so does its repetition.
                self.kept.push((tool, script.clone()));
                Ok(match reply.failure {
                    Some(failure) => Err(failure.into()),
                    None => Ok(self.catalog.clone()),
                })
            }
        }
    }

    async fn trial(
        &mut self,
        tool: Tool,
        script: &Script,
        remarks: &mut Vec<String>,
    ) -> Result<Result<Catalog, RunFailure>, ShadowFailure> {
        if let Err(failure) = self.sendable(script) {
            return Ok(Err(failure));
        }
        Ok(match self.ask(What::Trial, tool, script).await? {
            Answer::Died(failure) => Err(failure),
            Answer::Reply(reply) => {
                remarks.extend(reply.remarks.iter().cloned());
                let catalog = self.visible(&reply);
                match reply.failure {
                    Some(failure) => Err(failure.into()),
                    None => Ok(catalog),
                }
            }
        })
    }

    async fn end_trial(&mut self) {
        if self.process.is_some() {
            self.exchange(What::EndTrial, Tool::Plain, None).await;
        }
    }
}

#[async_trait]
impl Shadow for SqliteShadow {
    async fn step(&mut self, migration: &Migration) -> Result<StepRun, ShadowFailure> {
        let started = Instant::now();
        let before = self.catalog.clone();
        let mut remarks = Vec::new();
        let up = self.keep(migration.tool, &migration.up, &mut remarks).await?;
        let mut down = None;
        if let (Ok(_), Some(script)) = (&up, migration.down.script()) {
            let outcome = self.trial(migration.tool, script, &mut remarks).await?;
            let again = match outcome {
                Ok(_) => Some(self.trial(migration.tool, &migration.up, &mut Vec::new()).await?),
                Err(_) => None,
            };
            down = Some(DownRun { outcome, again });
            self.end_trial().await;
        }
        remarks.dedup();
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(StepRun { before, up, down, remarks, took_ms, locks: Vec::new() })
    }

    async fn take_down(&mut self, migration: &Migration) -> Result<Trial, ShadowFailure> {
        let before = self.catalog.clone();
        let Some(script) = migration.down.script() else { return Ok(Trial::of_nothing(before)) };
        let mut remarks = Vec::new();
        // It may fail halfway, and the database must then be as it was.
        let tried = self.trial(migration.tool, script, &mut Vec::new()).await?;
        self.end_trial().await;
        if let Err(failure) = tried {
            return Ok(Trial::failed(before, failure, remarks));
        }
        let kept = self.keep(migration.tool, script, &mut remarks).await?;
        remarks.dedup();
        Ok(match kept {
            Ok(after) => Trial {
                before,
                after: Ok(after),
                outside: None,
                locks: Vec::new(),
                rewritten: Vec::new(),
                remarks,
            },
            Err(failure) => Trial::failed(before, failure, remarks),
        })
    }

    async fn undo_together(&mut self, newest_first: &[&Migration]) -> Result<Option<Catalog>, ShadowFailure> {
        let mut undone = None;
        for migration in newest_first {
            undone = match migration.down.script() {
                Some(script) => self.trial(migration.tool, script, &mut Vec::new()).await?.ok(),
                None => None,
            };
            if undone.is_none() {
                break;
            }
        }
        self.end_trial().await;
        Ok(undone)
    }

    async fn apply(&mut self, migration: &Migration) -> Result<Result<(), RunFailure>, ShadowFailure> {
        Ok(self.keep(migration.tool, &migration.up, &mut Vec::new()).await?.map(|_| ()))
    }

    async fn plan_queries(
        &mut self,
        queries: &[Query],
        _role: Option<&str>,
    ) -> Result<Vec<Outcome>, ShadowFailure> {
        self.ready().await?;
        let texts = queries.iter().map(|query| query.sql.clone()).collect();
        match self.exchange_all(What::Plan, Tool::Plain, None, texts).await {
            Answer::Reply(reply) if reply.planned.len() == queries.len() => Ok(reply.planned),
            Answer::Reply(_) => {
                Err(ShadowFailure { message: "SQLite answered not every query".to_owned(), hint: None })
            }
            Answer::Died(failure) => Err(ShadowFailure { message: failure.message, hint: None }),
        }
    }

    async fn lend(&mut self, applied: &[Migration]) -> Result<Lent, ShadowFailure> {
        self.ready().await?;
        let failed = |why: String| ShadowFailure {
            message: format!("the SQLite database could not be lent: {why}"),
            hint: None,
        };
        let image = match self.exchange(What::Image, Tool::Plain, None).await {
            Answer::Reply(reply) => reply.image,
            Answer::Died(failure) => return Err(failed(failure.message)),
        };
        let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        let file = folder.path().join("shadow.db");
        fs_err::write(&file, image).map_err(|error| failed(error.to_string()))?;
        let write = async {
            let mut conn = SqliteConnectOptions::new().filename(&file).connect().await?;
            account::on_sqlite(&mut conn, applied).await?;
            conn.close().await
        };
        write.await.map_err(|error: sqlx::Error| failed(error.to_string()))?;
        Ok(Lent { url: format!("sqlite://{}", file.display()), folder })
    }

    async fn catalog(&mut self) -> Result<Catalog, ShadowFailure> {
        Ok(self.catalog.clone())
    }

    fn name(&self) -> String {
        "SQLite".to_owned()
    }

    async fn close(self: Box<Self>) -> Result<(), ShadowFailure> {
        // The process and its folder go with the value.
        Ok(())
    }
}
