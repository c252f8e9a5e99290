//! Plans: the closed set of steps, in order, with a digest. A plan is a value; executing it is the app's.

mod build;
mod step;

pub use build::{DeployFacts, HostFacts, PlanError, RollbackFacts, deploy, rollback};
pub use step::{OnFailure, Step, Undo};

use serde::{Deserialize, Serialize};

use crate::release::{Digest, EnvironmentName, Release, ServiceName};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Brings a new release out. On failure it goes back by itself.
    Deploy,
    /// Takes a release back. It goes on past a failed host and names it.
    Rollback,
}

impl RunKind {
    /// The verb, as the command line has it.
    pub fn verb(self) -> &'static str {
        match self {
            RunKind::Deploy => "deploy",
            RunKind::Rollback => "rollback",
        }
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
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The digest that an operator's yes refers to: another plan has another digest.
    pub fn digest(&self) -> Digest {
        // A plan has only string keys and no floats, so its JSON cannot fail and is the same every time.
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// What the run is, in a few words: `rollback v1.4.0 -> v1.3.2`.
    pub fn title(&self) -> String {
        let verb = self.kind.verb();
        match &self.from {
            Some(from) if *from != self.to => format!("{verb} {from} -> {}", self.to),
            _ => format!("{verb} {}", self.to),
        }
    }
}

#[cfg(test)]
mod tests;
