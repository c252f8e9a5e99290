//! What plans are made from, and why none was made.

use std::collections::BTreeSet;

use super::{MissingHost, WaveSize};
use crate::ci::CiProof;
use crate::down::Program;
use crate::evidence::Evidence;
use crate::flags::{FlagName, FlagWas};
use crate::protocol::{Flip, Held, HostState, Instance, InstanceState};
use crate::release::{EnvironmentName, HostName, Release, ServiceName};

/// What one host was seen to have before the plan was made.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The host.
    pub host: HostName,
    /// Its state.
    pub state: HostState,
}

impl HostFacts {
    /// The releases that serve on the host: those of its instances, but for the ones that only finish their
    /// last requests; what it would boot when nothing runs, or what is held. More than one after a flip that was cut off.
    pub fn live(&self) -> Vec<&Release> {
        let mut live: Vec<&Release> = Vec::new();
        for instance in self.serving() {
            if !live.contains(&&instance.release) {
                live.push(&instance.release);
            }
        }
        if live.is_empty() {
            live.extend(match &self.state.held {
                Some(held) => &held.release,
                None => &self.state.current,
            });
        }
        live
    }

    /// The hold that keeps every release from serving here; none while one serves, whatever the host has on record:
    /// a hold that was cut off half way is recorded before anything is stopped.
    pub fn held(&self) -> Option<&Held> {
        self.state.held.as_ref().filter(|_| self.serving().next().is_none())
    }

    /// The instances of releases that do more than to finish their last requests.
    pub(super) fn serving(&self) -> impl Iterator<Item = &Instance> {
        self.state
            .instances
            .iter()
            .filter(|instance| instance.state != InstanceState::Draining && !instance.release.is_hold())
    }

    /// Whether anything of a release is ready here, so that taking it away costs capacity.
    pub(super) fn has_capacity(&self) -> bool {
        self.serving().any(|instance| instance.state == InstanceState::Ready)
    }

    /// What the host serves: the release of its instances if they agree, else what it would boot.
    pub fn serves(&self) -> Option<&Release> {
        match self.live().as_slice() {
            [one] => Some(one),
            _ => self.state.current.as_ref(),
        }
    }

    pub(super) fn has(&self, release: &Release) -> bool {
        self.state.releases.iter().any(|stored| stored.release.digest == release.digest)
    }
}

/// What a deploy's plan is made from.
#[derive(Debug, Clone)]
pub struct DeployFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release to bring out.
    pub release: Release,
    /// The hosts that answered, in the order to flip them.
    pub hosts: Vec<HostFacts>,
    /// The hosts that did not, and that the operator goes on without.
    pub missing: Vec<MissingHost>,
    /// How many hosts are flipped at the same time.
    pub size: WaveSize,
    /// Whether the service has a command that applies its migrations.
    pub migrates: bool,
    /// Whether a smoke command is configured.
    pub smokes: bool,
    /// Releases to keep on the hosts besides what runs.
    pub keep: Vec<Release>,
    /// Set where the user's own command brings releases to the hosts.
    pub command: Option<CommandFacts>,
    /// Whether anything is known only while it is brought out: flags, CI.
    pub records: bool,
    /// Whether the release's own file of flags is put where the service reads it.
    pub installs_flags: bool,
    /// The bad release that this one is a hotfix of, where its migrations are fenced.
    pub unfences: Option<Release>,
}

/// What a rollback's plan is made from.
#[derive(Debug, Clone)]
pub struct RollbackFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release to take back; none when some host only lacks what it should serve already.
    pub bad: Option<Release>,
    /// The release to go back to.
    pub target: Release,
    /// Why.
    pub reason: String,
    /// The hosts that answered, in the order to flip them.
    pub hosts: Vec<HostFacts>,
    /// The hosts that did not: the rollback goes on without them and names them.
    pub missing: Vec<MissingHost>,
    /// The hosts that serve the target, and nothing else, already: they are proved and not flipped.
    pub on_target: Vec<HostName>,
    /// How many hosts are flipped at the same time.
    pub size: WaveSize,
    /// In which order to stop and start: from the failure mode.
    pub flip: Flip,
    /// Nobody knows whether the target runs on the schema: one host tries it before the others.
    pub one_host_first: bool,
    /// Whether a smoke command is configured.
    pub smokes: bool,
    /// Set where the user's own command brings releases to the hosts.
    pub command: Option<CommandFacts>,
    /// The migrations to take down first, newest first; empty where the schema is left alone.
    pub downs: Vec<Program>,
    /// The hosts that the operator leaves out and says to be off: nothing there writes to the database.
    pub left_out: BTreeSet<HostName>,
    /// What `Retry-After` says while the service is held for them, in seconds.
    pub retry_after_s: u32,
    /// The flags to turn off.
    pub flags_off: Vec<FlagWas>,
    /// The flags that somebody turned on and that are left as they are.
    pub flags_left: Vec<FlagName>,
    /// The commit of the target and what is known of its CI; none when no CI is configured.
    pub ci: Option<(Evidence<String>, Evidence<CiProof>)>,
}

/// Why no plan was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The environment has no host.
    #[error("the environment `{environment}` has no host")]
    NoHosts {
        /// The environment.
        environment: EnvironmentName,
    },
    /// Too few hosts serve to take one more away.
    #[error("{serving} of {all} hosts serve, and `capacity_min` wants {needed} to go on serving")]
    NoCapacity {
        /// The hosts that serve.
        serving: usize,
        /// All hosts of the environment.
        all: usize,
        /// How many must go on serving.
        needed: usize,
    },
    /// No host has the target, and a rollback brings nothing over.
    #[error("{target} is not on {}", .hosts.join(", "))]
    TargetNotStored {
        /// The target.
        target: Release,
        /// The hosts that lack it.
        hosts: Vec<String>,
    },
    /// The target is quarantined on a host.
    #[error("{target} is in quarantine on {host}: {reason}")]
    TargetQuarantined {
        /// The target.
        target: Release,
        /// The host.
        host: HostName,
        /// Why it was put there.
        reason: String,
    },
    /// Every host that serves is held already.
    #[error("every host is held already")]
    AlreadyHeld,
    /// No host serves anything.
    #[error("no host serves a release, so there is nothing to hold")]
    NothingToHold,
    /// No host is held.
    #[error("no host is held")]
    NotHeld,
    /// The schema is to change, and a host that is not there may still write to it.
    #[error("no migration is taken down while {} may still run the release", .hosts.join(", "))]
    DownNeedsEveryHost {
        /// The hosts that are away.
        hosts: Vec<String>,
    },
    /// The schema is to change, and nothing here can stop the service meanwhile.
    #[error(
        "no migration is taken down in this run: the user's own deploy command starts and stops the service"
    )]
    DownWithCommand,
    /// The release to take back is the target.
    #[error("{target} is what serves now")]
    SameRelease {
        /// The target.
        target: Release,
    },
}

/// What is known of the user's own deploy command.
#[derive(Debug, Clone)]
pub struct CommandFacts {
    /// What will be run, a line a command.
    pub lines: Vec<String>,
    /// What the command brings out when a deploy goes back: what serves everywhere now, if its tag is known.
    pub from: Option<Release>,
}
