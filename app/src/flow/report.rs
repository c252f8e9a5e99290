//! What came of a run, as a value: half done is a value too.

use serde::Serialize;
use unship_core::journal::{Outcome, State, StepState};
use unship_core::plan::{RunKind, Undo};
use unship_core::release::{Release, RunId};
use unship_core::time::Timestamp;

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step in a few words.
    pub title: String,
    /// `done`, `failed`, `not_tried`, `undone`, `undo_failed` or `unknown`.
    pub state: &'static str,
    /// Why it failed.
    pub error: Option<String>,
    /// What to run.
    pub hint: Option<String>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// What it was for.
    pub kind: RunKind,
    /// What served before.
    pub from: Option<Release>,
    /// What was to serve.
    pub to: Release,
    /// How it ended; none when it was stopped between two steps.
    pub outcome: Option<Outcome>,
    /// Why it turned round.
    pub turned_because: Option<String>,
    /// Its steps.
    pub steps: Vec<StepReport>,
    /// What it leaves that it could not take back, when it went back.
    pub left: Vec<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When the last step ended.
    pub ended_at: Timestamp,
    /// Milliseconds from the one to the other.
    pub took_ms: u64,
}

impl RunReport {
    /// Sums up a run.
    pub fn of(state: &State, ended_at: Timestamp) -> RunReport {
        let steps = state.plan.steps.iter().zip(&state.steps).enumerate().map(|(index, (step, now))| {
            let failure = state.failures.get(&index).filter(|_| *now != StepState::Done);
            StepReport {
                title: step.title(),
                state: match now {
                    StepState::NotTried => "not_tried",
                    StepState::Intended { .. } | StepState::UndoIntended { .. } => "unknown",
                    StepState::Done => "done",
                    StepState::Failed => "failed",
                    StepState::Undone => "undone",
                    StepState::UndoFailed => "undo_failed",
                },
                error: failure.map(|failure| failure.error.clone()),
                hint: failure.and_then(|failure| failure.hint.clone()),
            }
        });
        let went_back = matches!(state.outcome, Some(Outcome::WentBack | Outcome::WentBackPartly));
        let left = state.plan.steps.iter().zip(&state.steps).filter_map(|(step, state)| {
            match (step.undo(), state) {
                // What was begun and never looked at again may have been done.
                (
                    Undo::PointOfNoReturn(why),
                    StepState::Done | StepState::Failed | StepState::Intended { .. },
                ) if went_back => Some(format!("{}: {why}", step.title())),
                _ => None,
            }
        });
        RunReport {
            run: state.holder.run.clone(),
            kind: state.plan.kind,
            from: state.plan.from.clone(),
            to: state.plan.to.clone(),
            outcome: state.outcome,
            turned_because: state.turned_because.clone(),
            steps: steps.collect(),
            left: left.collect(),
            started_at: state.holder.since,
            ended_at,
            took_ms: ended_at.since_ms(state.holder.since),
        }
    }
}
