//! What flows need from the world. Few, small, and the only things a flow calls; `wire.rs` says who is
//! behind them.

mod aftercare;
mod database;
mod evidence;
mod sender;
mod shadows;
mod tunnel;

pub use aftercare::{Aftercare, Delivery, DeliveryState, no_such};
pub use database::{
    CONFLICTS_MAX, Conflict, Database, DatabaseFailure, Fence, Landed, Live, OnConflict, Rehearsed, Restored,
    Salvaged, StepBy, SteppedDown, Store,
};
pub use evidence::{Acting, CiSource, FlagSource};
pub use sender::{Answered, HeaderText, Method, Outgoing, Secret, SendError, Sender};
pub use shadows::{AtStart, BootSaid, Lent, LiveSchema, SchemaSettings, Shadows};
pub use tunnel::{Listens, Tunnel, Tunnels};

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use unship_core::capsule::{Capsule, Manifest};
use unship_core::down::Trial;
use unship_core::flags::FlagName;
use unship_core::history::MarkEntry;
use unship_core::journal::Entry;
use unship_core::protocol::{Envelope, Holder, HostReply};
use unship_core::queries::{Outcome, Query};
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::running::UnitFile;
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
    /// What to run, where that can be said.
    pub hint: Option<String>,
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
    /// What travels with a release that was not built here: read from the tag, with its unit files.
    async fn capsule_of(
        &self,
        tag: &Tag,
        manifest: &Manifest,
        units: &[UnitFile],
    ) -> Result<Capsule, SourceError>;
    /// Keeps what is known of a release whose files are not here.
    async fn keep_papers(&self, manifest: &Manifest, capsule: &Capsule) -> Result<(), SourceError>;
    /// A release that was built before.
    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError>;
    /// Reads from the tag what the configuration names by now and the capsule of a release that was built before lacks.
    async fn refresh(&self, release: &Release) -> Result<(), SourceError>;
    /// Keeps another capsule of a release that was built before.
    async fn keep_capsule(&self, capsule: &Capsule) -> Result<(), SourceError>;
    /// Of `names`, those that the tracked files of `new` hold and those of `old` do not.
    async fn introduced(
        &self,
        new: &Release,
        old: Option<&Release>,
        names: &[FlagName],
    ) -> Result<Vec<FlagName>, SourceError>;
}

