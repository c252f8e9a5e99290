//! What came of a run, as a value: half done is a value too.

use serde::Serialize;
use unship_core::journal::{Halt, Outcome, State, StepState};
use unship_core::plan::{MissingHost, RunKind, Step, Undo};
use unship_core::release::{HostName, Release, RunId};
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

/// A time in which a host did not listen: its flip could not overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// The host.
    pub host: HostName,
    /// The unit.
    pub unit: String,
    /// Milliseconds, as the host measured them.
    pub took_ms: u64,
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
    /// How it ended; none when it was stopped between two steps, or halted.
    pub outcome: Option<Outcome>,
    /// Why nothing more may be begun before somebody says which way it goes; none when it may.
    pub halted: Option<Halt>,
    /// Why it turned round.
    pub turned_because: Option<String>,
    /// Its steps.
    pub steps: Vec<StepReport>,
    /// Where and for how long nothing listened meanwhile.
    pub gaps: Vec<GapReport>,
    /// The migrations that it took down. What they destroyed is salvaged under the run's name.
    pub taken_down: Vec<String>,
    /// For how many milliseconds no release served, where the run held the service.
    pub held_ms: Option<u64>,
    /// The hosts that it went on without: what they serve is not known.
    pub without: Vec<MissingHost>,
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
        let steps = state.plan.steps().zip(&state.steps).enumerate().map(|(index, (step, now))| {
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
        let left = state.plan.steps().zip(&state.steps).filter_map(|(step, state)| {
            match (step.undo(), state) {
                // What was begun and never looked at again may have been done.
                (
                    Undo::PointOfNoReturn(why),
                    StepState::Done | StepState::Failed | StepState::Intended { .. },
                ) if went_back => Some(format!("{}: {why}", step.title())),
                _ => None,
            }
        });
        let gaps = state.gaps.iter().filter_map(|(step, action)| {
            let host = state.plan.step(*step)?.host()?.clone();
            Some(GapReport { host, unit: action.gap_of()?.to_owned(), took_ms: action.took_us / 1_000 })
        });
        RunReport {
            run: state.holder.run.clone(),
            kind: state.plan.kind,
            from: state.plan.from.clone(),
            to: state.plan.to.clone(),
            outcome: state.outcome,
            halted: state.halt().filter(|_| state.outcome.is_none()),
            turned_because: state.turned_because.clone(),
            steps: steps.collect(),
            gaps: gaps.collect(),
            taken_down: taken_down(state),
            held_ms: state.held.ms(),
            without: state.plan.without.clone(),
            left: left.collect(),
            started_at: state.holder.since,
            ended_at,
            took_ms: ended_at.since_ms(state.holder.since),
        }
    }
}

fn taken_down(state: &State) -> Vec<String> {
    let done = state.plan.steps().zip(&state.steps).filter(|(_, now)| **now == StepState::Done);
    let down = done.filter_map(|(step, _)| match step {
        Step::StepDown { program, .. } => Some(program.migration.clone()),
        _ => None,
    });
    down.collect()
}
