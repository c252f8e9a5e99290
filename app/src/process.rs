//! Running other programs: as lists of words, with a limit on time and on what is kept of their output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// How much of the end of each stream is kept.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// How long output is waited for after the program itself has ended: one that it left running in the background
/// may keep the streams open for as long as it likes.
const REST_MS_MAX: u64 = 200;

/// A program to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Where it starts.
    pub folder: Option<PathBuf>,
    /// Variables that are set on top of this process's own.
    pub environment: BTreeMap<String, String>,
    /// Variables that it must not see.
    pub without: &'static [&'static str],
    /// How long it may take, in milliseconds; then it and its children are killed.
    pub time_ms_max: u64,
}

/// What a program that ended said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether its status was 0.
    pub success: bool,
    /// Its status in words, for example `exit status: 1`.
    pub status: String,
    /// The end of its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
}

/// A program could not be run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot run `{program}`: {why}")]
    NotStarted {
        /// Its name.
        program: String,
        /// Why.
        why: String,
    },
    /// It took too long and was killed.
    #[error("`{program}` was stopped after {} s", .time_ms_max / 1_000)]
    TimedOut {
        /// Its name.
        program: String,
        /// The limit.
        time_ms_max: u64,
    },
}

impl Program {
    /// A program of these words with a limit.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>, time_ms_max: u64) -> Program {
        Program {
            words: words.into_iter().map(Into::into).collect(),
            folder: None,
            environment: BTreeMap::new(),
            without: &[],
            time_ms_max,
        }
    }

    /// Starts it in a folder.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Program {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Sets variables.
    #[must_use]
    pub fn with(mut self, environment: &BTreeMap<String, String>) -> Program {
        self.environment.extend(environment.iter().map(|(name, value)| (name.clone(), value.clone())));
        self
    }

    fn name(&self) -> String {
        self.words.first().cloned().unwrap_or_default()
    }

    /// Runs it to its end, without standard input.
    pub async fn run(&self) -> Result<Ended, ProgramError> {
        let not_started =
            |error: std::io::Error| ProgramError::NotStarted { program: self.name(), why: error.to_string() };
        let mut command = Command::new(self.name());
        command
            .args(self.words.iter().skip(1))
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that the limit ends its children too.
            .process_group(0)
            .kill_on_drop(true);
        for name in self.without {
            command.env_remove(name);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command.spawn().map_err(not_started)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let status = {
                let mut output = pin!(async { tokio::join!(stdout.read(out), stderr.read(err)) });
                tokio::select! {
                    status = child.wait() => {
                        let rest = Duration::from_millis(REST_MS_MAX);
                        let _ = tokio::time::timeout(rest, output).await;
                        status
                    }
                    _ = &mut output => child.wait().await,
                }
            };
            status.map(|status| Ended {
                success: status.success(),
                status: status.to_string(),
                stdout: stdout.kept(),
                stderr: stderr.kept(),
            })
        };
        match tokio::time::timeout(Duration::from_millis(self.time_ms_max), all).await {
            Ok(ended) => {
                group.0 = None;
                ended.map_err(not_started)
            }
            Err(_) => Err(ProgramError::TimedOut { program: self.name(), time_ms_max: self.time_ms_max }),
        }
    }
}

/// A program with its children, until it has ended. They are killed when the time is up, and when nobody waits
/// for them any more, as when a drill is stopped in the middle of a build.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already is what we want.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The last bytes of a stream; a program that floods is read to its end and forgotten but for them.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.0.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if self.0.len() > 2 * OUTPUT_BYTES_MAX {
                self.0.drain(..self.0.len() - OUTPUT_BYTES_MAX);
            }
        }
    }

    fn kept(mut self) -> Vec<u8> {
        self.0.drain(..self.0.len().saturating_sub(OUTPUT_BYTES_MAX));
        self.0
    }
}

impl Ended {
    /// Standard output as text, trimmed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// The last lines of standard error, or of standard output when that is empty, on one line.
    pub fn complaint(&self) -> String {
        let stream = if self.stderr.trim_ascii().is_empty() { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(stream);
        let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let cut = lines.len().saturating_sub(3);
        lines.drain(..cut);
        if lines.is_empty() { "it said nothing".into() } else { lines.join(" | ") }
    }
}

#[cfg(test)]
mod tests;
