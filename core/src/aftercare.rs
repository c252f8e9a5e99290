//! What people are told after a rollback. The notice is a value; couriers bring it.

use serde::{Deserialize, Serialize};

use crate::journal::{Outcome, State};
use crate::plan::RunKind;
use crate::release::{EnvironmentName, Release, RunId, ServiceName};
use crate::time::Timestamp;

/// What is to be told of an ended rollback. Its key is the run: telling it twice tells it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The run.
    pub run: RunId,
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Who did it.
    pub who: String,
    /// What was taken back.
    pub from: Option<Release>,
    /// What serves now.
    pub to: Release,
    /// Why.
    pub reason: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub at: Timestamp,
}

impl Notice {
    /// The notice of a run; none for a run that has not ended, was no rollback, or never began: a rollback that
    /// began never goes back.
    pub fn of(state: &State) -> Option<Notice> {
        let outcome = state.outcome.filter(|outcome| *outcome != Outcome::WentBack)?;
        (state.plan.kind == RunKind::Rollback).then(|| Notice {
            run: state.holder.run.clone(),
            service: state.plan.service.clone(),
            environment: state.plan.environment.clone(),
            who: state.holder.who.clone(),
            from: state.plan.from.clone(),
            to: state.plan.to.clone(),
            reason: state.plan.reason.clone(),
            outcome,
            at: state.holder.since,
        })
    }

    /// The notice on one line, without its time. Line breaks in what an operator typed become spaces, so that
    /// nobody can write a second notice with `--reason`.
    pub fn line(&self) -> String {
        let from = self.from.as_ref().map_or("nothing", |from| from.tag.as_str());
        let outcome = match self.outcome {
            Outcome::Completed => "completed",
            Outcome::Partial => "in part",
            Outcome::WentBack => "went back",
            Outcome::WentBackPartly => "went back, but not everywhere",
        };
        let Notice { run, service, environment, who, to, reason, .. } = self;
        let line =
            format!("{service} {environment}: {from} -> {to}, {reason}; {outcome}; by {who}, run {run}");
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

#[cfg(test)]
mod tests;
