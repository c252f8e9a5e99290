//! Kill points: every call of a run through a port is one before it and one after it, and what a port does
//! inside may be more. They are counted by running, so a new step kind or a new call has its points without
//! a change here.
//!
//! A process that dies does nothing more: the flow's future is unwound at the point, and every later call of
//! what it left behind (a heartbeat) ends in the same way.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures_util::FutureExt;
use unship::ports::*;
use unship_core::aftercare::Notice;
use unship_core::capsule::Capsule;
use unship_core::capsule::Manifest;
use unship_core::ci::CiProof;
use unship_core::down::{Dialect, Loss, LossKind, Program};
use unship_core::flags::{FlagName, FlagState, FlagValue};
use unship_core::history::MarkEntry;
use unship_core::journal::Entry;
use unship_core::protocol::{Envelope, Holder, HostReply};
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::running::UnitFile;
use unship_core::schema::Catalog;
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, Tool};

/// The points of one process.
#[derive(Default)]
pub struct Points {
    kill_at: Option<usize>,
    visit: Option<Visit>,
    dead: AtomicBool,
    names: Mutex<Vec<String>>,
}

/// Called at every point with its number and name, before anything else.
type Visit = Box<dyn Fn(usize, &str) + Send + Sync>;

struct Killed;

impl Points {
    /// A process that is never killed.
    pub fn none() -> Arc<Points> {
        Arc::default()
    }

    /// A process that is killed at the point.
    pub fn kill_at(point: usize) -> Arc<Points> {
        Arc::new(Points { kill_at: Some(point), ..Points::default() })
    }

    /// Something else happens at the points, while the process stands still.
    pub fn visited(
        kill_at: Option<usize>,
        visit: impl Fn(usize, &str) + Send + Sync + 'static,
    ) -> Arc<Points> {
        Arc::new(Points { kill_at, visit: Some(Box::new(visit)), ..Points::default() })
    }

    /// The points that were passed, in order.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Passes a point, or dies there.
    pub fn pass(&self, name: impl Into<String>) {
        if !self.is_dead() {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let (number, name) = (names.len(), name.into());
            names.push(name.clone());
            drop(names);
            if let Some(visit) = &self.visit {
                visit(number, &name);
            }
            if self.kill_at != Some(number) {
                return;
            }
            self.dead.store(true, Ordering::SeqCst);
        }
        // No panic hook, no message: this is what the test wanted.
        std::panic::resume_unwind(Box::new(Killed));
    }

    fn around<T>(&self, name: &str, call: impl FnOnce() -> T) -> T {
        self.pass(format!("before {name}"));
        let result = call();
        self.pass(format!("after {name}"));
        result
    }

    async fn around_async<T>(&self, name: &str, call: impl Future<Output = T>) -> T {
        self.pass(format!("before {name}"));
        let result = call.await;
        self.pass(format!("after {name}"));
        result
    }
}

/// Runs a flow until it ends or dies; none when it died.
pub async fn until_killed<T>(flow: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(flow).catch_unwind().await {
        Ok(result) => Some(result),
        Err(why) if <dyn Any>::is::<Killed>(&*why) => None,
        Err(why) => std::panic::resume_unwind(why),
    }
}

