//! The control socket: who asks, what was asked, and who still waits for a change.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::wire::{ASK_BYTES_MAX, Answer, Ask, View, WAIT_MS_MAX};
use super::{SuperviseError, socket_path};

/// The most clients at one time.
const CONNECTIONS_MAX: usize = 64;
/// The most bytes that wait for a client that does not read.
const OUT_BYTES_MAX: usize = 16 << 20;

/// The socket and its clients.
#[derive(Debug)]
pub(super) struct Server {
    socket: Option<UnixListener>,
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Waits for a change after this sequence number, until then.
    waits: Option<(u64, Instant)>,
}

impl Server {
    /// One that listens nowhere.
    pub(super) fn closed() -> Server {
        Server { socket: None, connections: BTreeMap::new(), next: 0 }
    }

    /// Binds the socket, in place of one that a killed predecessor left; the caller has the folder's lock.
    pub(super) fn open(runtime: &Path) -> Result<Server, SuperviseError> {
        let path = socket_path(runtime);
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let socket = UnixListener::bind(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))?;
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Server { socket: Some(socket), ..Server::closed() })
    }

    /// Takes the socket's name away and hangs up.
    pub(super) fn close(&mut self, runtime: &Path) {
        let _ = fs_err::remove_file(socket_path(runtime));
        *self = Server::closed();
    }

    /// The socket, while there is room for another client.
    pub(super) fn accepting(&self) -> Option<&UnixListener> {
        self.socket.as_ref().filter(|_| self.connections.len() < CONNECTIONS_MAX)
    }

    /// Number, stream and whether it has something to write.
    pub(super) fn connections(&self) -> impl Iterator<Item = (u64, &UnixStream, bool)> {
        self.connections.iter().map(|(id, c)| (*id, &c.stream, !c.output.is_empty()))
    }

    /// When the next wait is over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.connections.values().filter_map(|connection| Some(connection.waits?.1)).min()
    }

    pub(super) fn accept(&mut self) {
        let Some(Ok((stream, _))) = self.socket.as_ref().map(UnixListener::accept) else { return };
        if stream.set_nonblocking(true).is_ok() {
            let connection = Connection { stream, input: Vec::new(), output: Vec::new(), waits: None };
            self.connections.insert(self.next, connection);
            self.next += 1;
        }
    }

    /// Reads what a client sent; whole questions are answered, a client that hung up or talks nonsense is
    /// let go.
    pub(super) fn read(&mut self, id: u64) -> Vec<Ask> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let mut open = true;
        let mut chunk = [0; 16 << 10];
        loop {
            match connection.stream.read(&mut chunk) {
                Ok(0) => open = false,
                Ok(length) => {
                    connection.input.extend_from_slice(&chunk[..length]);
                    if connection.input.len() <= ASK_BYTES_MAX {
                        continue;
                    }
                    open = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => open = false,
            }
            break;
        }
        let mut asks = Vec::new();
        while let Some(end) = connection.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = connection.input.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(ask) => asks.push(ask),
                Err(_) => open = false,
            }
        }
        if !open {
            // What it asked before it hung up is still done; there is only nobody to tell.
            self.connections.remove(&id);
        }
        asks
    }

    /// Puts an answer on its way; none means that the client waits.
    pub(super) fn answer(&mut self, id: u64, answer: Reaction) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match answer {
            Reaction::Answer(answer) => connection.put(&answer),
            Reaction::Wait { after, until } => connection.waits = Some((after, until)),
        }
    }

    /// Answers those whose wait is over and writes what can be written.
    pub(super) fn flush(&mut self, view: &View) {
        let now = Instant::now();
        self.connections.retain(|_, connection| {
            if connection.waits.is_some_and(|(after, until)| view.sequence > after || until <= now) {
                connection.waits = None;
                connection.put(&Answer::View { view: view.clone() });
            }
            connection.write()
        });
    }
}

impl Connection {
    fn put(&mut self, answer: &Answer) {
        if let Ok(mut line) = serde_json::to_vec(answer) {
            line.push(b'\n');
            self.output.append(&mut line);
        }
    }

    /// Writes what the client takes; answers whether to keep it.
    fn write(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return false,
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.output.len() <= OUT_BYTES_MAX
    }
}

/// What a question leads to.
#[derive(Debug)]
pub(super) enum Reaction {
    Answer(Answer),
    Wait { after: u64, until: Instant },
}

impl Daemon {
    /// Does what was asked.
    pub(super) fn answer(&mut self, ask: Ask) -> Reaction {
        Reaction::Answer(match ask {
            Ask::Status => Answer::Status { view: self.view(), exits: self.exits.latest() },
            Ask::Start { order } => match self.start(*order) {
                Ok((slot, new)) => Answer::Started { slot, new, view: self.view() },
                Err(error) => Answer::Error { hint: error.hint(), error: error.to_string() },
            },
            Ask::Stop { slot, drain_ms_max } => {
                self.stop(slot, Duration::from_millis(drain_ms_max));
                Answer::View { view: self.view() }
            }
            Ask::Wait { after, limit_ms } => {
                let until = Instant::now() + Duration::from_millis(limit_ms.min(WAIT_MS_MAX));
                return Reaction::Wait { after, until };
            }
            Ask::Shutdown => {
                self.end();
                Answer::View { view: self.view() }
            }
        })
    }
}
