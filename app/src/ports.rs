//! What flows need from the world. Few, small, and the only things a flow calls; `wire.rs` says who is
//! behind them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use unship_core::aftercare::Notice;
use unship_core::capsule::{Capsule, Manifest};
use unship_core::history::MarkEntry;
use unship_core::journal::Entry;
use unship_core::protocol::{Envelope, Holder, HostReply};
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::schema::Catalog;
use unship_core::time::Timestamp;
use unship_core::tools::Migration;
use unship_core::verdict::{RunFailure, StepRun};

/// The time of day, for the journal and for people.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// A way to ask a host.
#[async_trait]
pub trait HostTransport: Send + Sync {
    /// Sends one request and waits for its answer. An error means that it is not known whether the request
    /// was carried out.
    async fn call(&self, envelope: Envelope) -> Result<HostReply, TransportError>;
}

/// A host did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} does not answer: {why}")]
pub struct TransportError {
    /// The host.
    pub host: HostName,
    /// Why, as far as is known.
    pub why: String,
}

/// Lease and history. Append-only.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes the lease of the environment for a run, or says who has it.
    async fn acquire(&self, holder: &Holder) -> Result<(), LedgerError>;
    /// Prolongs the run's lease; fails when another run has taken it over.
    async fn renew(&self, run: &RunId) -> Result<(), LedgerError>;
    /// Gives the lease back.
    async fn release(&self, run: &RunId) -> Result<(), LedgerError>;
    /// Takes the lease from whoever has it and leaves it free; who that was. The hosts keep the one who lost
    /// it from acting as soon as another run claims them.
    async fn take(&self) -> Result<Option<Holder>, LedgerError>;
    /// Who has the lease, if anybody.
    async fn holder(&self) -> Result<Option<Holder>, LedgerError>;
    /// Adds a run's entries; those that are there already are left as they are.
    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), LedgerError>;
    /// The entries of a run, in order.
    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, LedgerError>;
    /// The newest runs, newest first.
    async fn runs(&self, count_max: u32) -> Result<Vec<RunId>, LedgerError>;
    /// Adds a mark that belongs to no run.
    async fn mark(&self, mark: &MarkEntry) -> Result<(), LedgerError>;
    /// All marks, in the order in which they were made.
    async fn marks(&self) -> Result<Vec<MarkEntry>, LedgerError>;
    /// Reads everything and says what is damaged; nothing when all is well.
    async fn verify(&self) -> Result<Vec<String>, LedgerError>;
}

/// Why the ledger did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Another run has the environment.
    #[error("{} has the environment: {}", .holder.who, .holder.what)]
    Held {
        /// Who.
        holder: Box<Holder>,
    },
    /// The run does without a ledger.
    #[error("the ledger was not asked")]
    NotAsked,
    /// The run lost its lease to another.
    #[error("the lease of run {run} is gone")]
    Lost {
        /// The run.
        run: RunId,
    },
    /// Written by a newer unship.
    #[error("the ledger `{place}` has version {found}; this unship knows {known}")]
    Newer {
        /// Where it is.
        place: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It cannot be read or written.
    #[error("the ledger `{place}` failed: {why}")]
    Failed {
        /// Where it is.
        place: String,
        /// Why.
        why: String,
    },
}

/// The local journals, one file a run, durable before the act.
pub trait Journals: Send + Sync {
    /// Makes the file of a new run.
    fn create(&self, run: &RunId) -> Result<Box<dyn Journal>, JournalFailure>;
    /// The entries of a run so far, while another process may be writing them; none when it was closed.
    fn read(&self, run: &RunId) -> Result<Vec<Entry>, JournalFailure>;
    /// Opens the file of a run to go on, with its entries so far. For the holder of the lease alone.
    fn open(&self, run: &RunId) -> Result<(Box<dyn Journal>, Vec<Entry>), JournalFailure>;
    /// The runs whose file is not closed, oldest first.
    fn open_runs(&self) -> Result<Vec<RunId>, JournalFailure>;
    /// Puts the file of a run aside: it ended and the ledger has all of it.
    fn close(&self, run: &RunId) -> Result<(), JournalFailure>;
}

/// One run's journal.
pub trait Journal: Send {
    /// Adds an entry and returns when it is on the disk. Fails when another process has gone on with the run.
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFailure>;
}

/// The local journal cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal `{place}` failed: {why}")]
pub struct JournalFailure {
    /// The file.
    pub place: String,
    /// Why.
    pub why: String,
}

/// A release's files on the operator's machine.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its manifest.
    pub manifest: Manifest,
    /// The folder in which the manifest's paths are.
    pub folder: PathBuf,
    /// What travels with it.
    pub capsule: Capsule,
}

/// Where releases come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Builds the release of a tag, or finds the one that was built before, and keeps it.
    async fn build(&self, tag: &Tag, progress: &dyn Progress) -> Result<Artifact, SourceError>;
    /// A release that was built before.
    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError>;
}

