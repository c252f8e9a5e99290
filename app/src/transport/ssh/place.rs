//! Puts the agent on a host, where it is found by its protocol and kept by its digest.
//!
//! What runs on the host is one fixed text (`place.sh`). It says what the host is and has; what does not fit is
//! refused here, before a byte is sent; what is there already is only pointed to. The host checks the digest
//! before anything is renamed into its place.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use unship_core::protocol::PROTOCOL_VERSION;

use super::command::{self, SshOptions};
use super::complaint::{self, Complaint, Ended, Kind};
use super::elf::glibc_version;
use super::program::{AgentProgram, Program};
use crate::config::{AgentPlace, Destination};
use crate::plain::plain;

/// The text that runs on the host.
pub const SCRIPT: &str = include_str!("place.sh");

/// How long all of it may take: 32 MB on a line of 64 KiB/s.
const PLACE_MAX: Duration = Duration::from_secs(600);

/// The longest line that a host says.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What must be free beyond the program itself.
const ROOM_KIB: u64 = 4 << 10;

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostFacts {
    machine: String,
    glibc: Option<(u32, u32)>,
    free_kib: Option<u64>,
    have: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It was sent.
    Sent {
        /// Bytes.
        bytes: u64,
        /// Milliseconds.
        took_ms: u64,
    },
    /// It was there.
    Present,
}

fn said(why: impl Into<String>, hint: &str) -> Complaint {
    Complaint { kind: Kind::Final, why: why.into(), hint: Some(hint.into()) }
}

/// Puts the program on the host.
pub(super) async fn place(
    options: &SshOptions,
    to: &Destination,
    agent: &AgentProgram,
) -> Result<Placed, Complaint> {
    let program = agent.read().await.map_err(|error| said(error, "reinstall unship on this machine"))?;
    let mut lines = command::place_lines(options).into_iter().peekable();
    while let Some(line) = lines.next() {
        let placing = Placing::start(options, to, &line)?;
        let placed = tokio::time::timeout(PLACE_MAX, placing.go(options.place, program)).await;
        match placed {
            Ok(Err(complaint)) if complaint.kind == Kind::NoAgent && lines.peek().is_some() => {}
            Ok(placed) => return placed,
            Err(_) => {
                let why = format!("the agent could not be put there within {} s", PLACE_MAX.as_secs());
                return Err(said(why, "how fast is the line?"));
            }
        }
    }
    Err(said("there is no way to put an agent there", "docs/privileges.md says what must be allowed"))
}

/// One session with the script at its other end.
struct Placing<'a> {
    to: &'a Destination,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    needs_script: bool,
}

impl<'a> Placing<'a> {
    fn start(
        options: &SshOptions,
        to: &'a Destination,
        line: &command::PlaceLine,
    ) -> Result<Placing<'a>, Complaint> {
        let not_started = |error: std::io::Error| complaint::not_started(&error);
        let mut command = Command::new(&options.program);
        command
            .args(command::arguments(options, to, line.text).map_err(not_started)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(not_started)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(not_started(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Placing { to, child, stdin, stdout: BufReader::new(stdout), needs_script: line.needs_script })
    }

    async fn go(mut self, place: AgentPlace, program: &Program) -> Result<Placed, Complaint> {
        match self.exchange(place, program).await {
            Ok(placed) => Ok(placed),
            Err(Failed::Said(complaint)) => Err(complaint),
            Err(Failed::Gone(stdout)) => Err(self.last_words(&stdout).await),
        }
    }

    async fn exchange(&mut self, place: AgentPlace, program: &Program) -> Result<Placed, Failed> {
        let began = Instant::now();
        let word = match place {
            AgentPlace::System => "system",
            AgentPlace::Home => "home",
        };
        let mut first = String::new();
        if self.needs_script {
            first = format!("{}\n{SCRIPT}", SCRIPT.len());
        }
        self.send(format!("{first}{word}\n").as_bytes()).await?;
        let facts = self.facts().await?;
        fits(&facts, program).map_err(Failed::Said)?;
        let digest = program.digest;
        if facts.have.contains(&digest.to_string()) {
            self.send(format!("use {digest} {PROTOCOL_VERSION}\n").as_bytes()).await?;
            self.done().await?;
            return Ok(Placed::Present);
        }
        let bytes = program.bytes.len();
        self.send(format!("put {digest} {bytes} {PROTOCOL_VERSION}\n").as_bytes()).await?;
        // The host may have stopped listening and said why.
        let _ = self.send(&program.bytes).await;
        self.done().await?;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Placed::Sent { bytes: bytes as u64, took_ms })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let sent = async {
            self.stdin.write_all(bytes).await?;
            self.stdin.flush().await
        };
        sent.await.map_err(|_: std::io::Error| Failed::Gone(String::new()))
    }

