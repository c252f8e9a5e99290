//! The journal: what a run meant to do and what came of it, in the order in which it became durable.
//!
//! Intent is durable before the act. On resume an intent without an outcome is observed (the step's check),
//! never blindly repeated. [`fold`] turns events into a [`State`]; [`State::next`] is the only place that
//! says what a run does next, whether it was just started or has just come back from the dead.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::Mark;
use crate::plan::{OnFailure, Plan, Step, Undo};
use crate::protocol::{Action, Epoch, Holder};
use crate::release::Release;
use crate::time::Timestamp;

/// One durable event of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began: the plan and who runs it. The first event of every journal.
    Started {
        /// Who, since when, what.
        holder: Holder,
        /// The epoch that the run will claim on every host.
        epoch: Epoch,
        /// What it will do.
        plan: Box<Plan>,
        /// What is to be said of releases before the first step. Part of the first event, so that a run that
        /// dies right after it still says it.
        #[serde(default)]
        marks: Vec<NewMark>,
    },
    /// A step is about to be tried.
    Intent {
        /// Index of the step in the plan.
        step: usize,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// The step is done, or was found done.
    Done {
        /// Index of the step.
        step: usize,
        /// What was done.
        actions: Vec<Action>,
    },
    /// The step failed.
    Failed {
        /// Index of the step.
        step: usize,
        /// Why.
        error: String,
        /// What to run to see or mend it.
        hint: Option<String>,
    },
    /// The run turns round: what was done is undone in reverse.
    Turned {
        /// Why.
        why: String,
    },
    /// The undo of a step is about to be tried.
    UndoIntent {
        /// Index of the step.
        step: usize,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// The step is undone.
    Undone {
        /// Index of the step.
        step: usize,
    },
    /// The undo failed; the run goes on undoing the others.
    UndoFailed {
        /// Index of the step.
        step: usize,
        /// Why.
        error: String,
    },
    /// Something is said of a release for good.
    Marked {
        /// The release.
        release: Release,
        /// What is said of it.
        mark: Mark,
        /// Why.
        why: String,
    },
    /// Somebody goes on with the run. The new epoch shuts out whoever ran it before.
    Resumed {
        /// Who, and since when.
        holder: Holder,
        /// The epoch from here on.
        epoch: Epoch,
    },
    /// The run stopped before its end because it was asked to; `unship resume` goes on.
    Paused,
    /// The run ended.
    Finished {
        /// How.
        outcome: Outcome,
    },
}

/// Something that a run says of a release when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMark {
    /// The release.
    pub release: Release,
    /// What is said of it.
    pub mark: Mark,
    /// Why.
    pub why: String,
}

/// An event and when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the journal, from 0.
    pub seq: u64,
    /// On the operator's clock.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step is done: every host proved the target.
    Completed,
    /// Some step failed or was not tried; what serves where is named.
    Partial,
    /// What was done is undone: every host serves what it served before.
    WentBack,
    /// Going back failed on some host too.
    WentBackPartly,
}

/// What is known of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Never tried.
    NotTried,
    /// Tried; the outcome is not known until it is checked.
    Intended {
        /// Which attempt.
        attempt: u32,
    },
    /// Done.
    Done,
    /// Tried and failed; why is in [`State::failures`].
    Failed,
    /// Its undo was tried; the outcome is not known.
    UndoIntended {
        /// Which attempt.
        attempt: u32,
    },
    /// Undone.
    Undone,
    /// Its undo failed; why is in [`State::failures`].
    UndoFailed,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: String,
    /// What to run.
    pub hint: Option<String>,
}

/// Which way a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the target.
    Forward,
    /// Back to where it began.
    Back,
}

/// What the events of a run add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Who runs it.
    pub holder: Holder,
    /// The run's epoch.
    pub epoch: Epoch,
    /// What it does.
    pub plan: Plan,
    /// What is still to be said of releases.
    pub unmarked: Vec<NewMark>,
    /// One per step of the plan.
    pub steps: Vec<StepState>,
    /// The last failure of each step, which outlives its undo.
    pub failures: BTreeMap<usize, Failure>,
    /// Which way it goes.
    pub direction: Direction,
    /// Why it turned round.
    pub turned_because: Option<String>,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
}

/// What a run does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Write down the first of [`State::unmarked`].
    Mark,
    /// Write the intent, then do the step.
    Do {
        /// Index of the step.
        step: usize,
        /// Which attempt this will be.
        attempt: u32,
    },
    /// An intent without an outcome: look whether the step is done before doing anything.
    Check {
        /// Index of the step.
        step: usize,
        /// The attempt whose outcome is not known.
        attempt: u32,
    },
    /// Turn round.
    Turn {
        /// The step whose failure is the reason.
        step: usize,
    },
    /// Write the intent, then undo the step.
    Undo {
        /// Index of the step.
        step: usize,
        /// Which attempt this will be.
        attempt: u32,
    },
    /// Write the end.
    Finish(Outcome),
    /// The end is written.
    Nothing,
}

