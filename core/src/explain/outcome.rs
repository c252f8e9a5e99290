//! How a run ended.

use crate::journal::Outcome;

/// The outcome in a few words; of a run that has not ended as well.
pub fn outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Completed) => "completed",
        Some(Outcome::Partial) => "in part",
        Some(Outcome::WentBack) => "went back",
        Some(Outcome::WentBackPartly) => "went back, but not everywhere",
        None => "not finished",
    }
}
