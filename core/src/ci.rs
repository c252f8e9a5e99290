//! Whether a commit passed CI. What was observed is a value that travels in the capsule; what it means is said in
//! one place, [`CiProof::standing`].

use serde::{Deserialize, Serialize};

/// How one check of a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It passed.
    Passed,
    /// It failed, was cancelled, timed out, or wants somebody to act.
    Failed,
    /// It has not ended: not green yet.
    Running,
    /// It was left out or says of itself that it decides nothing. It speaks neither for the commit nor against it.
    Skipped,
}

/// One check of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CiCheck {
    /// Its name, as the CI system shows it.
    pub name: String,
    /// How it ended.
    pub state: CheckState,
}

/// What a CI system says of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CiProof {
    /// The commit that the checks ran on, as the CI system names it.
    pub commit: String,
    /// The checks, in the CI system's order.
    pub checks: Vec<CiCheck>,
}

/// What a proof means for a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ci", rename_all = "snake_case")]
pub enum CiStanding {
    /// Every check that decides anything passed, and there was at least one.
    Green {
        /// How many passed.
        passed: usize,
    },
    /// Some check failed.
    Red {
        /// The names of those that failed.
        failed: Vec<String>,
    },
    /// Some check has not ended.
    Running {
        /// The names of those that have not.
        running: Vec<String>,
    },
    /// No check ran on the commit, or none that decides anything.
    NothingRan,
    /// A check that must have run did not.
    Lacking {
        /// The names of those that are missing.
        missing: Vec<String>,
    },
    /// The checks ran on another commit than the release was built from.
    OtherCommit {
        /// The commit that they ran on.
        ran_on: String,
    },
    /// It is not known.
    Unknown {
        /// Why, and what would settle it.
        why: String,
    },
}

impl CiProof {
    /// What the proof means for the commit that a release was built from.
    ///
    /// A check that failed outweighs one that runs, which outweighs one that is missing. `required` are checks without
    /// which nothing is green, however many others passed.
    pub fn standing(&self, commit: &str, required: &[String]) -> CiStanding {
        if self.commit != commit {
            return CiStanding::OtherCommit { ran_on: self.commit.clone() };
        }
        let names = |state: CheckState| -> Vec<String> {
            let of_state = self.checks.iter().filter(|check| check.state == state);
            of_state.map(|check| check.name.clone()).collect()
        };
        let (failed, running, passed) =
            (names(CheckState::Failed), names(CheckState::Running), names(CheckState::Passed));
        let missing: Vec<String> = required.iter().filter(|name| !passed.contains(name)).cloned().collect();
        if !failed.is_empty() {
            CiStanding::Red { failed }
        } else if !running.is_empty() {
            CiStanding::Running { running }
        } else if !missing.is_empty() {
            CiStanding::Lacking { missing }
        } else if passed.is_empty() {
            CiStanding::NothingRan
        } else {
            CiStanding::Green { passed: passed.len() }
        }
    }
}

impl CiStanding {
    /// Whether the release is proved to have passed.
    pub fn is_green(&self) -> bool {
        matches!(self, CiStanding::Green { .. })
    }

    /// What is so, to be said after the release's tag: `passed CI (41 checks)`.
    pub fn words(&self) -> String {
        match self {
            CiStanding::Green { passed: 1 } => "passed CI (1 check)".into(),
            CiStanding::Green { passed } => format!("passed CI ({passed} checks)"),
            CiStanding::Red { failed } => format!("did not pass CI: {} failed", listed(failed)),
            CiStanding::Running { running } => {
                format!("has not passed CI yet: {} not ended", listed(running))
            }
            CiStanding::NothingRan => "was not tested by CI: no check ran on its commit".into(),
            CiStanding::Lacking { missing } => {
                format!("did not pass CI: {} did not run", listed(missing))
            }
            CiStanding::OtherCommit { ran_on } => {
                format!("is not known to have passed CI: the checks ran on another commit, {ran_on}")
            }
            CiStanding::Unknown { why } => format!("is not known to have passed CI: {why}"),
        }
    }
}

/// Names in backticks; the first few of many.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
