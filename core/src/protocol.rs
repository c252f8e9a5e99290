//! What a host is asked and what it answers. Closed, versioned, and the same in process and over a pipe.
//!
//! Every request carries (run, step, attempt, epoch). The host owns the epoch: it compares inside its lock,
//! so an operator who was thought dead and comes back cannot change anything (see [`Refusal::StaleEpoch`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capsule::{Capsule, Manifest};
use crate::release::{Digest, Release, RunId, ServiceName, Tag};
use crate::running::RunningUnit;
use crate::time::Timestamp;

mod setup;

pub use setup::{FlipOrder, HostSetup, Manager, OverlapGap, SystemdUnit, UnitFlip};

/// The protocol this program speaks. Both sides send it first; a difference is refused by name.
pub const PROTOCOL_VERSION: u32 = 1;

/// The fencing number of a run on an environment's hosts: a run takes the highest one seen plus one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Who runs, since when, and what: what the loser of a race is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// `user@machine`.
    pub who: String,
    /// When the run began, on the operator's clock.
    pub since: Timestamp,
    /// What it does, for example `rollback v1.4.0 -> v1.3.2`.
    pub what: String,
}

/// One request to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub version: u32,
    /// The run that asks.
    pub run: RunId,
    /// The index of the step in the run's plan.
    pub step: u32,
    /// 1 for the first attempt of a step.
    pub attempt: u32,
    /// The run's epoch; what [only reads](HostRequest::only_reads) is answered whatever it is.
    pub epoch: Epoch,
    /// What is asked.
    pub request: HostRequest,
}

/// What a host can be asked to do. Reading requests change nothing; the others are refused unless the
/// envelope's epoch is the one that this run claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum HostRequest {
    /// Reads what the host has and runs.
    Observe,
    /// Reads whose the host is.
    Whose,
    /// Reads every file of a stored release and compares it with its manifest.
    Verify {
        /// The release that must be there.
        release: Release,
    },
    /// Reads what systemd units run, whoever put it there.
    Look {
        /// Their names, for example `shithubd.service`.
        units: Vec<String>,
    },
    /// Claims the host for the envelope's run and epoch, which must be higher than any claimed before.
    Claim {
        /// Who claims it.
        holder: Holder,
    },
    /// Ends the claim of the envelope's run; the epoch stays as it is.
    Unclaim,
    /// Opens the staging of a release; the answer says which bytes are missing.
    Stage {
        /// Its files.
        manifest: Manifest,
    },
    /// Adds bytes to a file that is being staged.
    Write {
        /// The release that is being staged.
        digest: Digest,
        /// The file, as the manifest names it.
        path: String,
        /// Where the bytes go: must be the file's present length.
        offset: u64,
        /// The bytes, at most [`WRITE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Checks every staged file and publishes the release atomically and read-only.
    Publish {
        /// The release that was staged.
        digest: Digest,
        /// What travels with it.
        capsule: Box<Capsule>,
    },
    /// Brings the host to the desired state; asking twice does nothing the second time.
    Converge {
        /// What must be true afterwards.
        desired: Box<Desired>,
    },
    /// Marks a release as one that must not be started here again.
    Quarantine {
        /// The release.
        release: Release,
        /// Why.
        reason: String,
    },
    /// Takes the mark away.
    LiftQuarantine {
        /// The release.
        release: Release,
    },
    /// Stores the program that a unit runs as a release, and makes it the current one. Nothing that serves is
    /// touched.
    Adopt {
        /// What to take over.
        adoption: Box<Adoption>,
    },
    /// Removes stored releases that are not named, not current and not running.
    Prune {
        /// What to keep besides.
        keep: Vec<Digest>,
    },
}

/// The most bytes in one [`HostRequest::Write`].
pub const WRITE_BYTES_MAX: usize = 4 << 20;

impl HostRequest {
    /// Whether the request changes nothing and is answered whatever the epoch.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            HostRequest::Observe | HostRequest::Whose | HostRequest::Verify { .. } | HostRequest::Look { .. }
        )
    }
}

/// A running install that becomes a release of unship's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The release: the one file that the unit executes.
    pub manifest: Manifest,
    /// What travels with it.
    pub capsule: Capsule,
    /// The systemd unit whose main process executes that file.
    pub unit: String,
    /// Units whose `ExecStartPre=` a drop-in takes away, because it applies the release's own migrations at
    /// every start: after a rollback those of the older release, on the newer schema.
    pub without_start_pre: Vec<String>,
}

