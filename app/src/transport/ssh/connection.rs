//! One ssh child with an agent at its other end, from the first byte to its last words.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use unship_core::frame::{
    FrameError, FromHost, HEADER_BYTES, Header, PREAMBLE_BYTES, ToHost, find_magic, preamble, version_of,
};
use unship_core::protocol::{Envelope, HostReply, HostSetup, PROTOCOL_VERSION};

use super::complaint::{self, Complaint, Ended, Kind};
use crate::config::Destination;
use crate::plain::plain;

/// How much of the end of standard error is kept.
const STDERR_BYTES_MAX: usize = 8 << 10;

/// How much a login shell may say before the agent answers.
const BANNER_BYTES_MAX: usize = 64 << 10;

/// How long a session that ended is waited for, for its status and its last words.
const LAST_WORDS_MAX: Duration = Duration::from_millis(1_500);

/// An agent at the other end of a session.
pub(super) struct Connection {
    session: Session,
    /// How many questions were asked.
    asked: u64,
    /// The folder that the agent runs from.
    pub place: String,
}

/// What went wrong in a conversation.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The other end is gone, or this one is.
    Gone,
    /// What came is no answer.
    Frame(FrameError),
    /// The host said that it cannot.
    Said(String),
    /// The question does not fit into a frame.
    TooLong(FrameError),
}

impl From<std::io::Error> for Trouble {
    fn from(_: std::io::Error) -> Trouble {
        // The pipe says only that it is closed; why is among the last words.
        Trouble::Gone
    }
}

impl Connection {
    /// Starts ssh and waits until the agent is there. Changes nothing on the host, so that it may be tried again.
    pub async fn open(
        mut command: Command,
        to: &Destination,
        setup: &HostSetup,
    ) -> Result<Connection, Complaint> {
        let mut session = Session::start(&mut command).map_err(|error| complaint::not_started(&error))?;
        let mut said = Vec::new();
        match session.greet(setup, &mut said).await {
            Ok(place) => Ok(Connection { session, asked: 0, place }),
            Err(Refused::Protocol(host)) => Err(complaint::protocol(host)),
            Err(Refused::Banner) => Err(complaint::banner(to, &String::from_utf8_lossy(&said))),
            Err(Refused::Trouble(Trouble::Gone)) => {
                let (stderr, status) = session.last_words().await;
                let stdout = String::from_utf8_lossy(&said);
                Err(complaint::read(to, &Ended { stderr: &stderr, stdout: &stdout, status }))
            }
            Err(Refused::Trouble(other)) => Err(session.trouble(to, other).await),
        }
    }

    /// Whether a question would have somebody to answer it, as far as can be seen from here.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.session.child.try_wait(), Ok(None))
    }

    /// Asks one question. After an error the connection is of no use any more.
    pub async fn ask(&mut self, envelope: Envelope) -> Result<HostReply, Trouble> {
        self.asked += 1;
        let question = ToHost::Ask { number: self.asked, envelope: Box::new(envelope) };
        let frame = question.into_frame().map_err(Trouble::TooLong)?;
        self.session.send(&frame).await?;
        match self.session.receive().await? {
            FromHost::Answer { number, reply } if number == self.asked => Ok(*reply),
            other => Err(unexpected(other)),
        }
    }

    /// What became of a connection in trouble.
    pub async fn end(mut self, to: &Destination, trouble: Trouble) -> Complaint {
        self.session.trouble(to, trouble).await
    }

    /// Marks it as one that may be let go in peace, or not, should the operator end now.
    pub fn at_rest(&mut self, at_rest: bool) {
        self.session.in_peace = at_rest;
    }
}