/// The world with a kill point around everything. A port that is added to the world is missing here: the match
/// has no rest.
pub fn with_points(mut world: World, points: &Arc<Points>) -> World {
    let World {
        target: _,
        hosts: _,
        ledger: _,
        journals: _,
        source: _,
        // It is asked about tags alone; a branch is made before any run.
        repository: _,
        prober: _,
        commands: _,
        deploy: _,
        flags: _,
        ci: _,
        aftercare: _,
        database: _,
        // Throwaway databases change nothing that stays.
        shadows: _,
        // Reading the time changes nothing.
        clock: _,
        progress: _,
    } = &world;
    let points = || Arc::clone(points);
    for host in &mut world.hosts {
        host.transport = Arc::new(Wrapped { inner: Arc::clone(&host.transport), points: points() });
    }
    world.ledger = Arc::new(Wrapped { inner: world.ledger, points: points() });
    world.journals = Arc::new(Wrapped { inner: world.journals, points: points() });
    world.source = Arc::new(Wrapped { inner: world.source, points: points() });
    world.prober = Arc::new(Wrapped { inner: world.prober, points: points() });
    world.commands = Arc::new(Wrapped { inner: world.commands, points: points() });
    if let Some(inner) = world.deploy {
        world.deploy = Some(Arc::new(Wrapped { inner, points: points() }));
    }
    if let Some(inner) = world.flags {
        world.flags = Some(Arc::new(Wrapped { inner, points: points() }));
    }
    if let Some(inner) = world.ci {
        world.ci = Some(Arc::new(Wrapped { inner, points: points() }));
    }
    if let Some(inner) = world.aftercare {
        world.aftercare = Some(Arc::new(Wrapped { inner, points: points() }));
    }
    if let Some(inner) = world.database {
        world.database = Some(Arc::new(Wrapped { inner, points: points() }));
    }
    world.progress = Arc::new(Wrapped { inner: world.progress, points: points() });
    world
}

struct Wrapped<T: ?Sized> {
    inner: Arc<T>,
    points: Arc<Points>,
}

/// The word for a request, as it is in the protocol's JSON.
pub fn word(envelope: &Envelope) -> String {
    let json = serde_json::to_value(&envelope.request).unwrap_or_default();
    json.get("request").and_then(|word| word.as_str()).unwrap_or("?").to_owned()
}

#[async_trait]
impl HostTransport for Wrapped<dyn HostTransport> {
    async fn call(&self, envelope: Envelope) -> Result<HostReply, TransportError> {
        let name = format!("host {} step {}", word(&envelope), envelope.step);
        self.points.around_async(&name, self.inner.call(envelope)).await
    }
}

#[async_trait]
impl Ledger for Wrapped<dyn Ledger> {
    async fn acquire(&self, holder: &Holder) -> Result<(), LedgerError> {
        self.points.around_async("ledger acquire", self.inner.acquire(holder)).await
    }

    async fn renew(&self, run: &RunId) -> Result<(), LedgerError> {
        self.points.around_async("ledger renew", self.inner.renew(run)).await
    }

    async fn release(&self, run: &RunId) -> Result<(), LedgerError> {
        self.points.around_async("ledger release", self.inner.release(run)).await
    }

    async fn take(&self) -> Result<Option<Holder>, LedgerError> {
        self.points.around_async("ledger take", self.inner.take()).await
    }

    async fn verify(&self) -> Result<Vec<String>, LedgerError> {
        self.points.around_async("ledger verify", self.inner.verify()).await
    }

    async fn holder(&self) -> Result<Option<Holder>, LedgerError> {
        self.points.around_async("ledger holder", self.inner.holder()).await
    }

    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), LedgerError> {
        self.points.around_async("ledger append", self.inner.append(run, entries)).await
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, LedgerError> {
        self.points.around_async("ledger entries", self.inner.entries(run)).await
    }

    async fn runs(&self, count_max: u32) -> Result<Vec<RunId>, LedgerError> {
        self.points.around_async("ledger runs", self.inner.runs(count_max)).await
    }

    async fn mark(&self, mark: &MarkEntry) -> Result<(), LedgerError> {
        self.points.around_async("ledger mark", self.inner.mark(mark)).await
    }

    async fn marks(&self) -> Result<Vec<MarkEntry>, LedgerError> {
        self.points.around_async("ledger marks", self.inner.marks()).await
    }
}

impl Journals for Wrapped<dyn Journals> {
    fn create(&self, run: &RunId) -> Result<Box<dyn Journal>, JournalFailure> {
        let inner = self.points.around("journal create", || self.inner.create(run))?;
        Ok(Box::new(WrappedJournal { inner, points: Arc::clone(&self.points) }))
    }

    fn read(&self, run: &RunId) -> Result<Vec<Entry>, JournalFailure> {
        self.points.around("journal read", || self.inner.read(run))
    }

    fn open(&self, run: &RunId) -> Result<(Box<dyn Journal>, Vec<Entry>), JournalFailure> {
        let (inner, entries) = self.points.around("journal open", || self.inner.open(run))?;
        Ok((Box::new(WrappedJournal { inner, points: Arc::clone(&self.points) }), entries))
    }

