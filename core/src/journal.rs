//! The journal: what a run meant to do and what came of it, in the order in which it became durable.
//!
//! Intent is durable before the act. On resume an intent without an outcome is observed (the step's check),
//! never blindly repeated; several may be open at once, one a host. [`fold`] turns events into a [`State`];
//! [`State::next`] is the only place that says what a run does next, whether it was just started or has just come
//! back from the dead.

mod event;
mod halt;
mod held;
mod pulse;

pub use event::{Entry, Event, NewMark, Outcome};
pub use halt::Halt;
pub use held::Held;
pub use pulse::{Beat, Pulse};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::decision::Decided;
use crate::plan::{OnFailure, Plan, Step, Undo};
use crate::protocol::{Action, Epoch, Holder};

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
    /// What was decided, and from what.
    pub decided: Option<Box<Decided>>,
    /// How often somebody went on with it.
    pub resumed: u32,
    /// One per step of the plan.
    pub steps: Vec<StepState>,
    /// What hosts measured of the times in which nothing listened, with the step.
    pub gaps: Vec<(usize, Action)>,
    /// When the first host began to be held, and when the last one served again, in a run that does both.
    pub held: Held,
    /// The last failure of each step, which outlives its undo.
    pub failures: BTreeMap<usize, Failure>,
    /// Which way it goes.
    pub direction: Direction,
    /// Whether somebody was told that it is halted, and nobody went on with it since.
    pub told_halted: bool,
    /// Whether somebody went on although the first wave had failed.
    pub past_first_wave: bool,
    /// Why it turned round.
    pub turned_because: Option<String>,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
}

/// What a run does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Write down the first of [`State::unmarked`].
    Mark,
    /// Everything that may be begun now, at most one piece of work a host.
    Begin(Vec<Work>),
    /// Nothing may be begun before something that is under way has ended.
    Wait,
    /// Begin nothing more, and leave the run open for a person to say which way it goes: [`State::halt`] says why.
    Halt,
    /// Turn round.
    Turn {
        /// The step whose failure is the reason.
        step: usize,
    },
    /// Write the end.
    Finish(Outcome),
    /// The end is written.
    Nothing,
}

/// Something to be done about one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Index of the step.
    pub step: usize,
    /// Which attempt this will be; for a check the one whose outcome is not known.
    pub attempt: u32,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done about a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Write the intent, then do the step.
    Do,
    /// An intent without an outcome: look whether the step is done before doing anything.
    Check,
    /// Write the intent, then undo the step.
    Undo,
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
    let Some(Entry { event: Event::Started { holder, epoch, plan, marks, decided }, .. }) = entries.next()
    else {
        return Err(JournalError::NoStart);
    };
    let mut state = State {
        holder: holder.clone(),
        epoch: *epoch,
        plan: (**plan).clone(),
        unmarked: marks.clone(),
        decided: decided.clone(),
        resumed: 0,
        steps: vec![StepState::NotTried; plan.steps().count()],
        gaps: Vec::new(),
        held: Held::default(),
        failures: BTreeMap::new(),
        direction: Direction::Forward,
        told_halted: false,
        past_first_wave: false,
        turned_because: None,
        outcome: None,
    };
    for entry in entries {
        state.add(entry).map_err(|why| JournalError::Misplaced { seq: entry.seq, why })?;
    }
    Ok(state)
}