/// Why a greeting failed.
enum Refused {
    Protocol(u32),
    Banner,
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Refused {
    fn from(trouble: T) -> Refused {
        Refused::Trouble(trouble.into())
    }
}

fn unexpected(message: FromHost) -> Trouble {
    match message {
        FromHost::NotUnderstood { error } | FromHost::NotOpened { error } => Trouble::Said(error),
        FromHost::Opened { .. } | FromHost::Answer { .. } => {
            Trouble::Said("it answered another question than the one that was asked".into())
        }
    }
}

/// The child with its pipes.
struct Session {
    child: Child,
    group: Option<Pid>,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
    listener: tokio::task::JoinHandle<()>,
    /// Nothing is under way: at the end the pipes are closed and ssh goes by itself.
    in_peace: bool,
}

impl Session {
    fn start(command: &mut Command) -> std::io::Result<Session> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C at the terminal is for this program, which finishes its step first.
            .process_group(0);
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stream)) = pipes else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::spawn(listen(stream, Arc::clone(&stderr)));
        Ok(Session {
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            child,
            stdin,
            stdout: BufReader::new(stdout),
            stderr,
            listener,
            in_peace: false,
        })
    }

    /// Says who is there and what for; answers which folder the agent runs from. What came before the agent's
    /// first byte is left in `said`.
    async fn greet(&mut self, setup: &HostSetup, said: &mut Vec<u8>) -> Result<String, Refused> {
        let mut first = preamble().to_vec();
        let open = ToHost::Open { setup: Box::new(setup.clone()) };
        first.extend(open.into_frame().map_err(Trouble::TooLong)?);
        // One that is gone may have said why: the error is found when it is read from.
        let _ = self.send(&first).await;
        let version = self.find_preamble(said).await?;
        if version != PROTOCOL_VERSION {
            return Err(Refused::Protocol(version));
        }
        if !said.is_empty() {
            tracing::warn!(said = %plain(&String::from_utf8_lossy(said)), "a login shell talks before the agent");
        }
        match self.receive().await? {
            FromHost::Opened { place, .. } => Ok(place),
            other => Err(Refused::Trouble(unexpected(other))),
        }
    }

    /// Reads up to and with the preamble; the version that it names.
    async fn find_preamble(&mut self, said: &mut Vec<u8>) -> Result<u32, Refused> {
        loop {
            let byte = self.stdout.read_u8().await?;
            said.push(byte);
            // The magic ends as it begins, with a zero: only then is it worth looking, and only at the end. A host may
            // say nothing but zeros.
            let end = said.len().saturating_sub(PREAMBLE_BYTES);
            if byte == 0
                && let Some(begin) = find_magic(said.get(end..).unwrap_or_default())
            {
                let begin = end + begin;
                let mut bytes = [0; PREAMBLE_BYTES];
                let magic = said.get(begin..).unwrap_or_default();
                let (first, rest) = bytes.split_at_mut(magic.len().min(PREAMBLE_BYTES));
                first.copy_from_slice(magic);
                self.stdout.read_exact(rest).await?;
                said.truncate(begin);
                return version_of(bytes).ok_or(Refused::Banner);
            }
            if said.len() > BANNER_BYTES_MAX {
                return Err(Refused::Banner);
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stdin.write_all(bytes).await?;
        self.stdin.flush().await
    }

    async fn receive(&mut self) -> Result<FromHost, Trouble> {
        let mut header = [0; HEADER_BYTES];
        self.stdout.read_exact(&mut header).await?;
        let header = Header::read(header).map_err(Trouble::Frame)?;
        let head = self.exactly(header.head).await?;
        let body = self.exactly(header.body).await?;
        FromHost::from_parts(&head, &body).map_err(Trouble::Frame)
    }

    /// Reads so many bytes. The room grows with what really comes, whatever was announced.
    async fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        (&mut self.stdout).take(count as u64).read_to_end(&mut bytes).await?;
        if bytes.len() == count { Ok(bytes) } else { Err(Trouble::Gone) }
    }

    async fn trouble(&mut self, to: &Destination, trouble: Trouble) -> Complaint {
        let said = |why: String| Complaint { kind: Kind::Final, why, hint: None };
        match trouble {
            Trouble::Gone => {
                let (stderr, status) = self.last_words().await;
                let mut complaint = complaint::read(to, &Ended { stderr: &stderr, stdout: "", status });
                // The agent was there: whatever it is, it is not that there is none.
                complaint.kind = Kind::Final;
                if stderr.trim().is_empty() {
                    complaint.why = "the connection ended before the answer came".into();
                }
                complaint
            }
            Trouble::Frame(FrameError::NoFrame { saw }) => complaint::banner(to, &saw),
            Trouble::Frame(error) => said(format!("its answer cannot be used: {error}")),
            Trouble::TooLong(error) => said(format!("the question cannot be sent: {error}")),
            Trouble::Said(error) => said(error),
        }
    }

    /// Standard error to its end, and the status; both within a limit.
    async fn last_words(&mut self) -> (String, Option<i32>) {
        let both = async {
            let status = self.child.wait().await.ok().and_then(|status| status.code());
            // Somebody else may keep the stream open, such as a master connection: its end is not waited for long.
            let rest = Duration::from_millis(200);
            let _ = tokio::time::timeout(rest, &mut self.listener).await;
            status
        };
        let status = tokio::time::timeout(LAST_WORDS_MAX, both).await.unwrap_or_default();
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        (String::from_utf8_lossy(&stderr).into_owned(), status)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.listener.abort();
        if let Some(group) = self.group.filter(|_| !self.in_peace) {
            // Gone already is what we want.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Keeps the end of a stream.
async fn listen(mut stream: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 4 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let cut = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..cut);
    }
}
