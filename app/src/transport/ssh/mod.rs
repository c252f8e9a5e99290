//! Hosts over ssh: one child of the user's own OpenSSH per host, kept for the whole run, with framed messages.
//!
//! It carries requests and knows nothing of what they mean but how long each may take. It never weakens the
//! checking of host keys, asks nobody anything, and gives the remote login shell nothing but a fixed line. A child
//! that died is started anew; a request that got no answer is never sent again by itself, because only the flow
//! can find out whether it was carried out.

mod command;
mod complaint;
mod connection;
mod elf;
mod jump;
mod limits;
mod place;
mod program;
mod tunnel;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::process::Command;
use tokio::sync::{Mutex, Semaphore};
use unship_core::protocol::{Envelope, HostReply, HostSetup};

pub use command::SshOptions;
pub use place::{Placed, SCRIPT as PLACE_SCRIPT};
pub use program::AgentProgram;
pub use tunnel::SshTunnels;

use crate::config::Destination;
use crate::ports::{HostTransport, Progress, TransportError};
use complaint::{Complaint, Kind};
use connection::Connection;

/// How long a session is tried that sshd hangs up on.
const BUSY_MAX: Duration = Duration::from_secs(20);

/// The first wait before another attempt; doubled each time, up to the longest, and then drawn from its upper
/// half, so that many who were refused together do not come back together.
const WAIT_MS_FIRST: u64 = 120;
const WAIT_MS_MAX: u64 = 2_000;

/// What a session may take beyond the time for its connection: key exchange, login shell, the agent's start.
const START_MAX: Duration = Duration::from_secs(15);

/// How many sessions may be opened at the same time, for all hosts of a run together: a bastion sees them all.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that lets so many through at once.
    pub fn new(sessions: u8) -> Gate {
        Gate(Arc::new(Semaphore::new(usize::from(sessions))))
    }
}

/// What is done about agents that are missing or of another digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing: a host without one is told of.
    Never,
    /// One is put where none of this protocol is.
    WhenMissing,
    /// Every host gets this program's own, so that whatever comes later finds it there.
    Renew,
}

/// What all hosts of a run share.
#[derive(Clone)]
pub struct SshWorld {
    /// How they are reached.
    pub options: SshOptions,
    /// How many at once.
    pub gate: Gate,
    /// The program that is put there.
    pub program: Arc<AgentProgram>,
    /// When it is put there.
    pub upkeep: Upkeep,
    /// Who hears of it.
    pub progress: Arc<dyn Progress>,
}

/// One host over ssh.
pub struct Ssh {
    to: Destination,
    world: SshWorld,
    setup: HostSetup,
    /// Empty while nothing was asked yet, and after a child died.
    connection: Mutex<Option<Connection>>,
}

impl Ssh {
    /// The way to a host. Nothing is started yet.
    pub fn new(to: Destination, setup: HostSetup, world: SshWorld) -> Ssh {
        Ssh { to, world, setup, connection: Mutex::new(None) }
    }

    /// Puts this program on the host as its agent, whatever is there.
    pub async fn put_agent(&self) -> Result<Placed, TransportError> {
        self.place().await.map_err(|complaint| self.error(complaint))
    }

    async fn place(&self) -> Result<Placed, Complaint> {
        let placed = self.place_patiently().await?;
        if let Placed::Sent { bytes, took_ms } = placed {
            let megabytes = bytes.div_ceil(1_000_000);
            let text = format!("{}: the agent was put there ({megabytes} MB in {took_ms} ms)", self.to.name);
            self.world.progress.note(&text);
        }
        Ok(placed)
    }

    async fn place_patiently(&self) -> Result<Placed, Complaint> {
        let mut patience = Patience::new();
        loop {
            let permit = self.world.gate.0.acquire().await.ok();
            let placed = place::place(&self.world.options, &self.to, &self.world.program).await;
            drop(permit);
            if !patience.again(&placed).await {
                return placed;
            }
        }
    }

    async fn open_patiently(&self) -> Result<Connection, Complaint> {
        let mut patience = Patience::new();
        loop {
            let opened = self.open_once().await;
            if !patience.again(&opened).await {
                return opened;
            }
        }
    }

