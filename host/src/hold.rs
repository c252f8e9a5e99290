//! What serves while a host is held: answers every request on the sockets that it was handed with 503 and
//! `Retry-After`, and nothing else.
//!
//! One thread and one `poll`. Every answer ends its connection, so that releasing the hold leaves no kept
//! connection behind; what a client still sends is read for a moment, because a reset would take the answer away
//! from it. Knows nothing of releases and reads no configuration: it must work when all of that is broken.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Resource, Rlimit};

/// The hidden verb under which the program calls itself; what follows are the seconds of `Retry-After`.
pub const HOLD_VERB: &str = "answer-on-hold";

/// The most connections at one time; the others wait in the listener.
const CONNECTIONS_MAX: usize = 4_096;
/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long a client may take to send its request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long and how much is read of a client after its answer.
const REST_LIMIT: Duration = Duration::from_secs(2);
const REST_BYTES_MAX: usize = 16 << 20;
/// How long a client that has sent nothing may keep this process from ending once it was told to.
const LAST_LIMIT: Duration = Duration::from_millis(500);
/// The most sockets that are taken.
const SOCKETS_MAX: usize = 64;
/// Descriptors that are no client's, with some air.
const OWN_FDS_MAX: u64 = 128;
/// How long no connection is taken after one could not be, for want of descriptors or memory: the listener is ready all
/// the while, and would be tried without a pause.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// It was called by hand, or by something that hands over no socket.
    #[error("`{HOLD_VERB}` answers on sockets that it is handed (LISTEN_FDS), and there is none")]
    NoSocket,
    /// The argument is not a number of seconds.
    #[error("`{HOLD_VERB}` takes the seconds of `Retry-After` and nothing else")]
    Usage,
    /// The system refused something.
    #[error("cannot answer for a held host: {0}")]
    Io(#[from] io::Error),
}

/// Answers until SIGTERM or SIGINT. `args` are the program's own, the verb being the second of them.
pub fn answer_on_hold(args: impl Iterator<Item = std::ffi::OsString>) -> Result<(), HoldError> {
    let args: Vec<_> = args.skip(2).collect();
    let [seconds] = args.as_slice() else { return Err(HoldError::Usage) };
    let seconds: u32 = seconds.to_str().and_then(|text| text.parse().ok()).ok_or(HoldError::Usage)?;
    let (told, sender) = UnixStream::pair()?;
    told.set_nonblocking(true)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    let sockets = handed_over()?;
    allow_descriptors();
    let mut hold =
        Hold { answer: answer(seconds), told, sockets, clients: Vec::new(), ending: None, pause: None };
    notify("READY=1")?;
    hold.run()?;
    Ok(())
}