    /// The next line of the script; what a login shell says around it is passed over.
    async fn line(&mut self, wanted: &[&str]) -> Result<String, Failed> {
        let mut seen = String::new();
        loop {
            let mut line = Vec::new();
            let read = (&mut self.stdout).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if read.unwrap_or_default() == 0 || seen.len() as u64 > LINE_BYTES_MAX {
                return Err(Failed::Gone(seen));
            }
            if let Some(why) = line.strip_prefix("error ") {
                return Err(Failed::Said(Complaint {
                    kind: Kind::Final,
                    why: format!("the agent cannot be put there: {}", plain(why)),
                    hint: Some("docs/privileges.md says what must be allowed".into()),
                }));
            }
            if wanted.iter().any(|word| line.starts_with(word)) {
                return Ok(line);
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }

    async fn facts(&mut self) -> Result<HostFacts, Failed> {
        let line = self.line(&["host "]).await?;
        facts(&line).ok_or(Failed::Gone(line))
    }

    async fn done(&mut self) -> Result<(), Failed> {
        self.line(&["done"]).await.map(|_| ())
    }

    async fn last_words(mut self, stdout: &str) -> Complaint {
        drop(self.stdin);
        let mut stderr = Vec::new();
        let limit = Duration::from_secs(2);
        let ended = tokio::time::timeout(limit, async {
            if let Some(stream) = self.child.stderr.take() {
                let _ = stream.take(LINE_BYTES_MAX).read_to_end(&mut stderr).await;
            }
            self.child.wait().await.ok().and_then(|status| status.code())
        });
        let status = ended.await.unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr);
        complaint::read(self.to, &Ended { stderr: &stderr, stdout, status })
    }
}

enum Failed {
    Said(Complaint),
    /// The session ended; what it had said.
    Gone(String),
}

/// `host x86_64|glibc 2.36|123456| DIGEST DIGEST`
fn facts(line: &str) -> Option<HostFacts> {
    let mut parts = line.strip_prefix("host ")?.split('|');
    let mut part = || parts.next().map(str::trim);
    let (machine, libc, free, have) = (part()?, part()?, part()?, part()?);
    Some(HostFacts {
        machine: machine.to_owned(),
        glibc: glibc_version(libc),
        free_kib: free.parse().ok(),
        have: have.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Whether the program would run there.
fn fits(facts: &HostFacts, program: &Program) -> Result<(), Complaint> {
    let needs = &program.needs;
    // One kind of machine has two names.
    let machine = if facts.machine == "arm64" { "aarch64" } else { &facts.machine };
    if machine != needs.machine {
        return Err(said(
            format!("its machine is {}, and this unship is for {}", plain(machine), needs.machine),
            "deploy with an unship for the host's architecture",
        ));
    }
    if let Some((major, minor)) = needs.glibc {
        let needed = format!("this unship needs glibc {major}.{minor}");
        let hint = "deploy with an unship that was built on a system as old as the host's";
        match facts.glibc {
            None => return Err(said(format!("it has no GNU C library, and {needed}"), hint)),
            Some(has) if has < (major, minor) => {
                return Err(said(format!("it has glibc {}.{}, and {needed}", has.0, has.1), hint));
            }
            Some(_) => {}
        }
    }
    let needed_kib = program.bytes.len() as u64 / 1_024 + ROOM_KIB;
    match facts.free_kib {
        Some(free) if free < needed_kib && !facts.have.contains(&program.digest.to_string()) => Err(said(
            format!("it has {free} KiB free for the agent, which needs {needed_kib}"),
            "make room there",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
