//! Why a flow did not do what was asked. Each says what to run.

mod hint;

use unship_core::decision::Decided;
use unship_core::down::{LossReport, SpanError};
use unship_core::explain;
use unship_core::flags::FlagName;
use unship_core::history::TargetError;
use unship_core::plan::{MissingHost, PlanError};
use unship_core::protocol::{Holder, Refusal};
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::tools::Tool;

use crate::ports::{
    CheckFailure, DatabaseFailure, Fence, JournalFailure, LedgerError, ShadowFailure, SourceError,
    TransportError,
};

/// Why a flow stopped before it had a plan, or could not go on with one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no release to go back to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The operator said stop before anything was begun.
    #[error("stopped as asked, before anything was begun")]
    NotBegun,
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
    /// Hosts did not answer without which nothing is begun.
    #[error("{}", missing(.hosts))]
    HostsMissing {
        /// The hosts, with why.
        hosts: Vec<MissingHost>,
    },
    /// There is no artifact.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The service's database did not do what was asked.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
    /// A migration that the release carries was taken down, and is fenced.
    #[error("{migration} was taken down with {release} and must not come back: {reason}")]
    Fenced {
        /// The migration.
        migration: String,
        /// The bad release, as far as it is known.
        release: String,
        /// Why it was taken down.
        reason: String,
    },
    /// The hotfix is not on top of the bad release.
    #[error("{tag} does not have what {bad} has: it is no hotfix on top of it")]
    NotOnTop {
        /// The hotfix.
        tag: Tag,
        /// The bad release.
        bad: Tag,
    },
    /// The hotfix has not shown what it must.
    #[error("{tag} is not shipped: {}", .why.join("; "))]
    HotfixUnproven {
        /// The hotfix.
        tag: Tag,
        /// What is missing, a sentence each.
        why: Vec<String>,
    },
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
    /// The unfinished run is none that can be taken back as a whole.
    #[error(
        "run {run} ({what}) is not taken back as a whole: it takes no migration down, and did not halt with the target serving nowhere"
    )]
    NoWayBack {
        /// The run.
        run: RunId,
        /// What it does.
        what: String,
    },
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
    /// The old code cannot run on the schema as it is, and the code alone is not gone back.
    #[error("{target} cannot run on the schema of {from}: {why}")]
    SchemaBreaks {
        /// What serves now.
        from: Release,
        /// What would be gone back to.
        target: Release,
        /// What breaks it.
        why: String,
    },
    /// Option 3 cannot be taken.
    #[error("option 3 is refused: {why}")]
    DownRefused {
        /// What serves now.
        bad: Release,
        /// What would be gone back to.
        target: Release,
        /// Every reason.
        why: String,
    },
    /// Option 3 destroys what somebody wrote, and nobody has accepted that.
    #[error("going from {bad} to {target} takes migrations down that destroy data: {}", losses(.reports))]
    LossNotAccepted {
        /// What serves now.
        bad: Release,
        /// What would be gone back to.
        target: Release,
        /// What is not accepted yet, a report a migration.
        reports: Vec<LossReport>,
    },
    /// The table says to go forward, and nobody overruled it.
    #[error("the decision is to {}", explain::headline(&.decided.facts, &.decided.decision))]
    GoForward {
        /// What was decided, and from what.
        decided: Box<Decided>,
        /// What serves now.
        from: Option<Release>,
        /// What would be gone back to.
        target: Release,
    },
    /// Nothing here can stop the service, so it cannot be held.
    #[error("the service cannot be held: the user's own deploy command starts and stops it")]
    HoldWithCommand,
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
    /// The service's database is not configured.
    #[error("unship.toml has no [database]")]
    NoDatabase,
    /// There is no throwaway database to try anything on.
    #[error("unship.toml has no [migrations]")]
    NoShadows,
    /// The throwaway database failed.
    #[error("the throwaway database failed: {0}")]
    Shadow(#[from] ShadowFailure),
    /// It is not known which migrations to take down.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// The migrations that a release carries cannot be read.
    #[error("the migrations of {release} cannot be read: {why}")]
    Migrations {
        /// The release.
        release: Release,
        /// Why.
        why: String,
    },
    /// The migration tool itself would refuse.
    #[error("{tool} would refuse: {why}")]
    ToolRefuses {
        /// The tool.
        tool: Tool,
        /// Why.
        why: String,
    },
    /// The run left nothing salvaged, or it was dropped.
    #[error("nothing is salvaged of {}run {run}", .step.map(|step| format!("step {step} of ")).unwrap_or_default())]
    NothingSalvaged {
        /// The run.
        run: RunId,
        /// The step, if one was named.
        step: Option<usize>,
        /// The runs of which something is.
        known: Vec<RunId>,
    },
    /// No flags are configured.
    #[error("unship.toml has no [flags]")]
    NoFlags,
    /// The flags could not be read.
    #[error("{failure}")]
    Flags {
        /// Why.
        failure: CheckFailure,
    },
    /// The named flag is not there.
    #[error("there is no flag `{name}`")]
    UnknownFlag {
        /// The flag.
        name: FlagName,
        /// The flags that there are.
        known: Vec<FlagName>,
    },
    /// The run turned no flag off.
    #[error("run {run} turned no flag off")]
    NoFlagsTurnedOff {
        /// The run.
        run: RunId,
    },
}

fn missing(hosts: &[MissingHost]) -> String {
    let each = |missing: &MissingHost| format!("{} does not answer: {}", missing.host, missing.why);
    hosts.iter().map(each).collect::<Vec<_>>().join("; ")
}

fn losses(reports: &[LossReport]) -> String {
    let lost = reports.iter().flat_map(|report| {
        let lost = report.losses.iter().filter(|loss| loss.affected > 0);
        lost.map(|loss| format!("{} {}", report.migration, explain::loss(loss)))
    });
    lost.collect::<Vec<_>>().join("; ")
}

impl FlowError {
    /// A migration meets a fence.
    pub(super) fn fenced(fence: Fence) -> FlowError {
        let release = fence.release.map_or_else(|| "a release".to_owned(), |of| of.to_string());
        FlowError::Fenced { migration: fence.migration, release, reason: fence.reason }
    }

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
}
