//! Plans: the closed set of steps, in waves, with a digest. A plan is a value; executing it is the app's.
//!
//! Waves come one after the other. Inside a wave the steps of different hosts may run at the same time, those of
//! one host in order. A step of the whole environment is a wave of its own. A step's index counts through all
//! waves, from 0; journal and protocol name steps by it.

mod adopt;
mod build;
mod facts;
mod hold;
mod size;
mod step;

pub use adopt::{AdoptFacts, adopt};
pub use build::{deploy, rollback};
pub use facts::{CommandFacts, DeployFacts, HostFacts, PlanError, RollbackFacts};
pub use hold::{HoldFacts, hold, release_hold};
pub use size::{Share, ShareError, WaveSize};
pub use step::{Moment, OnFailure, Step, Undo};

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::release::{Digest, EnvironmentName, HostName, Release, ServiceName};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Brings a new release out. On failure it goes back by itself.
    Deploy,
    /// Takes over what serves already.
    Adopt,
    /// Takes a release back. It goes on past a failed host and names it.
    Rollback,
    /// Keeps a release from serving while people decide. It goes on past a failed host and names it.
    Hold,
    /// Lets what is held serve again. A host where that fails stays held and is named.
    ReleaseHold,
    /// Sets flags and nothing else. It goes on past a flag that could not be set and names it.
    Flags,
}

impl RunKind {
    /// The verb, as the command line has it.
    pub fn verb(self) -> &'static str {
        match self {
            RunKind::Deploy => "deploy",
            RunKind::Adopt => "adopt",
            RunKind::Rollback => "rollback",
            RunKind::Hold => "hold",
            RunKind::ReleaseHold => "release the hold of",
            RunKind::Flags => "set flags of",
        }
    }
}

/// Steps that may run at the same time where their hosts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// The steps; those of one host in the order in which they are done.
    pub steps: Vec<Step>,
}

impl Wave {
    /// A step that has the environment to itself.
    pub fn alone(step: Step) -> Wave {
        Wave { steps: vec![step] }
    }

    /// The steps as a wave; none where there are none.
    pub fn of(steps: Vec<Step>) -> Option<Wave> {
        (!steps.is_empty()).then_some(Wave { steps })
    }
}

/// What to do, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What the run is for.
    pub kind: RunKind,
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// What serves now, as far as the hosts agree.
    pub from: Option<Release>,
    /// What must serve afterwards.
    pub to: Release,
    /// Why, in the operator's or the program's words.
    pub reason: String,
    /// The steps, in waves.
    pub waves: Vec<Wave>,
    /// The hosts that the plan goes on without, because they did not answer. A run that leaves a host out is
    /// never complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<MissingHost>,
}

/// A host that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingHost {
    /// The host.
    pub host: HostName,
    /// Why nothing is known of it.
    pub why: String,
}

impl Plan {
    /// All steps, by their index.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }

    /// The step of that index.
    pub fn step(&self, index: usize) -> Option<&Step> {
        self.steps().nth(index)
    }

    /// The indexes of each wave's steps.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        let mut from = 0;
        let ranges = self.waves.iter().map(|wave| {
            let range = from..from + wave.steps.len();
            from = range.end;
            range
        });
        ranges.collect()
    }

    /// The digest that an operator's yes refers to: another plan has another digest.
    pub fn digest(&self) -> Digest {
        // A plan has only string keys and no floats, so its JSON cannot fail and is the same every time.
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// What the run is, in a few words: `rollback v1.4.0 -> v1.3.2`.
    pub fn title(&self) -> String {
        let verb = self.kind.verb();
        if let (RunKind::Flags, Some(step)) = (self.kind, self.step(0)) {
            return step.title();
        }
        match &self.from {
            Some(from) if *from != self.to => format!("{verb} {from} -> {}", self.to),
            _ => format!("{verb} {}", self.to),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
