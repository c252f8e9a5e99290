//! What the runbook asks for after a rollback, and whether the run did it.

use serde::{Deserialize, Serialize};

use crate::journal::{Outcome, State, StepState};
use crate::plan::Step;

/// Something that the runbook asks for after a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// What.
    pub text: String,
    /// Whether the run did it.
    pub done: bool,
}

/// What is owed after the run, in the order in which it matters.
pub fn owed(state: &State) -> Vec<Owed> {
    let plan = &state.plan;
    let mut owed = Vec::new();
    let mut add = |done: bool, text: String| owed.push(Owed { text, done });
    if state.outcome != Some(Outcome::Completed) {
        add(false, format!("mend what failed, then unship rollback --to {}", plan.to));
    }
    if let Some(from) = &plan.from {
        let done = |wanted: fn(&Step) -> bool| {
            let mut of_kind = plan.steps().zip(&state.steps).filter(|(step, _)| wanted(step)).peekable();
            of_kind.peek().is_some() && of_kind.all(|(_, now)| *now == StepState::Done)
        };
        let off = done(|step| matches!(step, Step::TurnOffFlags { .. }));
        add(off, format!("turn off the flags that {from} turned on"));
        for step in plan.steps() {
            if let Step::TurnOffFlags { left, .. } = step
                && !left.is_empty()
            {
                let names: Vec<&str> = left.iter().map(crate::flags::FlagName::as_str).collect();
                add(false, format!("say whether these flags stay on: {}", names.join(", ")));
            }
        }
        let green = done(|step| matches!(step, Step::ConfirmCi { .. }));
        add(green, format!("confirm that {} passed CI", plan.to));
        add(false, format!("find out why {from} failed, and ship the fix: unship deploy TAG"));
    }
    owed
}
