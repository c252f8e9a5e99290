//! The notice.

use serde::{Deserialize, Serialize};

use super::mask::mask;
use crate::decision::Decided;
use crate::explain::{self, Owed, Tone};
use crate::journal::{Entry, Event, Outcome, Pulse, State, StepState};
use crate::plan::{RunKind, Step};
use crate::release::{Digest, EnvironmentName, Release, RunId, ServiceName};
use crate::time::Timestamp;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A release was taken back.
    Rollback,
    /// What serves now is not known to have passed CI: an incident of its own.
    Untested,
}

impl Kind {
    /// The word, as keys and lists have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Rollback => "rollback",
            Kind::Untested => "untested",
        }
    }
}

/// Something that happened in the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What, in a few words.
    pub text: String,
    /// How good that is.
    pub tone: Tone,
}

/// What is to be told of an ended rollback. Its key is run and kind: telling it twice tells it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: Kind,
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
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What was decided, and from what; runs of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// How the service answered meanwhile, host by host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pulses: Vec<Pulse>,
    /// What failed and why.
    pub failures: Vec<String>,
    /// What is owed now.
    pub owed: Vec<Owed>,
}

impl Notice {
    /// What a run did, from its journal; none while it has not ended.
    pub fn of_run(state: &State, entries: &[Entry]) -> Option<Notice> {
        let ended = entries.last().map_or(state.holder.since, |last| last.at);
        Some(Notice {
            kind: Kind::Rollback,
            run: state.holder.run.clone(),
            service: state.plan.service.clone(),
            environment: state.plan.environment.clone(),
            who: state.holder.who.clone(),
            from: state.plan.from.clone(),
            to: state.plan.to.clone(),
            reason: mask(&state.plan.reason),
            outcome: state.outcome?,
            at: state.holder.since,
            took_ms: ended.since_ms(state.holder.since),
            decided: state.decided.as_deref().cloned(),
            timeline: entries.iter().map(|entry| moment(entry, state)).collect(),
            pulses: pulses(entries),
            failures: failures(state),
            owed: if state.plan.kind == RunKind::Rollback { explain::owed(state) } else { Vec::new() },
        })
    }

    /// The notices of a run, from its journal; none for a run that has not ended, was no rollback, or never began:
    /// a rollback that began never goes back.
    pub fn all(state: &State, entries: &[Entry]) -> Vec<Notice> {
        let told =
            |notice: &Notice| notice.outcome != Outcome::WentBack && state.plan.kind == RunKind::Rollback;
        let mut all: Vec<Notice> = Notice::of_run(state, entries).filter(told).into_iter().collect();
        // CI that is not green takes nothing back: it is an incident of its own.
        let confirmed = |(step, now): (&Step, &StepState)| {
            matches!(step, Step::ConfirmCi { .. }) && *now == StepState::Failed
        };
        if state.plan.steps().zip(&state.steps).any(confirmed) {
            all.extend(all.first().map(|notice| Notice { kind: Kind::Untested, ..notice.clone() }));
        }
        all
    }

    /// What two notices share that tell of the same failure: service, environment and failure mode. Nobody knows
    /// whether two failures of which the mode is not known are the same, so then the release counts too.
    pub fn failure_key(&self) -> String {
        let mode = self.decided.as_ref().map(|decided| decided.facts.mode);
        let mut words = format!("{} {} {}", self.service, self.environment, self.kind.name());
        match mode {
            Some(mode) if mode != crate::decision::FailureMode::Unsure => {
                words.push_str(&format!(" {mode}"));
            }
            _ => words.push_str(&self.from.as_ref().map(|from| from.digest.to_string()).unwrap_or_default()),
        }
        Digest::of(words.as_bytes()).to_string().chars().filter(char::is_ascii_hexdigit).take(16).collect()
    }

    /// The failure mode in words.
    pub fn mode_words(&self) -> &str {
        self.decided.as_ref().map_or("mode not given", |decided| decided.facts.mode.words())
    }
}

fn moment(entry: &Entry, state: &State) -> Moment {
    let said = explain::event(&entry.event, state);
    Moment { at: entry.at, text: mask(&said.to_string()), tone: said.tone }
}

fn pulses(entries: &[Entry]) -> Vec<Pulse> {
    let of = |entry: &Entry| match &entry.event {
        Event::Finished { pulses, .. } => Some(pulses.clone()),
        _ => None,
    };
    entries.iter().rev().find_map(of).unwrap_or_default()
}

fn failures(state: &State) -> Vec<String> {
    let failed = |index: &usize| state.steps.get(*index) != Some(&StepState::Done);
    let failures = state.failures.iter().filter(|(index, _)| failed(index));
    failures
        .map(|(index, failure)| {
            let title = state.plan.step(*index).map(Step::title).unwrap_or_default();
            mask(&format!("{title}: {}", failure.error))
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests;
