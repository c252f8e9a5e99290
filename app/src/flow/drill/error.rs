//! Why a drill came to no report.

use crate::flow::{FlowError, RunReport};
use crate::load::LoadError;
use crate::ports::{CheckFailure, SourceError};

/// Why a drill came to no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// A deploy or the rollback could not be done.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The load could not be made.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A command or a measurement failed.
    #[error(transparent)]
    Check(#[from] CheckFailure),
    /// A release could not be built.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A deploy took itself back, or worse.
    #[error("the drill's deploy of {tag} failed: {why}")]
    Deploy {
        /// The release.
        tag: String,
        /// Why.
        why: String,
        /// What to run.
        hint: Option<String>,
    },
    /// The bad release did not fail as the scenario says.
    #[error("the failure did not show within {within_ms} ms: waited for {what}, saw {instead}")]
    NotSeen {
        /// What was waited for.
        what: String,
        /// How long.
        within_ms: u64,
        /// What was seen instead.
        instead: String,
    },
    /// The scenario names a flag, and the flag is not what is advised.
    #[error("the scenario is mended by its flag, and what is advised is to {instead}")]
    Advice {
        /// What is advised, and why.
        instead: String,
    },
    /// The operator stopped it.
    #[error("the drill was stopped")]
    Stopped,
}

impl DrillError {
    /// What to run, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            DrillError::Flow(error) => error.hint(),
            DrillError::Check(CheckFailure { hint, .. })
            | DrillError::Source(SourceError { hint, .. })
            | DrillError::Deploy { hint, .. } => hint.clone(),
            DrillError::NotSeen { .. } => Some(
                "look at the logs with `unship drill --keep FOLDER`, or change `seen` in unship.toml".into(),
            ),
            DrillError::Advice { .. } => Some(
                "the bad release's file of flags has to bring the flag: `file` and `install` in [flags]"
                    .into(),
            ),
            DrillError::Load(_) | DrillError::Stopped => None,
        }
    }

    pub(super) fn deploy_failed(report: &RunReport) -> DrillError {
        let failed = report.steps.iter().find(|step| step.error.is_some());
        DrillError::Deploy {
            tag: report.to.tag.to_string(),
            why: match (failed, &report.turned_because) {
                (Some(step), _) => {
                    format!("{}: {}", step.title, step.error.as_deref().unwrap_or_default())
                }
                (None, Some(step)) => format!("it went back, because this failed: {step}"),
                (None, None) => "it did not complete".to_owned(),
            },
            hint: failed.and_then(|step| step.hint.clone()),
        }
    }
}
