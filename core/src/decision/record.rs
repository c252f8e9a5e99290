//! What is kept of a decision in the run's journal, so that everything that is told later tells the same.

use serde::{Deserialize, Serialize};

use super::{Act, Decision, Facts};
use crate::release::HostName;

/// A decision as it was made, with what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// What was known.
    pub facts: Facts,
    /// What the table said.
    pub decision: Decision,
    /// Who wanted something else, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overruled: Option<Overruled>,
    /// How the hosts were before anything was done.
    #[serde(default)]
    pub health: Vec<HostHealth>,
    /// What spoke against it, or was not known.
    #[serde(default)]
    pub risks: Vec<String>,
}

impl Decided {
    /// What is done: what the table said, unless somebody wanted something else.
    pub fn act(&self) -> Act {
        self.overruled.as_ref().map_or(self.decision.act, |overruled| overruled.act)
    }
}

/// The operator decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overruled {
    /// Why.
    pub reason: String,
    /// What is done instead; in the records of earlier versions the code went back.
    #[serde(default = "code_back")]
    pub act: Act,
}

fn code_back() -> Act {
    Act::CodeBack
}

/// How the failing release did on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHealth {
    /// The host.
    pub host: HostName,
    /// How many of its instances ran.
    pub running: usize,
    /// How often they had been restarted.
    pub restarts: u32,
}