    fn open_runs(&self) -> Result<Vec<RunId>, JournalFailure> {
        self.points.around("journal open_runs", || self.inner.open_runs())
    }

    fn close(&self, run: &RunId) -> Result<(), JournalFailure> {
        self.points.around("journal close", || self.inner.close(run))
    }
}

struct WrappedJournal {
    inner: Box<dyn Journal>,
    points: Arc<Points>,
}

impl Journal for WrappedJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFailure> {
        let json = serde_json::to_value(entry).unwrap_or_default();
        let event = json.get("event").and_then(|word| word.as_str()).unwrap_or("?").to_owned();
        let inner = &mut self.inner;
        self.points.around(&format!("append {event}"), || inner.append(entry))
    }
}

#[async_trait]
impl Source for Wrapped<dyn Source> {
    async fn build(&self, tag: &Tag, progress: &dyn Progress) -> Result<Artifact, SourceError> {
        self.points.around_async("source build", self.inner.build(tag, progress)).await
    }

    async fn capsule_of(
        &self,
        tag: &Tag,
        manifest: &Manifest,
        units: &[UnitFile],
    ) -> Result<Capsule, SourceError> {
        self.points.around_async("source capsule_of", self.inner.capsule_of(tag, manifest, units)).await
    }

    async fn keep_papers(&self, manifest: &Manifest, capsule: &Capsule) -> Result<(), SourceError> {
        self.points.around_async("source keep_papers", self.inner.keep_papers(manifest, capsule)).await
    }

    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError> {
        self.points.around_async("source kept", self.inner.kept(release)).await
    }

    async fn refresh(&self, release: &Release) -> Result<(), SourceError> {
        self.points.around_async("source refresh", self.inner.refresh(release)).await
    }

    async fn keep_capsule(&self, capsule: &Capsule) -> Result<(), SourceError> {
        self.points.around_async("source keep_capsule", self.inner.keep_capsule(capsule)).await
    }

    async fn introduced(
        &self,
        new: &Release,
        old: Option<&Release>,
        names: &[FlagName],
    ) -> Result<Vec<FlagName>, SourceError> {
        self.points.around_async("source introduced", self.inner.introduced(new, old, names)).await
    }
}

#[async_trait]
impl FlagSource for Wrapped<dyn FlagSource> {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure> {
        self.points.around_async("flags read", self.inner.read()).await
    }

    async fn set(&self, flag: &FlagName, to: &FlagValue, acting: &Acting) -> Result<(), CheckFailure> {
        self.points.around_async("flags set", self.inner.set(flag, to, acting)).await
    }

    async fn install(&self, new: &str, old: Option<&str>, acting: &Acting) -> Result<(), CheckFailure> {
        self.points.around_async("flags install", self.inner.install(new, old, acting)).await
    }
}

