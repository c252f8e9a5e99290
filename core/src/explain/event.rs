//! What happened in a run, event by event.

use serde::{Deserialize, Serialize};

use super::outcome::outcome;
use crate::history::Mark;
use crate::journal::{Event, Outcome, State};
use crate::plan::Step;

/// Whether something is good to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Neither.
    Plain,
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Something to look at.
    Warn,
}

/// An event in words: how good it is, what happened, and the rest of the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventText {
    /// How good that is.
    pub tone: Tone,
    /// What happened: the words that carry the tone.
    pub head: String,
    /// What it happened to, with what separates it from the head.
    pub rest: String,
}

impl std::fmt::Display for EventText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.head, self.rest)
    }
}

/// What an event of a run says.
pub fn event(event: &Event, state: &State) -> EventText {
    let title = |step: &usize| state.plan.step(*step).map(Step::title).unwrap_or_default();
    let attempt = |number: &u32| if *number > 1 { format!(", attempt {number}") } else { String::new() };
    let (tone, head, rest) = match event {
        Event::Started { epoch, .. } => (Tone::Plain, "started".into(), format!(", epoch {}", epoch.0)),
        Event::Intent { step, attempt: number } => {
            (Tone::Plain, "to do".into(), format!(": {}{}", title(step), attempt(number)))
        }
        Event::Done { step, actions } => {
            let what: Vec<&str> = actions.iter().map(|action| action.what.as_str()).collect();
            let what = if what.is_empty() { String::new() } else { format!(" ({})", what.join("; ")) };
            (Tone::Good, "done".into(), format!(": {}{what}", title(step)))
        }
        Event::Failed { step, error, .. } => {
            (Tone::Bad, "failed".into(), format!(": {}: {error}", title(step)))
        }
        Event::Turned { why } => (Tone::Warn, "turned round".into(), format!(", because of: {why}")),
        Event::UndoIntent { step, attempt: number } => {
            (Tone::Plain, "to undo".into(), format!(": {}{}", title(step), attempt(number)))
        }
        Event::Undone { step } => (Tone::Plain, "undone".into(), format!(": {}", title(step))),
        Event::UndoFailed { step, error } => {
            (Tone::Bad, "undo failed".into(), format!(": {}: {error}", title(step)))
        }
        Event::Marked { release, mark, why } => {
            let mark = match mark {
                Mark::Deployed => "deployed",
                Mark::KnownGood => "known good",
                Mark::Bad => "bad",
                Mark::Lifted => "unproven again",
            };
            (Tone::Plain, format!("{release} is {mark}"), format!(": {why}"))
        }
        Event::Resumed { holder, epoch } => {
            (Tone::Plain, format!("resumed by {}", holder.who), format!(", epoch {}", epoch.0))
        }
        Event::Halted => (Tone::Bad, "halted".into(), ": somebody has to say which way it goes".into()),
        Event::Paused => (Tone::Warn, "stopped as asked".into(), String::new()),
        Event::Finished { outcome: how, .. } => {
            let tone = match how {
                Outcome::Completed => Tone::Good,
                Outcome::WentBack => Tone::Warn,
                Outcome::Partial | Outcome::WentBackPartly => Tone::Bad,
            };
            (tone, outcome(Some(*how)).into(), String::new())
        }
    };
    EventText { tone, head, rest }
}
