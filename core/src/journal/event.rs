//! What is written down of a run, and when.

use serde::{Deserialize, Serialize};

use super::Pulse;
use crate::decision::Decided;
use crate::history::Mark;
use crate::plan::Plan;
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
        /// What was decided, and from what; a deploy decides nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decided: Option<Box<Decided>>,
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
    /// The undo failed. The run goes on undoing the others, unless what comes next needs this one.
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
    /// Nothing more is begun before a person says which way the run goes, and that was said.
    Halted,
    /// The run ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// How the service answered meanwhile.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pulses: Vec<Pulse>,
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