#[async_trait]
impl Database for Wrapped<dyn Database> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn look(&self, tool: Tool) -> Result<Live, DatabaseFailure> {
        self.points.around_async("database look", self.inner.look(tool)).await
    }

    async fn catalog(&self, tool: Tool) -> Result<Catalog, DatabaseFailure> {
        self.points.around_async("database catalog", self.inner.catalog(tool)).await
    }

    async fn count(
        &self,
        kinds: &[LossKind],
        since: Option<Timestamp>,
    ) -> Result<Vec<Loss>, DatabaseFailure> {
        self.points.around_async("database count", self.inner.count(kinds, since)).await
    }

    async fn in_the_way(&self, before: &Catalog, after: &Catalog) -> Result<Vec<String>, DatabaseFailure> {
        self.points.around_async("database in_the_way", self.inner.in_the_way(before, after)).await
    }

    async fn step_down(
        &self,
        program: &Program,
        by: &StepBy,
        progress: &dyn Progress,
    ) -> Result<SteppedDown, DatabaseFailure> {
        self.points.around_async("database step_down", self.inner.step_down(program, by, progress)).await
    }

    async fn landed(&self, program: &Program) -> Result<Landed, DatabaseFailure> {
        self.points.around_async("database landed", self.inner.landed(program)).await
    }

    async fn step_up(&self, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure> {
        self.points.around_async("database step_up", self.inner.step_up(migration, live)).await
    }

    async fn fences(&self) -> Result<Vec<Fence>, DatabaseFailure> {
        self.points.around_async("database fences", self.inner.fences()).await
    }

    async fn lift_fences(&self, release: &Release) -> Result<Vec<Fence>, DatabaseFailure> {
        self.points.around_async("database lift_fences", self.inner.lift_fences(release)).await
    }

    async fn salvaged(&self) -> Result<Vec<Salvaged>, DatabaseFailure> {
        self.points.around_async("database salvaged", self.inner.salvaged()).await
    }

    async fn export(&self, salvage: &Salvaged, folder: &Path) -> Result<Vec<PathBuf>, DatabaseFailure> {
        self.points.around_async("database export", self.inner.export(salvage, folder)).await
    }

    async fn drop_salvage(&self, salvage: &Salvaged) -> Result<(), DatabaseFailure> {
        self.points.around_async("database drop_salvage", self.inner.drop_salvage(salvage)).await
    }

    async fn restore(
        &self,
        salvage: &Salvaged,
        conflicts: OnConflict,
        dry_run: bool,
        progress: &dyn Progress,
    ) -> Result<Restored, DatabaseFailure> {
        let restoring = self.inner.restore(salvage, conflicts, dry_run, progress);
        self.points.around_async("database restore", restoring).await
    }
}

#[async_trait]
impl CiSource for Wrapped<dyn CiSource> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn required(&self) -> &[String] {
        self.inner.required()
    }

    async fn ask(&self, commit: &str, tag: &Tag) -> Result<CiProof, CheckFailure> {
        self.points.around_async("ci ask", self.inner.ask(commit, tag)).await
    }
}

#[async_trait]
impl DeployCommand for Wrapped<dyn DeployCommand> {
    async fn prepare(&self, tag: &Tag, progress: &dyn Progress) -> Result<Artifact, SourceError> {
        self.points.around_async("command prepare", self.inner.prepare(tag, progress)).await
    }

    fn shown(&self, release: &Release) -> Vec<String> {
        self.inner.shown(release)
    }

    async fn wait_for_earlier(&self, progress: &dyn Progress) -> Result<(), CheckFailure> {
        self.points.around_async("command wait_for_earlier", self.inner.wait_for_earlier(progress)).await
    }

    async fn run(
        &self,
        run: &RunId,
        release: &Release,
        progress: &dyn Progress,
    ) -> Result<String, CheckFailure> {
        self.points.around_async("command run", self.inner.run(run, release, progress)).await
    }
}

#[async_trait]
impl Prober for Wrapped<dyn Prober> {
    async fn probe(&self, host: &HostName, tag: &Tag) -> Result<String, CheckFailure> {
        self.points.around_async("probe", self.inner.probe(host, tag)).await
    }
}

#[async_trait]
impl Aftercare for Wrapped<dyn Aftercare> {
    async fn tell(&self, notice: &Notice) -> Result<(), CheckFailure> {
        self.points.around_async("aftercare tell", self.inner.tell(notice)).await
    }
}

#[async_trait]
impl ServiceCommands for Wrapped<dyn ServiceCommands> {
    async fn migrate_up(&self, release: &Release) -> Result<String, CheckFailure> {
        self.points.around_async("migrate_up", self.inner.migrate_up(release)).await
    }

    async fn smoke(&self, release: &Release) -> Result<String, CheckFailure> {
        self.points.around_async("smoke", self.inner.smoke(release)).await
    }
}

impl Progress for Wrapped<dyn Progress> {
    fn started(&self, title: &str) {
        self.points.around("progress started", || self.inner.started(title));
    }

    fn done(&self, title: &str, took_ms: u64) {
        self.points.around("progress done", || self.inner.done(title, took_ms));
    }

    fn failed(&self, title: &str, error: &str) {
        self.points.around("progress failed", || self.inner.failed(title, error));
    }

    fn note(&self, text: &str) {
        self.points.around("progress note", || self.inner.note(text));
    }
}
