//! The few calls of org.freedesktop.systemd1(5) that a flip needs. Every one has a limit, and every job is
//! waited for until systemd says how it ended.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

use super::SystemdError;

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How long a question may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long systemd may take to read all units anew: it runs all generators for it.
const RELOAD_LIMIT: Duration = Duration::from_secs(90);
/// How long to wait for a bus.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How many ended jobs are remembered until somebody asks for them.
const JOBS_MAX: usize = 1_000;

/// The properties of a unit, those of its kind as well.
pub(super) type Properties = HashMap<String, OwnedVariant>;

/// A loaded unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) load_state: String,
    pub(super) active_state: String,
    pub(super) sub_state: String,
}

/// One of systemd's answers: name, description, load, active and sub state, what it follows, path, job.
type ListedRow =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Jobs that ended, latest last, with how.
type Ended = Arc<Mutex<VecDeque<(OwnedObjectPath, String)>>>;

/// What to do with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Reload,
}

impl Verb {
    fn method(self) -> &'static str {
        match self {
            Verb::Start => "StartUnit",
            Verb::Stop => "StopUnit",
            Verb::Reload => "ReloadUnit",
        }
    }
}

/// A job that systemd works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    path: OwnedObjectPath,
}

/// A connection to systemd. It hears of every change of a unit from the moment it is made.
pub(super) struct Bus {
    // Dropped in the background: the one who drops it may be in another runtime.
    runtime: Option<Runtime>,
    connection: Connection,
    changes: watch::Receiver<u64>,
    ended: Ended,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bus {
    /// Connects to the system bus and asks systemd to tell of changes.
    pub(super) fn connect() -> Result<Bus, SystemdError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let ended = Ended::default();
        let connected = runtime.block_on(async {
            let connecting = connect_and_listen(Arc::clone(&ended));
            tokio::time::timeout(CONNECT_LIMIT, connecting).await
        });
        let (connection, changes) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(SystemdError::NoBus { why: error.to_string() }),
            Err(_) => {
                let why = format!("no answer within {} ms", CONNECT_LIMIT.as_millis());
                return Err(SystemdError::NoBus { why });
            }
        };
        Ok(Bus { runtime: Some(runtime), connection, changes, ended })
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, SystemdError> {
        // It is taken only by drop.
        match &self.runtime {
            Some(runtime) => Ok(runtime.block_on(future)),
            None => Err(SystemdError::NoBus { why: "the connection was given up".to_owned() }),
        }
    }