/// What must be true of a service on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// How the service runs.
    pub service: ServiceSpec,
    /// What it must serve.
    pub serve: Serve,
    /// In which order to stop and start.
    pub flip: Flip,
}

/// What a host must serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "serve", rename_all = "snake_case")]
pub enum Serve {
    /// This release, on every unit, and no other.
    Release {
        /// The release.
        release: Release,
    },
    /// Nothing: every instance is stopped; the listener stays open under the child runner.
    Nothing,
    /// Nothing but 503 with `Retry-After`, on every unit that has a listener; the other units are stopped.
    /// The instances that answer carry [`Release::hold`]. Outlives a reboot, and ends when the host is made to
    /// serve a release or nothing.
    Hold {
        /// What `Retry-After` says, in seconds.
        retry_after_s: u32,
    },
}

/// The order of a flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Start the target beside the other, wait until it is ready, prove it, then stop the other.
    Overlap,
    /// Stop the other first: for code that does harm while it runs. New connections wait in the listener.
    StopFirst,
}

/// How a service runs on a host; from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// Where its releases are kept: `<root>/releases/<tag>/`, `<root>/current`.
    pub root: String,
    /// Its units, in start order.
    pub units: Vec<UnitSpec>,
    /// How long a unit may take to get ready.
    pub ready_ms_max: u64,
    /// How long a stopped instance may take to finish its requests before it is killed.
    pub drain_ms_max: u64,
}

/// One unit of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSpec {
    /// Its name, for example `web`.
    pub name: String,
    /// The command: the first word is a path inside the release.
    pub command: Vec<String>,
    /// The address to listen on, handed to the process as a socket; none for a worker.
    pub listen: Option<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Whether the process says READY=1; without it a unit is ready when it has run for a moment.
    pub notify: bool,
    /// How long to wait before a failed process is started again.
    pub restart_delay_ms: u64,
    /// What systemd calls it; none under the child runner.
    #[serde(default)]
    pub systemd: Option<SystemdUnit>,
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum HostReply {
    /// To [`HostRequest::Observe`].
    Observed {
        /// The state.
        state: Box<HostState>,
    },
    /// To [`HostRequest::Whose`].
    Whose {
        /// Its epoch record; none when it was never claimed.
        record: Option<EpochRecord>,
    },
    /// To [`HostRequest::Look`].
    Looked {
        /// The units, in the order in which they were named.
        units: Vec<RunningUnit>,
    },
    /// To [`HostRequest::Stage`]: what is still missing; empty when the release is already published.
    Staging {
        /// Path and how many bytes of it are here.
        missing: Vec<MissingFile>,
        /// The release is published and verified already.
        published: bool,
    },
    /// The request was carried out, or was true already.
    Done {
        /// What was done, in order, for the journal and for `--print-commands`.
        actions: Vec<Action>,
    },
    /// The request was tried and failed; what the host was left as.
    Failed {
        /// Why, in one sentence.
        error: String,
        /// What can be run to see or mend it.
        hint: Option<String>,
        /// True when the host serves what it served before.
        unchanged: bool,
        /// What was done before it failed.
        actions: Vec<Action>,
    },
    /// The request was not tried.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}

/// One thing that a host did, with how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// For example `start web@v1.3.2` or `stop web@v1.4.0 (drained)`.
    pub what: String,
    /// Microseconds.
    pub took_us: u64,
}

/// How the action is called that stands for a time in which nothing listened; the unit's name follows.
const GAP: &str = "not listening: ";

impl Action {
    /// For so long nothing listened for a unit: a flip that cannot overlap, as the host measured it.
    pub fn gap(unit: &str, took_us: u64) -> Action {
        Action { what: format!("{GAP}{unit}"), took_us }
    }

    /// The unit for which nothing listened, if that is what the action stands for.
    pub fn gap_of(&self) -> Option<&str> {
        self.what.strip_prefix(GAP)
    }
}

/// How much of a staged file is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFile {
    /// The file, as the manifest names it.
    pub path: String,
    /// Bytes that are here already.
    pub have: u64,
}

