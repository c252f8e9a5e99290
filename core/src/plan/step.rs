//! The closed set of steps.

use serde::{Deserialize, Serialize};

use crate::protocol::Flip;
use crate::release::{HostName, Release};

/// One step of a plan. Each has a do and a check in the app's executor, and says here what its undo is and
/// what its failure means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Brings a release's files onto a host and publishes them there.
    Stage {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
    },
    /// Runs the service's own migrations up to the release's newest, once, with the release's own program.
    MigrateUp {
        /// The release whose migrations are applied.
        release: Release,
    },
    /// Marks a release as bad in the ledger and on a host, so that nothing starts it there again.
    Quarantine {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
        /// Why.
        reason: String,
    },
    /// Makes a host serve `to`, and `to` only.
    Flip {
        /// The host.
        host: HostName,
        /// What it served before; none when it served nothing.
        from: Option<Release>,
        /// What it must serve.
        to: Release,
        /// In which order to stop and start.
        flip: Flip,
    },
    /// Proves from outside that a host serves the release: executable, instances, probes.
    Prove {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
    },
    /// Runs the configured smoke command once against the environment.
    Smoke {
        /// The release that must pass.
        release: Release,
    },
    /// Removes stored releases beyond the configured number from a host.
    Prune {
        /// The host.
        host: HostName,
        /// The releases to keep besides what is current or running.
        keep: Vec<Release>,
    },
}

/// What taking a step back means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Nothing has to be done: what the step left does no harm.
    Nothing,
    /// Doing this step instead.
    Step(Box<Step>),
    /// Lifting the quarantine of the release on the host.
    LiftQuarantine {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
    },
    /// Making the host serve nothing again, as it was before.
    ServeNothing {
        /// The host.
        host: HostName,
    },
    /// It cannot be taken back by this run; the text says what that means.
    PointOfNoReturn(&'static str),
}

/// What the failure of a step means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo what was done, in reverse.
    GoBack,
    /// Skip the host's later steps, go on with the others, name it at the end.
    PassOver,
    /// Go on with everything else, and call the run incomplete at its end.
    GoOn,
    /// Say it and go on: what the run promises does not hang on it.
    Note,
}

impl Step {
    /// The host that the step acts on; none for steps of the whole environment.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Step::Stage { host, .. }
            | Step::Quarantine { host, .. }
            | Step::Flip { host, .. }
            | Step::Prove { host, .. }
            | Step::Prune { host, .. } => Some(host),
            Step::MigrateUp { .. } | Step::Smoke { .. } => None,
        }
    }

    /// What taking it back means.
    pub fn undo(&self) -> Undo {
        match self {
            Step::Stage { .. } | Step::Prove { .. } | Step::Smoke { .. } => Undo::Nothing,
            Step::MigrateUp { .. } => {
                Undo::PointOfNoReturn("the migrations stay applied; taking one down is a decision of its own")
            }
            Step::Quarantine { host, release, .. } => {
                Undo::LiftQuarantine { host: host.clone(), release: release.clone() }
            }
            Step::Flip { host, from: Some(from), to, .. } => Undo::Step(Box::new(Step::Flip {
                host: host.clone(),
                from: Some(to.clone()),
                to: from.clone(),
                flip: Flip::Overlap,
            })),
            Step::Flip { host, from: None, .. } => Undo::ServeNothing { host: host.clone() },
            Step::Prune { .. } => Undo::PointOfNoReturn("removed releases have to be staged again"),
        }
    }

    /// The step in a few words, for the plan and for progress.
    pub fn title(&self) -> String {
        match self {
            Step::Stage { host, release } => format!("stage {release} on {host}"),
            Step::MigrateUp { release } => format!("apply the migrations of {release}"),
            Step::Quarantine { host, release, .. } => format!("quarantine {release} on {host}"),
            Step::Flip { host, to, .. } => format!("flip {host} to {to}"),
            Step::Prove { host, release } => format!("prove {release} on {host}"),
            Step::Smoke { release } => format!("smoke test of {release}"),
            Step::Prune { host, .. } => format!("remove old releases from {host}"),
        }
    }
}