/// The repository that the releases come from, for a hotfix.
#[async_trait]
pub trait Repository: Send + Sync {
    /// Every tag that could name a release.
    async fn tags(&self) -> Result<BTreeSet<Tag>, SourceError>;
    /// Makes a branch at a tag's commit. The work tree stays as it is. One that is there at that commit will do.
    async fn branch(&self, name: &str, at: &Tag) -> Result<(), SourceError>;
    /// Whether what `new` names has everything that `old` names.
    async fn is_on_top(&self, new: &Tag, old: &Tag) -> Result<bool, SourceError>;
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

/// The user's own deploy command, for the strategy `command`. It cannot be fenced: one that was started goes on
/// when unship is gone.
#[async_trait]
pub trait DeployCommand: Send + Sync {
    /// Checks the tag out, sees whether the command could run there, and gives the release that it will bring out.
    /// Changes nothing on any host. Fails while an earlier command runs.
    async fn prepare(&self, tag: &Tag, progress: &dyn Progress) -> Result<Artifact, SourceError>;
    /// What will be run for the release, a line a command, as a person would type it.
    fn shown(&self, release: &Release) -> Vec<String>;
    /// Returns when no earlier command runs any more; fails when one takes longer than it may.
    async fn wait_for_earlier(&self, progress: &dyn Progress) -> Result<(), CheckFailure>;
    /// Runs the command to its end, in what was prepared for the release, or in what is prepared now. What came of
    /// it on the hosts is another question.
    async fn run(
        &self,
        run: &RunId,
        release: &Release,
        progress: &dyn Progress,
    ) -> Result<String, CheckFailure>;
}

/// Looks at the service from outside.
#[async_trait]
pub trait Prober: Send + Sync {
    /// Asks until the service on the host answers well as `tag`, or the configured time is up.
    async fn probe(&self, host: &HostName, tag: &Tag) -> Result<String, CheckFailure>;
    /// Opens so many connections at once, and as many one after the other, and asks once on each; fails with the first answer that is not
    /// `tag`'s. A prober that has nobody to ask has nothing to say against it.
    async fn all_answer(&self, _host: &HostName, _tag: &Tag, _connections: usize) -> Result<(), String> {
        Ok(())
    }
    /// One question to the service on the host, whichever release answers: how long a good answer took, or none when
    /// no good one came. None at all when nobody can be asked.
    async fn beat(&self, _host: &HostName) -> Option<Option<Duration>> {
        None
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
    /// A line that a program wrote which is under way.
    fn said(&self, _line: &str) {}
}

/// One host with the way to it.
#[derive(Clone)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// How to ask it.
    pub transport: Arc<dyn HostTransport>,
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
    /// The repository that they come from.
    pub repository: Arc<dyn Repository>,
    /// Looks from outside.
    pub prober: Arc<dyn Prober>,
    /// The service's own commands.
    pub commands: Arc<dyn ServiceCommands>,
    /// What brings releases to the hosts, where unship does not do that itself.
    pub deploy: Option<Arc<dyn DeployCommand>>,
    /// The environment's flags; none when nothing is configured.
    pub flags: Option<Arc<dyn FlagSource>>,
    /// Who knows whether a commit passed; none when nothing is configured.
    pub ci: Option<Arc<dyn CiSource>>,
    /// Who tells people; none when nothing is configured.
    pub aftercare: Option<Arc<dyn Aftercare>>,
    /// The service's own database; none where `[database]` is not configured.
    pub database: Option<Arc<dyn Database>>,
    /// Throwaway databases; none for a service without migrations.
    pub shadows: Option<Arc<dyn Shadows>>,
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
    /// Whether a deploy puts the release's own file of flags where the service reads it.
    pub installs_flags: bool,
    /// Whether the service has no schema at all.
    pub stateless: bool,
    /// How many releases to keep besides the current one and the one to go back to.
    pub keep_releases: usize,
    /// How many hosts are flipped at the same time.
    pub waves: unship_core::plan::WaveSize,
    /// Hosts that the operator leaves out: they are not asked, and named as not reached.
    pub without: std::collections::BTreeSet<HostName>,
}

/// A throwaway database on which migrations are run one after the other.
#[async_trait]
pub trait Shadow: Send {
    /// Runs the up, the down and the up again, and reads the catalog after each. Afterwards the database is
    /// where the up left it. An error means that the shadow itself is of no use any more.
    async fn step(&mut self, migration: &Migration) -> Result<StepRun, ShadowFailure>;
    /// Runs only the up.
    async fn apply(&mut self, migration: &Migration) -> Result<Result<(), RunFailure>, ShadowFailure>;
    /// Runs only the down, for good, inside one transaction where that holds it and else as its tool does. The
    /// database is then where the down left it; where it did not run, as it was.
    async fn take_down(&mut self, migration: &Migration) -> Result<Trial, ShadowFailure>;
    /// Runs the downs of the given migrations, newest first, and gives the catalog after them; nothing if one
    /// did not run. Afterwards the database is where it was.
    async fn undo_together(&mut self, newest_first: &[&Migration]) -> Result<Option<Catalog>, ShadowFailure>;
    /// Plans queries on the database as it is, with the rights of `role` if one is given; an outcome for each.
    async fn plan_queries(
        &mut self,
        queries: &[Query],
        role: Option<&str>,
    ) -> Result<Vec<Outcome>, ShadowFailure>;
    /// The catalog of the database as it is.
    async fn catalog(&mut self) -> Result<Catalog, ShadowFailure>;
    /// Lends the database as it is, with the tool's own account of these migrations in it, to another program.
    async fn lend(&mut self, applied: &[Migration]) -> Result<Lent, ShadowFailure>;
    /// From here on steps say which locks they took.
    fn watch_locks(&mut self) {}
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
