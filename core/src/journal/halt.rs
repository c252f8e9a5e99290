//! When a run begins nothing more until a person says which way it goes.

use serde::{Deserialize, Serialize};

use super::{Direction, State, StepState};
use crate::plan::{OnFailure, RunKind, Step};
use crate::protocol::Flip;

/// Why a run is halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// A step failed without which what comes next would do harm.
    Step,
    /// Every host of the first wave failed: nothing shows yet that the target can serve, and the next wave would
    /// take it from hosts that do.
    FirstWave,
    /// On the way back a migration could not be applied again: the release that would serve next needs it.
    WayBack,
}

impl State {
    /// Why nothing more may be begun before somebody says which way the run goes; none while it may go on.
    pub fn halt(&self) -> Option<Halt> {
        let halts = |why: &Halt| !self.halted_by(*why).is_empty();
        [Halt::Step, Halt::FirstWave, Halt::WayBack].into_iter().find(halts)
    }

    /// Whether a person may take the run back as a whole: where migrations are taken down, and where the first wave
    /// failed and the target serves nowhere. Any other rollback would only bring the bad release back.
    pub fn may_be_taken_back(&self) -> bool {
        let mut steps = self.plan.steps().zip(&self.steps);
        let serves = |(step, state): (&Step, &StepState)| {
            matches!(step, Step::Flip { .. }) && *state == StepState::Done
        };
        self.plan.steps().any(|step| matches!(step, Step::StepDown { .. }))
            || self.past_first_wave && !steps.any(serves)
    }

    /// Somebody goes on: what halted the run is looked at again, and tried again if it is not done. Who was told that
    /// the first wave failed goes on with the others also if it fails again.
    pub(super) fn retry_halted(&mut self) {
        let Some(halt) = self.halt() else { return };
        for step in self.halted_by(halt) {
            self.steps[step] = match halt {
                Halt::Step | Halt::FirstWave => StepState::Intended { attempt: 1 },
                Halt::WayBack => StepState::UndoIntended { attempt: 1 },
            };
        }
        self.past_first_wave |= halt == Halt::FirstWave && self.told_halted;
    }

    /// The failed steps that halt the run for that reason.
    fn halted_by(&self, why: Halt) -> Vec<usize> {
        let steps = 0..self.steps.len();
        match (why, self.direction) {
            (Halt::Step, Direction::Forward) => steps
                .filter(|step| self.steps[*step] == StepState::Failed)
                .filter(|step| self.plan.on_failure(*step) == OnFailure::Halt)
                .collect(),
            (Halt::FirstWave, Direction::Forward) => self.failed_first_wave(),
            (Halt::WayBack, Direction::Back) => steps
                .filter(|step| self.steps[*step] == StepState::UndoFailed)
                .filter(|step| matches!(self.plan.step(*step), Some(Step::StepDown { .. })))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What failed of a rollback's first wave of flips, where that is every host of it and hosts are left that the
    /// target would be started beside. What does harm is stopped first everywhere: containing it comes before that.
    fn failed_first_wave(&self) -> Vec<usize> {
        let none = Vec::new();
        if self.plan.kind != RunKind::Rollback || self.past_first_wave {
            return none;
        }
        let flip = |step: &usize| matches!(self.plan.step(*step), Some(Step::Flip { .. }));
        let beside = |step: &usize| {
            matches!(self.plan.step(*step), Some(Step::Flip { flip: Flip::Overlap, .. }))
                && self.steps[*step] == StepState::NotTried
        };
        let mut waves =
            self.plan.ranges().into_iter().skip_while(|wave| !wave.clone().any(|step| flip(&step)));
        let Some(first) = waves.next() else { return none };
        if !waves.flatten().any(|step| beside(&step)) {
            return none;
        }
        let failed: Vec<usize> =
            first.clone().filter(|step| self.steps[*step] == StepState::Failed).collect();
        let host = |step: usize| self.plan.step(step).and_then(Step::host);
        let every = first.filter(flip).all(|step| failed.iter().any(|other| host(*other) == host(step)));
        if every { failed } else { none }
    }
}

#[cfg(test)]
mod tests;
