//! Running other programs: as lists of words, with a limit on time and on what is kept of their output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::plain::plain;

/// How much of the end of each stream is kept, unless more is wanted.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// How long output is waited for after the program itself has ended: one that it left running in the background
/// may keep the streams open for as long as it likes.
const REST_MS_MAX: u64 = 200;

/// How often a lock is tried that another program has.
const LOCK_LOOK: Duration = Duration::from_millis(50);

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
    /// What it finds on its standard input; nothing when it is empty.
    pub input: Vec<u8>,
    /// How long it may take, in milliseconds; then it and its children are killed.
    pub time_ms_max: u64,
    /// How much of the end of each stream is kept, in bytes.
    pub output_bytes_max: usize,
    /// A file that it and its children keep locked for as long as any of them lives: they inherit it as standard
    /// input. One with the same file waits until they are gone, even when whoever started them was killed.
    pub lock: Option<PathBuf>,
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
            input: Vec::new(),
            time_ms_max,
            output_bytes_max: OUTPUT_BYTES_MAX,
            lock: None,
        }
    }

    /// Has it wait for, and then keep others out by, the lock on a file. It then reads nothing.
    #[must_use]
    pub fn locking(mut self, file: &Path) -> Program {
        self.lock = Some(file.to_owned());
        self
    }

    /// Standard input: what it is to read, or nothing, or the locked file, which is as empty.
    async fn standard_input(&self) -> std::io::Result<Stdio> {
        let Some(path) = &self.lock else {
            return Ok(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        };
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let file = fs_err::OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let until = Instant::now() + Duration::from_millis(self.time_ms_max);
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
            if Instant::now() >= until {
                let why = format!("another one is still at work, which has `{}` locked", path.display());
                return Err(std::io::Error::other(why));
            }
            tokio::time::sleep(LOCK_LOOK).await;
        }
        Ok(Stdio::from(file.into_parts().0))
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

    /// Gives it something to read.
    #[must_use]
    pub fn with_input(mut self, input: Vec<u8>) -> Program {
        self.input = input;
        self
    }

    fn name(&self) -> String {
        self.words.first().cloned().unwrap_or_default()
    }

    /// Runs it to its end.
    pub async fn run(&self) -> Result<Ended, ProgramError> {
        let not_started =
            |error: std::io::Error| ProgramError::NotStarted { program: self.name(), why: error.to_string() };
        let mut command = Command::new(self.name());
        command
            .args(self.words.iter().skip(1))
            .envs(&self.environment)
            .stdin(self.standard_input().await.map_err(not_started)?)
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
        let (mut stdout, mut stderr) = (Tail::of(self.output_bytes_max), Tail::of(self.output_bytes_max));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let stdin = child.stdin.take();
        let all = async {
            let status = {
                let mut output = pin!(async {
                    tokio::join!(stdout.read(out), stderr.read(err), give(stdin, &self.input))
                });
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

/// Writes what a program is to read. Whoever does not read it to its end has no need of it.
async fn give(stdin: Option<tokio::process::ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
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
struct Tail {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Tail {
    fn of(bytes_max: usize) -> Tail {
        Tail { bytes: Vec::new(), bytes_max }
    }

    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if self.bytes.len() > 2 * self.bytes_max {
                self.bytes.drain(..self.bytes.len() - self.bytes_max);
            }
        }
    }

    fn kept(mut self) -> Vec<u8> {
        self.bytes.drain(..self.bytes.len().saturating_sub(self.bytes_max));
        self.bytes
    }
}

impl Ended {
    /// Standard output as text, trimmed.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// The last lines of standard error, or of standard output when that is empty, on one line,
    /// fit for a terminal.
    pub fn complaint(&self) -> String {
        let stream = if self.stderr.trim_ascii().is_empty() { &self.stdout } else { &self.stderr };
        let text = String::from_utf8_lossy(stream);
        let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let cut = lines.len().saturating_sub(3);
        lines.drain(..cut);
        if lines.is_empty() { "it said nothing".into() } else { plain(&lines.join(" | ")) }
    }
}

#[cfg(test)]
mod tests;