/// Why a journal makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It does not begin with [`Event::Started`].
    #[error("the journal does not begin with the start of a run")]
    NoStart,
    /// An event refers to a step that the plan does not have, or comes where it cannot.
    #[error("event {seq} of the journal does not fit the events before it: {why}")]
    Misplaced {
        /// Its position.
        seq: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Adds up the events of one run.
pub fn fold(entries: &[Entry]) -> Result<State, JournalError> {
    let mut entries = entries.iter();
    let Some(Entry { event: Event::Started { holder, epoch, plan, marks }, .. }) = entries.next() else {
        return Err(JournalError::NoStart);
    };
    let mut state = State {
        holder: holder.clone(),
        epoch: *epoch,
        plan: (**plan).clone(),
        unmarked: marks.clone(),
        steps: vec![StepState::NotTried; plan.steps.len()],
        failures: BTreeMap::new(),
        direction: Direction::Forward,
        turned_because: None,
        outcome: None,
    };
    for entry in entries {
        state.apply(&entry.event).map_err(|why| JournalError::Misplaced { seq: entry.seq, why })?;
    }
    Ok(state)
}

impl State {
    /// Adds one event.
    pub fn apply(&mut self, event: &Event) -> Result<(), &'static str> {
        if self.outcome.is_some() {
            return Err("the run has ended");
        }
        match event {
            Event::Started { .. } => return Err("the run has begun already"),
            Event::Intent { step, attempt } => {
                self.forward()?;
                self.set(*step, StepState::Intended { attempt: *attempt })?;
            }
            Event::Done { step, .. } => {
                self.was_intended(*step)?;
                self.set(*step, StepState::Done)?;
            }
            Event::Failed { step, error, hint } => {
                self.was_intended(*step)?;
                self.set(*step, StepState::Failed)?;
                self.failures.insert(*step, Failure { error: error.clone(), hint: hint.clone() });
            }
            Event::Turned { why } => {
                self.forward()?;
                self.direction = Direction::Back;
                self.turned_because = Some(why.clone());
            }
            Event::UndoIntent { step, attempt } => {
                self.backward()?;
                self.set(*step, StepState::UndoIntended { attempt: *attempt })?;
            }
            Event::Undone { step } => {
                self.backward()?;
                self.set(*step, StepState::Undone)?;
            }
            Event::UndoFailed { step, error } => {
                self.backward()?;
                self.set(*step, StepState::UndoFailed)?;
                self.failures.insert(*step, Failure { error: error.clone(), hint: None });
            }
            Event::Resumed { epoch, .. } if *epoch <= self.epoch => return Err("an epoch that is over"),
            Event::Resumed { epoch, .. } => self.epoch = *epoch,
            Event::Marked { release, mark, .. } => {
                self.unmarked.retain(|new| new.release != *release || new.mark != *mark);
            }
            Event::Paused => {}
            Event::Finished { outcome } => self.outcome = Some(*outcome),
        }
        Ok(())
    }

    fn set(&mut self, step: usize, to: StepState) -> Result<(), &'static str> {
        *self.steps.get_mut(step).ok_or("the plan has no such step")? = to;
        Ok(())
    }

    fn was_intended(&self, step: usize) -> Result<(), &'static str> {
        match self.steps.get(step) {
            Some(StepState::Intended { .. }) => Ok(()),
            _ => Err("an outcome without an intent"),
        }
    }

    fn forward(&self) -> Result<(), &'static str> {
        if self.direction == Direction::Forward { Ok(()) } else { Err("the run has turned round") }
    }

    fn backward(&self) -> Result<(), &'static str> {
        if self.direction == Direction::Back { Ok(()) } else { Err("the run has not turned round") }
    }

    /// What the run does next.
    pub fn next(&self) -> Next {
        if self.outcome.is_some() {
            return Next::Nothing;
        }
        if !self.unmarked.is_empty() {
            return Next::Mark;
        }
        match self.direction {
            Direction::Forward => self.next_forward(),
            Direction::Back => self.next_back(),
        }
    }

    fn next_forward(&self) -> Next {
        for (step, state) in self.steps.iter().enumerate() {
            match state {
                StepState::Intended { attempt } => return Next::Check { step, attempt: *attempt },
                StepState::Failed if self.plan.on_failure(step) == OnFailure::GoBack => {
                    return Next::Turn { step };
                }
                StepState::NotTried if !self.host_failed(step) => return Next::Do { step, attempt: 1 },
                _ => {}
            }
        }
        Next::Finish(if self.promised() { Outcome::Completed } else { Outcome::Partial })
    }

    /// Whether an earlier step on the same host failed in a way that makes this step senseless.
    fn host_failed(&self, step: usize) -> bool {
        let Some(host) = self.plan.steps.get(step).and_then(Step::host) else {
            return false;
        };
        self.plan.steps.iter().zip(&self.steps).enumerate().take(step).any(|(index, (earlier, state))| {
            earlier.host() == Some(host)
                && matches!(state, StepState::Failed)
                && self.plan.on_failure(index) == OnFailure::PassOver
        })
    }

    /// Whether everything that the run promises is done; a failed step that is only noted does not count.
    fn promised(&self) -> bool {
        self.steps
            .iter()
            .enumerate()
            .all(|(index, state)| *state == StepState::Done || self.plan.on_failure(index) == OnFailure::Note)
    }

    fn next_back(&self) -> Next {
        for (step, state) in self.steps.iter().enumerate().rev() {
            match state {
                // A failed or unfinished step may have left something: undoing it is idempotent, so it too
                // is undone.
                StepState::Done | StepState::Failed | StepState::Intended { .. } => {
                    if self.undo_of(step).is_some() {
                        return Next::Undo { step, attempt: 1 };
                    }
                }
                StepState::UndoIntended { attempt } => return Next::Undo { step, attempt: attempt + 1 },
                StepState::NotTried | StepState::Undone | StepState::UndoFailed => {}
            }
        }
        let failed = self.steps.iter().any(|state| matches!(state, StepState::UndoFailed));
        Next::Finish(if failed { Outcome::WentBackPartly } else { Outcome::WentBack })
    }

    /// The undo of a step, where there is something to undo.
    pub fn undo_of(&self, step: usize) -> Option<Undo> {
        match self.plan.steps.get(step)?.undo() {
            Undo::Nothing | Undo::PointOfNoReturn(_) => None,
            undo => Some(undo),
        }
    }
}

#[cfg(test)]
mod tests;
