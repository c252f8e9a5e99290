//! Why a flow did not do what was asked. Each says what to run.

use unship_core::history::TargetError;
use unship_core::plan::PlanError;
use unship_core::protocol::{Holder, Refusal};
use unship_core::release::{HostName, Release, RunId, Tag};

use crate::ports::{JournalFailure, LedgerError, SourceError, TransportError};

/// Why a flow stopped before it had a plan, or could not go on with one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no release to go back to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The ledger failed, or another run has the environment.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The local journal failed.
    #[error(transparent)]
    Journal(#[from] JournalFailure),
    /// The journal of a run makes no sense.
    #[error("the journal of run {run} cannot be used: {why}")]
    JournalBroken {
        /// The run.
        run: RunId,
        /// What is wrong with it.
        why: String,
    },
    /// A host did not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no artifact.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A host refused.
    #[error("{host} refused: {refusal}")]
    Refused {
        /// The host.
        host: HostName,
        /// Why.
        refusal: Refusal,
    },
    /// A host failed to answer a question.
    #[error("{host}: {error}")]
    Host {
        /// The host.
        host: HostName,
        /// What it said.
        error: String,
        /// What to run.
        hint: Option<String>,
    },
    /// An earlier run was not ended.
    #[error("run {run} ({what}) by {who} is not finished")]
    Unfinished {
        /// The run.
        run: RunId,
        /// What it does.
        what: String,
        /// Who started it.
        who: String,
    },
    /// A run could not go on, and is not at its end.
    #[error("run {run} stopped half way: {why}")]
    Interrupted {
        /// The run.
        run: RunId,
        /// Why.
        why: Box<FlowError>,
    },
    /// Another run came while the hosts were looked at, or between the plan and its execution.
    #[error("{} was at {host} meanwhile: {}", .holder.who, .holder.what)]
    Overtaken {
        /// The host.
        host: HostName,
        /// Whose run it was.
        holder: Box<Holder>,
    },
    /// There is nothing to go on with.
    #[error("there is no unfinished run")]
    NothingToResume,
    /// The release is marked as bad.
    #[error("{release} is in quarantine: {why}")]
    Quarantined {
        /// The release.
        release: Release,
        /// Why.
        why: String,
    },
    /// The releases differ in their migrations and nothing proves that the old code runs on the new schema.
    #[error("it is not known whether {target} runs on the schema of {from}: {why}")]
    SchemaUnknown {
        /// What serves now.
        from: Release,
        /// What would be gone back to.
        target: Release,
        /// What is not known.
        why: String,
    },
    /// Nothing serves, so there is nothing to take back.
    #[error("no host serves a release")]
    NothingServes,
    /// Hosts serve different releases and none was named.
    #[error("the hosts serve different releases: {}", .releases.join(", "))]
    HostsDiffer {
        /// What they serve.
        releases: Vec<String>,
    },
    /// The named release is not bad.
    #[error("{tag} is not in quarantine")]
    NotQuarantined {
        /// The tag.
        tag: Tag,
        /// The releases that are.
        bad: Vec<Tag>,
    },
    /// The named release is on no host and in no history.
    #[error("no release {tag} is known here")]
    UnknownRelease {
        /// The tag.
        tag: Tag,
        /// The tags that are known.
        known: Vec<Tag>,
    },
}

fn tags(what: &str, tags: &[Tag]) -> Option<String> {
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    (!tags.is_empty()).then(|| format!("{what}: {}", tags.join(", ")))
}

impl FlowError {
    /// The other one whose run is in the way, where it is known.
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            FlowError::Ledger(LedgerError::Held { holder }) | FlowError::Overtaken { holder, .. } => {
                Some(holder)
            }
            FlowError::Refused { refusal: Refusal::StaleEpoch { now, .. }, .. } => Some(&now.holder),
            FlowError::Interrupted { why, .. } => why.holder(),
            _ => None,
        }
    }

    /// What to run, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            FlowError::Plan(PlanError::TargetNotStored { target, .. }) => {
                Some(format!("deploy it instead: `unship deploy {target}`"))
            }
            FlowError::Plan(PlanError::TargetQuarantined { target, .. })
            | FlowError::Quarantined { release: target, .. } => {
                Some(format!("if it is good after all: `unship quarantine lift {target} --reason \"...\"`"))
            }
            FlowError::Plan(PlanError::SameRelease { .. }) => {
                Some("`unship status` shows every release and what it may go back to".into())
            }
            FlowError::Target(TargetError::NoneKnownGood { unproven }) => Some(match unproven.first() {
                Some(first) => format!("name an unproven one yourself: `unship rollback --to {first}`"),
                None => "no other release is left to go back to; ship a hotfix: `unship deploy TAG`".into(),
            }),
            FlowError::Target(TargetError::Bad { instead: Some(other), .. }) => {
                Some(format!("the newest known-good release is {other}: `unship rollback --to {other}`"))
            }
            FlowError::Ledger(LedgerError::Held { .. }) => {
                Some("wait for it, or look at it with `unship status`".into())
            }
            FlowError::Interrupted { why, .. } if why.holder().is_some() => {
                Some("what was begun is in the journal; see who acts now with `unship status`".into())
            }
            FlowError::Overtaken { .. } => {
                Some("see what serves now with `unship status`, then decide again".into())
            }
            FlowError::Interrupted { .. } | FlowError::Unfinished { .. } => {
                Some("go on with `unship resume`, or take it back with `unship abort`".into())
            }
            FlowError::SchemaUnknown { .. } => {
                Some("if you know that the old code runs there, say so with `--accept-unknown-schema`".into())
            }
            FlowError::JournalBroken { run, .. } => Some(format!(
                "put `{run}.journal` in the ledger's folder aside once you have read it; until then \
                 `unship rollback --break-glass` passes over it"
            )),
            FlowError::Journal(_) | FlowError::Ledger(LedgerError::Failed { .. }) => {
                Some("at 3 a.m., act on the hosts alone: `unship rollback --break-glass`".into())
            }
            FlowError::HostsDiffer { .. } => Some("name the target with `--to TAG`".into()),
            FlowError::UnknownRelease { known, .. } => tags("known", known),
            FlowError::NotQuarantined { bad, .. } => tags("in quarantine", bad),
            FlowError::Source(SourceError { hint, .. }) | FlowError::Host { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}
