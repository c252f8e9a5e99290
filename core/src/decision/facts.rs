//! What a decision is made from. Whoever gathers these says "not known" where it is not known.

use serde::{Deserialize, Serialize};

use super::FailureMode;

/// A hotfix that takes this long is not one to wait for: the runbook's 30 minutes, in milliseconds.
pub const HOTFIX_MS_MAX: u64 = 30 * 60_000;

/// Everything that the table looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How the release fails.
    pub mode: FailureMode,
    /// Whether it is kept from doing harm already: held or stopped.
    pub contained: bool,
    /// The flag that the fault sits behind.
    pub flag: Flag,
    /// When a hotfix could be there.
    pub hotfix: Hotfix,
    /// How long going back takes here.
    pub ceremony: Ceremony,
    /// Whether the target runs on the schema as it is now.
    pub span: Span,
    /// How many hosts there are.
    pub hosts: usize,
    /// Whether the service can be held: something answers 503 in its place.
    pub can_be_held: bool,
    /// Whether the release as it is can be borne for as long as a hotfix takes.
    pub can_be_borne: bool,
    /// What the downs of the span would do.
    pub down: Down,
}

/// The flag that the fault sits behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Flag {
    /// None was named.
    None,
    /// The flag source knows it: it can be turned off.
    Known {
        /// Its name.
        name: String,
    },
    /// The flag source does not know it, or there is no flag source.
    NotKnown {
        /// Its name.
        name: String,
        /// Why it is not known.
        why: String,
    },
}

/// When a hotfix could be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Hotfix {
    /// The operator says that none can be thought of.
    OutOfTheQuestion,
    /// Nobody said.
    NotKnown,
    /// After this time.
    After {
        /// In milliseconds.
        eta_ms: u64,
    },
}

/// How long going back takes in this environment with this strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Ceremony {
    /// The median of earlier rollbacks.
    Measured {
        /// In milliseconds.
        ms: u64,
        /// Of how many.
        runs: usize,
    },
    /// Nobody went back here yet; a rehearsal took this long.
    Rehearsed {
        /// In milliseconds.
        ms: u64,
    },
    /// Nothing was measured.
    NotKnown,
}

impl Ceremony {
    /// The time, however it is known.
    pub fn ms(self) -> Option<u64> {
        match self {
            Ceremony::Measured { ms, .. } | Ceremony::Rehearsed { ms } => Some(ms),
            Ceremony::NotKnown => None,
        }
    }

    /// The median of the times of earlier rollbacks; else a rehearsal's.
    pub fn of(mut earlier_ms: Vec<u64>, rehearsed_ms: Option<u64>) -> Ceremony {
        earlier_ms.sort_unstable();
        match (earlier_ms.get(earlier_ms.len() / 2), rehearsed_ms) {
            (Some(ms), _) => Ceremony::Measured { ms: *ms, runs: earlier_ms.len() },
            (None, Some(ms)) => Ceremony::Rehearsed { ms },
            (None, None) => Ceremony::NotKnown,
        }
    }
}

/// Whether the target runs on the schema as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Span {
    /// It does: its queries and its start are proved, or nothing differs.
    Compatible {
        /// Why, in one sentence.
        why: String,
    },
    /// It is not known.
    Unknown {
        /// What is not known.
        what: Vec<String>,
    },
    /// It does not, or it does not start there.
    Breaks {
        /// What breaks.
        what: Vec<String>,
    },
}

impl Span {
    /// The verdict's name.
    pub fn name(&self) -> &'static str {
        match self {
            Span::Compatible { .. } => "compatible",
            Span::Unknown { .. } => "unknown",
            Span::Breaks { .. } => "breaks",
        }
    }
}

/// What the downs of the span would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Down {
    /// Nobody looked.
    NotKnown,
    /// A migration has none.
    Missing {
        /// Which.
        migration: String,
    },
    /// One fails.
    Fails {
        /// Which.
        migration: String,
        /// How.
        why: String,
    },
    /// After them the schema is one that the target cannot run on.
    LeavesUnfit {
        /// What it is that it cannot run on.
        why: String,
    },
    /// They run, and what they destroy is known.
    Runs {
        /// What is lost, one line a loss; empty when nothing is.
        loss: Vec<String>,
    },
}