/// Why a host did not try what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    /// The other side speaks another protocol.
    #[error("the host speaks protocol {host}, the operator {operator}")]
    Protocol {
        /// What the host speaks.
        host: u32,
        /// What was sent.
        operator: u32,
    },
    /// Another run claimed the host since: this operator is no longer the one who acts.
    #[error("epoch {yours} is over: {} has the host with epoch {}", .now.holder.who, .now.epoch.0)]
    StaleEpoch {
        /// The epoch that was sent.
        yours: u64,
        /// Who has it now.
        now: Box<EpochRecord>,
    },
    /// The run never claimed this host.
    #[error("the host was not claimed by this run")]
    NotClaimed,
    /// The release is in quarantine here.
    #[error("{tag} is in quarantine on this host: {reason}")]
    Quarantined {
        /// Its tag.
        tag: Tag,
        /// Why.
        reason: String,
    },
}

/// The content of a host's epoch file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The highest epoch ever claimed here.
    pub epoch: Epoch,
    /// Who claimed it.
    pub holder: Holder,
    /// Whether the run said that it ended.
    pub ended: bool,
}

/// What a host has and runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// Version of the agent.
    pub agent: String,
    /// Machine architecture, for example `x86_64`.
    pub architecture: String,
    /// The epoch file, if any run ever claimed this host.
    pub epoch: Option<EpochRecord>,
    /// The stored releases, oldest first.
    pub releases: Vec<StoredRelease>,
    /// What would be started at boot.
    pub current: Option<Release>,
    /// What runs.
    pub instances: Vec<Instance>,
    /// The latest ends of instances, oldest first, at most 1,000.
    pub exits: Vec<InstanceExit>,
    /// Releases in quarantine.
    pub quarantined: Vec<QuarantinedRelease>,
    /// Free bytes where releases are stored.
    pub disk_free_bytes: u64,
    /// Memory that can be had without swapping.
    pub memory_available_bytes: u64,
    /// Set while the host is held.
    #[serde(default)]
    pub held: Option<Held>,
    /// In which order each unit is flipped here, and why; empty under the child runner, which overlaps.
    #[serde(default)]
    pub flips: Vec<UnitFlip>,
    /// What is damaged on the host and was passed over, each in one sentence that names the file.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// That a host is held: it answers 503 instead of serving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What it would serve otherwise; none when it served nothing.
    pub release: Option<Release>,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u32,
    /// Whose run holds it, since when and why: the claim under which it was held.
    pub by: Holder,
}

/// A release on a host's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRelease {
    /// What it is.
    pub release: Release,
    /// Its size.
    pub bytes: u64,
    /// When it was published.
    pub published_at: Timestamp,
}

/// A release that must not run on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedRelease {
    /// What it is.
    pub release: Release,
    /// Why.
    pub reason: String,
}

/// What an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Started, not ready yet.
    Starting,
    /// Ready, and serving where it has a listener.
    Ready,
    /// Told to stop; finishing its requests.
    Draining,
    /// Ended by itself; waiting to be started again.
    Restarting,
    /// Ended by itself, and nothing starts it again: systemd gave up.
    Failed,
}

/// A running instance of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The unit.
    pub unit: String,
    /// The release that it was started from.
    pub release: Release,
    /// Whether /proc shows that its executable is the release's verified file.
    pub proved: bool,
    /// Process id; 0 while it waits for its restart.
    pub pid: u32,
    /// Changes at every start of the process (systemd's InvocationID, or the child runner's).
    pub invocation: String,
    /// What it is doing.
    pub state: InstanceState,
    /// How often it ended by itself and was started again.
    pub restarts: u32,
    /// When the present process was started.
    pub started_at: Timestamp,
    /// Microseconds from start to ready of the present process.
    pub ready_after_us: Option<u64>,
    /// Whether the instance still has the unit's listening socket open, and so may still take new connections
    /// off it: SIGTERM alone takes it from nobody. False for a unit without a listener. Where it cannot be
    /// seen, true for one that drains: what is not known is not safe.
    #[serde(default)]
    pub listening: bool,
}

/// The end of an instance's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceExit {
    /// The unit.
    pub unit: String,
    /// The release that it was started from.
    pub release: Release,
    /// Process id.
    pub pid: u32,
    /// The invocation that ended.
    pub invocation: String,
    /// When.
    pub at: Timestamp,
    /// Whether unship had sent it a signal before it ended.
    pub asked: bool,
    /// Exit code, or the negative signal number, or [`EXIT_STATUS_UNKNOWN`].
    pub status: i32,
}

/// The status of a process that ended while nobody could see how: its parent had been killed before.
pub const EXIT_STATUS_UNKNOWN: i32 = i32::MIN;