    fn call<B, T>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
        limit: Duration,
    ) -> Result<T, SystemdError>
    where
        B: serde::Serialize + zbus::DynamicType + std::fmt::Debug,
        T: serde::de::DeserializeOwned + zbus::Type,
    {
        let what = || format!("{method} {body:?}");
        let answered = self.block_on(async {
            let call = self.connection.call_method(Some(SERVICE), path, Some(interface), method, body);
            tokio::time::timeout(limit, call).await
        })?;
        let message = match answered {
            Ok(Ok(message)) => message,
            Ok(Err(zbus::Error::InputOutput(error))) => {
                return Err(SystemdError::NoBus { why: error.to_string() });
            }
            Ok(Err(error)) => return Err(SystemdError::Refused { what: what(), why: error.to_string() }),
            Err(_) => {
                let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                return Err(SystemdError::Silent { what: what(), limit_ms });
            }
        };
        let read = message.body().deserialize::<T>();
        read.map_err(|error| SystemdError::Unreadable { what: what(), why: error.to_string() })
    }

    fn manager<B, T>(&self, method: &str, body: &B) -> Result<T, SystemdError>
    where
        B: serde::Serialize + zbus::DynamicType + std::fmt::Debug,
        T: serde::de::DeserializeOwned + zbus::Type,
    {
        self.call(MANAGER_PATH, MANAGER, method, body, CALL_LIMIT)
    }

    /// The loaded units whose names match one of the patterns of glob(7).
    pub(super) fn list(&self, patterns: &[String]) -> Result<Vec<Listed>, SystemdError> {
        let states: Vec<String> = Vec::new();
        let rows: Vec<ListedRow> = self.manager("ListUnitsByPatterns", &(states, patterns))?;
        let listed =
            |row: ListedRow| Listed { name: row.0, load_state: row.2, active_state: row.3, sub_state: row.4 };
        Ok(rows.into_iter().map(listed).collect())
    }

    /// All properties of a unit, which systemd reads if it has not. All interfaces at once: a unit that nothing uses is
    /// forgotten between two questions and read for each anew.
    pub(super) fn properties(&self, unit: &str) -> Result<Properties, SystemdError> {
        self.call(&unit_path(unit), PROPERTIES, "GetAll", &("",), CALL_LIMIT)
    }

    /// Has systemd begin a job that takes the place of any other of the unit.
    pub(super) fn begin(&self, verb: Verb, unit: &str) -> Result<Job, SystemdError> {
        let path: OwnedObjectPath = self.manager(verb.method(), &(unit, "replace"))?;
        Ok(Job { path })
    }

    /// systemd's word for how the job ended, or nothing when the limit is reached first.
    pub(super) fn wait_job(&mut self, job: &Job, limit: Duration) -> Result<Option<String>, SystemdError> {
        let deadline = Instant::now() + limit;
        loop {
            let result = {
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                ended.iter().find(|(path, _)| *path == job.path).map(|(_, result)| result.clone())
            };
            if result.is_some() {
                return Ok(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.wait_change(left)?;
        }
    }

    /// Waits until systemd tells of any change that was not waited for yet, at most `limit`.
    pub(super) fn wait_change(&mut self, limit: Duration) -> Result<(), SystemdError> {
        let mut changes = self.changes.clone();
        let heard = self.block_on(async {
            let heard = tokio::time::timeout(limit, changes.changed()).await;
            // What else came with it needs no look of its own.
            tokio::task::yield_now().await;
            heard
        })?;
        changes.mark_unchanged();
        self.changes = changes;
        match heard {
            Ok(Err(_)) => Err(SystemdError::NoBus { why: "the bus hung up".to_owned() }),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Takes away what failed starts left: state, counters, start limits.
    pub(super) fn reset_failed(&self, unit: &str) -> Result<(), SystemdError> {
        match self.manager::<_, ()>("ResetFailedUnit", &(unit,)) {
            // A unit that is not loaded has nothing to reset.
            Err(SystemdError::Refused { why, .. }) if why.contains("NoSuchUnit") => Ok(()),
            reset => reset,
        }
    }

    /// Sends SIGKILL to every process of a unit.
    pub(super) fn kill(&self, unit: &str) -> Result<(), SystemdError> {
        match self.manager::<_, ()>("KillUnit", &(unit, "all", rustix::process::Signal::KILL.as_raw())) {
            Err(SystemdError::Refused { why, .. }) if why.contains("NoSuch") => Ok(()),
            killed => killed,
        }
    }

    /// Has systemd read all units anew.
    pub(super) fn reload(&self) -> Result<(), SystemdError> {
        self.call(MANAGER_PATH, MANAGER, "Reload", &(), RELOAD_LIMIT)
    }
}

/// Where systemd has a unit, as its bus names have it: what is no letter or digit, and a digit in front, is written as
/// `_` with two hexadecimal digits (sd_bus_path_encode(3)).
fn unit_path(unit: &str) -> String {
    let mut path = format!("{MANAGER_PATH}/unit/");
    for (index, byte) in unit.bytes().enumerate() {
        match byte {
            b'0'..=b'9' if index > 0 => path.push(char::from(byte)),
            b'a'..=b'z' | b'A'..=b'Z' => path.push(char::from(byte)),
            byte => path.push_str(&format!("_{byte:02x}")),
        }
    }
    path
}

async fn connect_and_listen(ended: Ended) -> zbus::Result<(Connection, watch::Receiver<u64>)> {
    let connection = Connection::system().await?;
    let rule =
        MatchRule::builder().msg_type(Type::Signal).sender(SERVICE).path_namespace(MANAGER_PATH).build()?;
    let stream = MessageStream::for_match_rule(rule, &connection, None).await?;
    let empty = ();
    connection.call_method(Some(SERVICE), MANAGER_PATH, Some(MANAGER), "Subscribe", &empty).await?;
    let (told, changes) = watch::channel(0);
    tokio::spawn(listen(stream, told, ended));
    Ok((connection, changes))
}

/// Hears every signal at once: a queue that nobody empties would hold back the answers behind it.
async fn listen(mut stream: MessageStream, told: watch::Sender<u64>, ended: Ended) {
    use futures_util::StreamExt;
    while let Some(message) = stream.next().await {
        let Ok(message) = message else { continue };
        let header = message.header();
        if header.member().is_some_and(|member| member.as_str() == "JobRemoved") {
            let body = message.body().deserialize::<(u32, OwnedObjectPath, String, String)>();
            if let Ok((_, path, _, result)) = body {
                let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                if ended.len() == JOBS_MAX {
                    ended.pop_front();
                }
                ended.push_back((path, result));
            }
        }
        told.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