/// The sockets that were handed over.
fn handed_over() -> Result<Vec<TcpListener>, HoldError> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let own = number("LISTEN_PID") == usize::try_from(std::process::id()).ok();
    let count = number("LISTEN_FDS").filter(|count| own && (1..=SOCKETS_MAX).contains(count));
    let count = count.ok_or(HoldError::NoSocket)?;
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..count {
        let socket = handed.take_tcp_listener(index)?.ok_or(HoldError::NoSocket)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// A unit of systemd may have 1,024 descriptors open until it asks for more.
fn allow_descriptors() {
    let wanted = CONNECTIONS_MAX as u64 + OWN_FDS_MAX;
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|present| present < current) {
        // With fewer there are fewer clients at a time, and the others wait.
        let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
}

fn notify(text: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to(text.as_bytes(), path).map(|_| ())
}

fn answer(retry_after_s: u32) -> Vec<u8> {
    let body = "held: this service is stopped on purpose for a moment\n";
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after_s}\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The one loop and what it looks at.
struct Hold {
    answer: Vec<u8>,
    told: UnixStream,
    sockets: Vec<TcpListener>,
    clients: Vec<Client>,
    /// Told to end: no new connections; since when.
    ending: Option<Instant>,
    /// No new connections until then.
    pause: Option<Instant>,
}

struct Client {
    stream: TcpStream,
    phase: Phase,
    until: Instant,
}

enum Phase {
    /// The head is not complete; what is here of it.
    Head(Vec<u8>),
    /// So much of the answer is sent.
    Answer(usize),
    /// The answer is sent; so much was read after it.
    Rest(usize),
}

impl Hold {
    fn run(&mut self) -> io::Result<()> {
        loop {
            if self.ending.is_some() && self.clients.is_empty() {
                return Ok(());
            }
            let (told, sockets, clients) = self.poll()?;
            if told && self.ending.is_none() {
                let now = Instant::now();
                self.ending = Some(now);
                // What waits in the listener is for whoever takes over; what was taken is answered.
                self.sockets.clear();
                for client in &mut self.clients {
                    client.until = client.until.min(now + client.phase.last_limit());
                }
            }
            for index in sockets {
                self.accept(index);
            }
            let mut ready = clients.into_iter();
            let now = Instant::now();
            let answer = &self.answer;
            self.clients.retain_mut(|client| {
                let is_ready = ready.next().unwrap_or(false);
                client.until > now && (!is_ready || client.go_on(answer, now).unwrap_or(false))
            });
        }
    }

    /// Waits; whether the end was told, which listeners have somebody, and for each client whether it is ready.
    fn poll(&self) -> io::Result<(bool, Vec<usize>, Vec<bool>)> {
        let pause = self.pause.filter(|until| *until > Instant::now());
        let has_room = self.clients.len() < CONNECTIONS_MAX && pause.is_none();
        let accepting = if has_room { self.sockets.as_slice() } else { &[] };
        let mut fds = Vec::with_capacity(1 + accepting.len() + self.clients.len());
        // Once told, the signal needs no more hearing.
        let told = if self.ending.is_none() { PollFlags::IN } else { PollFlags::empty() };
        fds.push(PollFd::new(&self.told, told));
        fds.extend(accepting.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        for client in &self.clients {
            let flags = match client.phase {
                Phase::Answer(_) => PollFlags::OUT,
                Phase::Head(_) | Phase::Rest(_) => PollFlags::IN,
            };
            fds.push(PollFd::from_borrowed_fd(client.stream.as_fd(), flags));
        }
        let due = self.clients.iter().map(|client| client.until).chain(pause).min();
        let timeout = due.map(|due| {
            let wait = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: i64::from(wait.subsec_nanos()) }
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let told = ready.next().unwrap_or(false);
        let count = accepting.len();
        let sockets = ready.by_ref().take(count).enumerate().filter(|(_, ready)| *ready);
        let sockets = sockets.map(|(index, _)| index).collect();
        Ok((told, sockets, ready.collect()))
    }

    fn accept(&mut self, index: usize) {
        let Some(socket) = self.sockets.get(index) else { return };
        while self.clients.len() < CONNECTIONS_MAX {
            // Another instance on the same listener may have been faster. One that is started after this has its
            // descriptor made blocking by systemd unless its unit says NonBlocking=yes, and with it this one.
            let accepted = socket.set_nonblocking(true).and_then(|()| socket.accept());
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !matches!(waits(&error), Ok(true)) {
                        self.pause = Some(Instant::now() + ACCEPT_PAUSE);
                    }
                    return;
                }
            };
            if stream.set_nonblocking(true).is_ok() {
                let until = Instant::now() + HEAD_LIMIT;
                self.clients.push(Client { stream, phase: Phase::Head(Vec::new()), until });
            }
        }
    }
}

impl Phase {
    /// How long it may still take once this process was told to end.
    fn last_limit(&self) -> Duration {
        match self {
            // It has said something, so it waits for an answer.
            Phase::Head(head) if !head.is_empty() => REST_LIMIT,
            Phase::Head(_) => LAST_LIMIT,
            Phase::Answer(_) | Phase::Rest(_) => REST_LIMIT,
        }
    }
}

impl Client {
    /// Does what can be done now. False when the connection is over.
    fn go_on(&mut self, answer: &[u8], now: Instant) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        loop {
            match &mut self.phase {
                Phase::Head(head) => match self.stream.read(&mut chunk) {
                    Ok(0) => return Ok(false),
                    Ok(length) => {
                        head.extend_from_slice(chunk.get(..length).unwrap_or_default());
                        let complete = head.windows(4).any(|end| end == b"\r\n\r\n");
                        if complete || head.len() > HEAD_BYTES_MAX {
                            self.phase = Phase::Answer(0);
                            self.until = now + REST_LIMIT;
                        }
                    }
                    Err(error) => return waits(&error),
                },
                Phase::Answer(sent) => match self.stream.write(answer.get(*sent..).unwrap_or_default()) {
                    Ok(length) => {
                        *sent += length;
                        if *sent >= answer.len() {
                            self.stream.shutdown(Shutdown::Write)?;
                            self.phase = Phase::Rest(0);
                        }
                    }
                    Err(error) => return waits(&error),
                },
                Phase::Rest(read) => match self.stream.read(&mut chunk) {
                    Ok(0) => return Ok(false),
                    Ok(length) => {
                        *read += length;
                        if *read > REST_BYTES_MAX {
                            return Ok(false);
                        }
                    }
                    Err(error) => return waits(&error),
                },
            }
        }
    }
}

fn waits(error: &io::Error) -> io::Result<bool> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(true),
        _ => Ok(false),
    }
}
