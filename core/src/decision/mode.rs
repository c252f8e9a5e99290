//! How a release fails.

use serde::{Deserialize, Serialize};

use crate::protocol::Flip;

/// How the release fails, as the operator names it. It chooses what is decided, and the order of the flip: code
/// that does harm while it runs is stopped before the target is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureMode {
    /// It keeps ending by itself.
    PanicLoop,
    /// It lets in whom it must not.
    AuthRegression,
    /// It writes what is wrong.
    DataCorruption,
    /// It is slow or answers with errors.
    Degraded,
    /// It does something small wrong, and can be borne for a while.
    SmallBug,
    /// Not known.
    Unsure,
}

impl FailureMode {
    /// Every mode, in the order in which help lists them.
    pub const ALL: [FailureMode; 6] = [
        FailureMode::PanicLoop,
        FailureMode::AuthRegression,
        FailureMode::DataCorruption,
        FailureMode::Degraded,
        FailureMode::SmallBug,
        FailureMode::Unsure,
    ];

    /// The word that `--mode` takes.
    pub fn name(self) -> &'static str {
        match self {
            FailureMode::PanicLoop => "panic-loop",
            FailureMode::AuthRegression => "auth-regression",
            FailureMode::DataCorruption => "data-corruption",
            FailureMode::Degraded => "degraded",
            FailureMode::SmallBug => "small-bug",
            FailureMode::Unsure => "unsure",
        }
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            FailureMode::PanicLoop => "panic loop",
            FailureMode::AuthRegression => "auth regression",
            FailureMode::DataCorruption => "data corruption",
            FailureMode::Degraded => "degraded",
            FailureMode::SmallBug => "small bug",
            FailureMode::Unsure => "mode not given",
        }
    }

    /// In which order to stop and start. A panic loop too is overlapped: the listener is shared, so the target
    /// takes the requests that the looping release would drop, before it is stopped.
    pub fn flip(self) -> Flip {
        if self.harms_while_it_runs() { Flip::StopFirst } else { Flip::Overlap }
    }

    /// Whether the release can be left serving for as long as a hotfix takes.
    pub fn can_be_borne(self) -> bool {
        match self {
            FailureMode::Degraded | FailureMode::SmallBug => true,
            FailureMode::PanicLoop
            | FailureMode::AuthRegression
            | FailureMode::DataCorruption
            | FailureMode::Unsure => false,
        }
    }

    /// Whether every minute of the running code does harm that going back does not mend.
    pub fn harms_while_it_runs(self) -> bool {
        match self {
            FailureMode::AuthRegression | FailureMode::DataCorruption => true,
            FailureMode::PanicLoop | FailureMode::Degraded | FailureMode::SmallBug | FailureMode::Unsure => {
                false
            }
        }
    }
}

impl std::fmt::Display for FailureMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