/// Why there is no artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What went wrong, naming the tag, the command or the file.
    pub message: String,
    /// What to run or write.
    pub hint: Option<String>,
}

/// Looks at the service from outside.
#[async_trait]
pub trait Prober: Send + Sync {
    /// Asks until the service on the host answers well as `tag`, or the configured time is up.
    async fn probe(&self, host: &HostName, tag: &Tag) -> Result<String, CheckFailure>;
    /// Opens so many connections at once, and as many one after the other, and asks once on each; fails with the first answer that is not
    /// `tag`'s. A prober that has nobody to ask has nothing to say against it.
    async fn all_answer(&self, _tag: &Tag, _connections: usize) -> Result<(), String> {
        Ok(())
    }
}

/// Runs the service's own commands.
#[async_trait]
pub trait ServiceCommands: Send + Sync {
    /// Applies the release's migrations.
    async fn migrate_up(&self, release: &Release) -> Result<String, CheckFailure>;
    /// Runs the smoke command against the release.
    async fn smoke(&self, release: &Release) -> Result<String, CheckFailure>;
}

/// Something that was looked at or run did not do what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CheckFailure {
    /// What was seen, in one sentence.
    pub message: String,
    /// What to run to see it, or what to change.
    pub hint: Option<String>,
}

/// What a person sees while a run goes on.
pub trait Progress: Send + Sync {
    /// A piece of work began.
    fn started(&self, title: &str);
    /// It ended well.
    fn done(&self, title: &str, took_ms: u64);
    /// It ended badly.
    fn failed(&self, title: &str, error: &str);
    /// Something worth saying in between.
    fn note(&self, text: &str);
}

/// One host with the way to it.
#[derive(Clone)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// How to ask it.
    pub transport: Arc<dyn HostTransport>,
}

/// Tells people what came of a rollback. It fails no rollback, and being asked twice it tells once.
#[async_trait]
pub trait Aftercare: Send + Sync {
    /// Tells it.
    async fn tell(&self, notice: &Notice) -> Result<(), CheckFailure>;
}

/// Everything a flow acts through, for one service in one environment.
#[derive(Clone)]
pub struct World {
    /// What it acts on.
    pub target: Target,
    /// The hosts, in the order in which they are flipped.
    pub hosts: Vec<Host>,
    /// Lease and history.
    pub ledger: Arc<dyn Ledger>,
    /// The local journals.
    pub journals: Arc<dyn Journals>,
    /// Where releases come from.
    pub source: Arc<dyn Source>,
    /// Looks from outside.
    pub prober: Arc<dyn Prober>,
    /// The service's own commands.
    pub commands: Arc<dyn ServiceCommands>,
    /// Who tells people; none when nothing is configured.
    pub aftercare: Option<Arc<dyn Aftercare>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What a person sees.
    pub progress: Arc<dyn Progress>,
}

/// What flows need to know of the configuration.
#[derive(Debug, Clone)]
pub struct Target {
    /// The service as hosts are told of it.
    pub service: unship_core::protocol::ServiceSpec,
    /// The environment.
    pub environment: unship_core::release::EnvironmentName,
    /// `user@machine`.
    pub who: String,
    /// The operator said that the hosts alone must do: what is damaged elsewhere is passed over.
    pub break_glass: bool,
    /// Whether there is a command that applies migrations.
    pub migrates: bool,
    /// Whether there is a smoke command.
    pub smokes: bool,
    /// Whether the service has no schema at all.
    pub stateless: bool,
    /// How many releases to keep besides the current one and the one to go back to.
    pub keep_releases: usize,
}

/// A throwaway database on which migrations are run one after the other.
#[async_trait]
pub trait Shadow: Send {
    /// Runs the up, the down and the up again, and reads the catalog after each. Afterwards the database is
    /// where the up left it. An error means that the shadow itself is of no use any more.
    async fn step(&mut self, migration: &Migration) -> Result<StepRun, ShadowFailure>;
    /// Runs only the up.
    async fn apply(&mut self, migration: &Migration) -> Result<Result<(), RunFailure>, ShadowFailure>;
    /// Runs the downs of the given migrations, newest first, and gives the catalog after them; nothing if one
    /// did not run. Afterwards the database is where it was.
    async fn undo_together(&mut self, newest_first: &[&Migration]) -> Result<Option<Catalog>, ShadowFailure>;
    /// Which database it is: `PostgreSQL 17.10`.
    fn name(&self) -> String;
    /// Throws it away.
    async fn close(self: Box<Self>) -> Result<(), ShadowFailure>;
}

/// The throwaway database failed, not a migration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ShadowFailure {
    /// What went wrong.
    pub message: String,
    /// What to run or give.
    pub hint: Option<String>,
}
