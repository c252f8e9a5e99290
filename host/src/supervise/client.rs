//! The other end of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use unship_core::protocol::InstanceExit;

use super::wire::{Answer, Ask, StartOrder, View, WAIT_MS_MAX};
use super::{PID_FILE, SuperviseError, check_runtime, socket_path};
use crate::paths::HostPaths;

/// How long the child runner may take to answer what needs no waiting.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A connection to the child runner.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the child runner of a runtime folder.
    pub fn connect(runtime: &Path) -> Result<Client, SuperviseError> {
        check_runtime(runtime)?;
        let socket = socket_path(runtime);
        match UnixStream::connect(&socket) {
            Ok(stream) => Ok(Client { socket, stream: BufReader::new(stream) }),
            Err(error) => Err(SuperviseError::NotRunning { socket, why: error.to_string() }),
        }
    }

    fn ask(&mut self, ask: &Ask, limit: Duration) -> Result<Answer, SuperviseError> {
        let answered = self.exchange(ask, limit);
        answered.map_err(|error| {
            let (socket, why) = (self.socket.clone(), error.to_string());
            match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                    SuperviseError::NotRunning { socket, why }
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    let file = socket.with_file_name(PID_FILE);
                    let pid = fs_err::read_to_string(file).unwrap_or_default().trim().to_owned();
                    let pid = if pid.parse::<u32>().is_ok() { pid } else { "PID".to_owned() };
                    let waited_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                    SuperviseError::Silent { socket, pid, waited_ms }
                }
                _ => SuperviseError::BadAnswer { socket, why },
            }
        })
    }

    fn exchange(&mut self, ask: &Ask, limit: Duration) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        let stream = self.stream.get_mut();
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        stream.write_all(&line)?;
        line.clear();
        let length = (&mut self.stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"));
        }
        Ok(serde_json::from_slice(&line)?)
    }

    fn unexpected(&self, answer: Answer) -> SuperviseError {
        match answer {
            Answer::Error { error, hint } => SuperviseError::Refused { error, hint },
            _ => SuperviseError::BadAnswer {
                socket: self.socket.clone(),
                why: "it answered another question".to_owned(),
            },
        }
    }

    fn ask_view(&mut self, ask: &Ask, limit: Duration) -> Result<View, SuperviseError> {
        match self.ask(ask, limit)? {
            Answer::View { view } => Ok(view),
            other => Err(self.unexpected(other)),
        }
    }

    /// The slots and the latest exits.
    pub(crate) fn status(&mut self) -> Result<(View, Vec<InstanceExit>), SuperviseError> {
        match self.ask(&Ask::Status, ANSWER_LIMIT)? {
            Answer::Status { view, exits } => Ok((view, exits)),
            other => Err(self.unexpected(other)),
        }
    }

    /// The slots.
    pub(crate) fn view(&mut self) -> Result<View, SuperviseError> {
        // Every view is newer than nothing, so there is no wait.
        self.ask_view(&Ask::Wait { after: 0, limit_ms: 0 }, ANSWER_LIMIT)
    }

    /// Starts an instance; answers its slot and whether that is new.
    pub(crate) fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), SuperviseError> {
        match self.ask(&Ask::Start { order: Box::new(order) }, ANSWER_LIMIT)? {
            Answer::Started { slot, new, view } => Ok((slot, new, view)),
            other => Err(self.unexpected(other)),
        }
    }

    /// Tells an instance to stop; it drains on.
    pub(crate) fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, SuperviseError> {
        self.ask_view(&Ask::Stop { slot, drain_ms_max }, ANSWER_LIMIT)
    }

    /// The slots as soon as they differ from what they were at `after`, or when the limit is reached.
    pub(crate) fn wait(&mut self, after: u64, limit: Duration) -> Result<View, SuperviseError> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(WAIT_MS_MAX).clamp(1, WAIT_MS_MAX);
        self.ask_view(&Ask::Wait { after, limit_ms }, Duration::from_millis(limit_ms) + ANSWER_LIMIT)
    }

    /// Tells the child runner to drain everything and end; waits until it has, at most `limit`. Answers
    /// whether it has ended.
    pub fn shutdown(mut self, limit: Duration) -> Result<bool, SuperviseError> {
        self.ask_view(&Ask::Shutdown, ANSWER_LIMIT)?;
        let stream = self.stream.get_mut();
        stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        // It says nothing more; the end of the stream is its end.
        Ok(matches!(stream.read(&mut [0]), Ok(0)))
    }
}

/// Waits until a child runner answers, which it does when it has adopted and started what it must; at most
/// `limit`.
pub fn wait_until_up(paths: &HostPaths, limit: Duration) -> Result<(), SuperviseError> {
    let began = Instant::now();
    loop {
        match Client::connect(&paths.runtime).and_then(|mut client| client.status()) {
            Ok(_) => return Ok(()),
            Err(error @ SuperviseError::NotRunning { .. }) if began.elapsed() >= limit => return Err(error),
            Err(SuperviseError::NotRunning { .. }) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
}