    /// Opens a session with an agent that is as it should be.
    async fn open(&self) -> Result<Connection, Complaint> {
        let opened = self.open_patiently().await;
        let as_it_should_be = match (&opened, self.world.upkeep) {
            (_, Upkeep::Never) | (Ok(_), Upkeep::WhenMissing) => true,
            (Ok(connection), Upkeep::Renew) => {
                let program = self.world.program.read().await;
                // One that cannot be read is told of below, by whoever would send it.
                program.is_ok_and(|program| connection.place.ends_with(&format!("/{}", program.digest)))
            }
            (Err(complaint), Upkeep::WhenMissing | Upkeep::Renew) => complaint.kind != Kind::NoAgent,
        };
        if as_it_should_be {
            return opened;
        }
        if let Ok(mut old) = opened {
            old.at_rest(true);
        }
        self.place().await?;
        self.open_patiently().await
    }

    async fn open_once(&self) -> Result<Connection, Complaint> {
        // The gate is never closed; without a permit there would merely be more at once.
        let _permit = self.world.gate.0.acquire().await.ok();
        let options = &self.world.options;
        let arguments = command::arguments(options, &self.to, &command::agent_line(options));
        let mut command = Command::new(&options.program);
        command.args(arguments.map_err(|error| complaint::not_started(&error))?);
        let limit = options.connect_max + START_MAX;
        let opened = Connection::open(command, &self.to, &self.setup);
        tokio::time::timeout(limit, opened).await.unwrap_or_else(|_| {
            Err(Complaint {
                kind: Kind::Final,
                why: format!("no agent answered within {} s", limit.as_secs()),
                hint: Some(format!("see whether it is there: `ssh {} true`", self.to.address.as_str())),
            })
        })
    }

    fn error(&self, complaint: Complaint) -> TransportError {
        TransportError { host: self.to.name.clone(), why: complaint.why, hint: complaint.hint }
    }
}

/// Whether to try again: for a while, as long as sshd hangs up before anybody is let in, because it refuses bursts.
struct Patience {
    since: Instant,
    tried: u32,
}

impl Patience {
    fn new() -> Patience {
        Patience { since: Instant::now(), tried: 0 }
    }

    /// Waits, and says that it is worth another attempt.
    async fn again<T>(&mut self, tried: &Result<T, Complaint>) -> bool {
        self.tried += 1;
        match tried {
            Err(complaint) if complaint.kind == Kind::Busy && self.since.elapsed() < BUSY_MAX => {
                tracing::debug!(self.tried, why = complaint.why, "ssh again");
                tokio::time::sleep(wait(self.tried)).await;
                true
            }
            _ => false,
        }
    }
}

/// How long to wait after an attempt that failed.
fn wait(attempt: u32) -> Duration {
    let most = WAIT_MS_FIRST.saturating_mul(1 << (attempt - 1).min(16)).min(WAIT_MS_MAX);
    // A hasher is seeded by chance: enough for spreading, and no crate for it.
    let chance = std::hash::RandomState::new().build_hasher().finish();
    Duration::from_millis(most / 2 + chance % (most / 2 + 1))
}

#[async_trait]
impl HostTransport for Ssh {
    async fn call(&self, envelope: Envelope) -> Result<HostReply, TransportError> {
        let limit = limits::answer_max(&envelope.request);
        let mut kept = self.connection.lock().await;
        // Taken out while it is in use: a caller that is dropped half way leaves none behind that would take
        // the old answer for the next question's.
        let alive = kept.as_mut().is_some_and(Connection::is_alive);
        let mut connection = match kept.take().filter(|_| alive) {
            Some(connection) => connection,
            None => self.open().await.map_err(|complaint| self.error(complaint))?,
        };
        connection.at_rest(false);
        match tokio::time::timeout(limit, connection.ask(envelope)).await {
            Ok(Ok(reply)) => {
                connection.at_rest(true);
                *kept = Some(connection);
                Ok(reply)
            }
            Ok(Err(trouble)) => Err(self.error(connection.end(&self.to, trouble).await)),
            Err(_) => Err(TransportError {
                host: self.to.name.clone(),
                why: format!("no answer within {} s", limit.as_secs()),
                hint: Some("see what it does: `unship status`".into()),
            }),
        }
    }
}