impl State {
    /// Adds one entry: its event, and what its time says.
    pub fn add(&mut self, entry: &Entry) -> Result<(), &'static str> {
        self.apply(&entry.event)?;
        if let Event::Intent { step, .. } | Event::Done { step, .. } | Event::Undone { step } = &entry.event
            && let Some(what) = self.plan.step(*step)
        {
            self.held.add(what, &entry.event, entry.at);
        }
        Ok(())
    }

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
            Event::Done { step, actions } => {
                self.was_intended(*step)?;
                let gaps = actions.iter().filter(|action| action.gap_of().is_some());
                self.gaps.extend(gaps.map(|action| (*step, action.clone())));
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
            Event::Resumed { epoch, holder } => {
                self.epoch = *epoch;
                self.retry_halted();
                self.told_halted = false;
                // A run that turns round takes a new epoch under its own name.
                self.resumed += u32::from(*holder != self.holder);
            }
            Event::Marked { release, mark, .. } => {
                self.unmarked.retain(|new| new.release != *release || new.mark != *mark);
            }
            Event::Paused => {}
            Event::Halted => self.told_halted = true,
            Event::Finished { outcome, .. } => self.outcome = Some(*outcome),
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

    /// What the run does next. `running` are the steps that this process works at: whatever else is without an
    /// outcome was begun by a process that is dead.
    pub fn next(&self, running: &BTreeSet<usize>) -> Next {
        if self.outcome.is_some() {
            return Next::Nothing;
        }
        if !self.unmarked.is_empty() {
            return Next::Mark;
        }
        // Nothing more is begun, and what is under way comes to its end first.
        if self.halt().is_some() {
            return if running.is_empty() { Next::Halt } else { Next::Wait };
        }
        let (begin, end) = match self.direction {
            Direction::Forward => {
                let failed = |(step, state): &(usize, &StepState)| {
                    **state == StepState::Failed && self.plan.on_failure(*step) == OnFailure::GoBack
                };
                if let Some((step, _)) = self.steps.iter().enumerate().find(failed) {
                    return if running.is_empty() { Next::Turn { step } } else { Next::Wait };
                }
                let mut waves = self.plan.ranges().into_iter();
                let begin =
                    waves.find_map(|wave| self.of_wave(wave, running, |step| self.forward_work(step)));
                (begin, if self.promised() { Outcome::Completed } else { Outcome::Partial })
            }
            Direction::Back => {
                let mut waves = self.waves_back().into_iter();
                let back =
                    |wave: Range<usize>| self.of_wave(wave.rev(), running, |step| self.backward_work(step));
                let failed = self.steps.contains(&StepState::UndoFailed);
                (waves.find_map(back), if failed { Outcome::WentBackPartly } else { Outcome::WentBack })
            }
        };
        match begin {
            None => Next::Finish(end),
            Some(work) if work.is_empty() => Next::Wait,
            Some(work) => Next::Begin(work),
        }
    }

    /// What may be begun of a wave, whose steps come in the order in which those of one host are done; nothing
    /// when the wave is over.
    fn of_wave(
        &self,
        wave: impl Iterator<Item = usize>,
        running: &BTreeSet<usize>,
        work: impl Fn(usize) -> Option<Work>,
    ) -> Option<Vec<Work>> {
        let mut busy = BTreeSet::new();
        let mut begin = Vec::new();
        for step in wave {
            let host = self.plan.step(step).and_then(Step::host);
            if busy.contains(&host) {
                continue;
            }
            if running.contains(&step) {
                busy.insert(host);
            } else if let Some(work) = work(step) {
                busy.insert(host);
                begin.push(work);
            }
        }
        (!busy.is_empty()).then_some(begin)
    }

    fn forward_work(&self, step: usize) -> Option<Work> {
        match self.steps.get(step)? {
            StepState::Intended { attempt } => Some(Work { step, attempt: *attempt, task: Task::Check }),
            StepState::NotTried if !self.host_failed(step) => Some(Work { step, attempt: 1, task: Task::Do }),
            _ => None,
        }
    }

    /// Whether an earlier step on the same host failed in a way that makes this step senseless.
    fn host_failed(&self, step: usize) -> bool {
        let Some(host) = self.plan.step(step).and_then(Step::host) else {
            return false;
        };
        self.plan.steps().zip(&self.steps).enumerate().take(step).any(|(index, (earlier, state))| {
            earlier.host() == Some(host)
                && matches!(state, StepState::Failed)
                && self.plan.on_failure(index) == OnFailure::PassOver
        })
    }

    /// Whether everything that the run promises is done; a failed step that is only noted does not count. A host
    /// that was left out from the beginning is not where it must be either.
    fn promised(&self) -> bool {
        self.plan.without.is_empty() && self.all_done()
    }

    /// Whether every step is done that is more than noted.
    pub fn all_done(&self) -> bool {
        self.steps
            .iter()
            .enumerate()
            .all(|(index, state)| *state == StepState::Done || self.plan.on_failure(index) == OnFailure::Note)
    }

    /// The waves in the order in which they are undone.
    fn waves_back(&self) -> Vec<Range<usize>> {
        let mut waves = self.plan.ranges();
        waves.reverse();
        let any = |mut wave: Range<usize>, is: fn(&Step) -> bool| {
            wave.any(|step| self.plan.step(step).is_some_and(is))
        };
        // Where hosts go back to a release without having been held for it, its quarantine is lifted first: nothing
        // starts it before.
        if !waves.iter().any(|wave| any(wave.clone(), |step| matches!(step, Step::Hold { .. }))) {
            waves.sort_by_key(|wave| !any(wave.clone(), |step| matches!(step, Step::Quarantine { .. })));
        }
        waves
    }

    fn backward_work(&self, step: usize) -> Option<Work> {
        match self.steps.get(step)? {
            // A failed or unfinished step may have left something: undoing it is idempotent, so it too is undone.
            StepState::Done | StepState::Failed | StepState::Intended { .. } => {
                self.undo_of(step).map(|_| Work { step, attempt: 1, task: Task::Undo })
            }
            StepState::UndoIntended { attempt } => {
                Some(Work { step, attempt: attempt + 1, task: Task::Undo })
            }
            StepState::NotTried | StepState::Undone | StepState::UndoFailed => None,
        }
    }

    /// The undo of a step, where there is something to undo.
    pub fn undo_of(&self, step: usize) -> Option<Undo> {
        match self.plan.step(step)?.undo() {
            Undo::Nothing | Undo::PointOfNoReturn(_) => None,
            undo => Some(undo),
        }
    }
}

#[cfg(test)]
mod tests;
