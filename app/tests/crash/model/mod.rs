//! A world without disks, processes and networks, whose parts keep exactly what the real ones keep when a
//! process dies.

pub mod database;
pub mod host;
pub mod journals;
pub mod ledger;
pub mod monitor;
pub mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use async_trait::async_trait;
use unship::ports::*;
use unship_core::capsule::{CAPSULE_FORMAT, Capsule, CapsuleFile, FlagEra, Manifest};
use unship_core::evidence::Evidence;
use unship_core::plan::{Share, WaveSize};
use unship_core::protocol::{
    Envelope, HostReply, HostRequest, HostState, Instance, InstanceState, ServiceSpec, UnitSpec,
};
use unship_core::release::{Digest, HostName, Release, RunId, Tag};
use unship_core::running::ProgramFile;
use unship_core::time::Timestamp;
use unship_host::store;

use crate::points::Points;
use crate::scenario::{Away, Site};
use database::{DatabaseState, ModelDatabase, NoShadows};
use host::{Behaviour, ModelHost};
use journals::{JournalsState, ModelJournals};
use ledger::{LedgerState, ModelLedger};
use monitor::Monitor;

pub const TAGS: [&str; 6] = ["v1", "v2", "v3", "v4", "v5", "v6"];

/// Artifacts of all tags, made once: their files are read when they are sent.
pub struct Artifacts {
    _folder: tempfile::TempDir,
    pub by_tag: BTreeMap<Tag, Artifact>,
}

pub static ARTIFACTS: LazyLock<Artifacts> = LazyLock::new(|| Artifacts::make(false));
/// The same without a byte in their files: nothing is sent, so nothing is read from a real disk.
pub static EMPTY_ARTIFACTS: LazyLock<Artifacts> = LazyLock::new(|| Artifacts::make(true));

impl Artifacts {
    fn make(empty: bool) -> Artifacts {
        let folder = tempfile::tempdir().expect("a folder");
        let artifact = |name: &str| {
            let place = folder.path().join(name);
            fs_err::create_dir_all(place.join("bin")).expect("a folder");
            fs_err::write(place.join("bin/app"), if empty { "" } else { name }).expect("a file");
            // A digest of its own also where the file is empty.
            fs_err::write(place.join(format!("bin/{name}")), "").expect("a file");
            artifact(name, &place)
        };
        let by_tag = TAGS.iter().map(|name| (tag(name), artifact(name))).collect();
        Artifacts { by_tag, _folder: folder }
    }
}

/// The artifact of a folder.
pub fn artifact(name: &str, folder: &Path) -> Artifact {
    let service = "demo".parse().expect("a service");
    let manifest = store::manifest_of(&service, &tag(name), folder).expect("a manifest");
    let missing = || Evidence::Missing { why: "a test".to_owned() };
    let capsule = Capsule {
        format: CAPSULE_FORMAT,
        release: manifest.release(),
        commit: Evidence::Missing { why: "a test".to_owned() },
        created_at: Timestamp(1),
        units: Vec::new(),
        migrations: Evidence::Known {
            value: migrations(name),
            source: "a test".into(),
            observed_at: Timestamp(1),
        },
        queries: missing(),
        flags: missing(),
        flag_era: FlagEra::default(),
        ci: Evidence::default(),
        schema: Evidence::default(),
        verdicts: Evidence::Missing { why: "a test".to_owned() },
    };
    Artifact { manifest, folder: folder.to_owned(), capsule }
}

/// `v1` has one migration, and so has `v5`, which is what somebody ships later; all others have the same three.
fn migrations(name: &str) -> Vec<CapsuleFile> {
    let versions: &[&str] = if matches!(name, "v1" | "v5") { &["1"] } else { &["1", "2", "3"] };
    let files = versions.iter().flat_map(|version| {
        ["up", "down"]
            .map(|way| (format!("migrations/000{version}_notes.{way}.sql"), format!("SELECT {version};")))
    });
    files.map(|(path, text)| CapsuleFile { path, sha256: Digest::of(text.as_bytes()), text }).collect()
}

pub fn tag(name: &str) -> Tag {
    name.parse().expect("a tag")
}

/// What outlives processes, and what makes releases good or bad.
pub struct ModelSite {
    pub artifacts: &'static Artifacts,
    pub hosts: Vec<Arc<Mutex<ModelHost>>>,
    pub ledger: Arc<Mutex<LedgerState>>,
    pub journals: ModelJournals,
    pub monitor: Arc<Monitor>,
    pub fails_smoke: BTreeSet<Tag>,
    pub told: parts::Told,
    pub flags: parts::ModelFlags,
    pub away: Arc<Mutex<Option<(HostName, Away)>>>,
    pub clock_ms: Arc<AtomicI64>,
    /// Set where the user's own command brings releases to the hosts.
    pub command: Option<Arc<Mutex<parts::CommandState>>>,
    /// The service's database.
    pub database: Arc<Mutex<DatabaseState>>,
    processes: Arc<AtomicU64>,
}

impl Clone for ModelSite {
    /// Another world in the same state.
    fn clone(&self) -> ModelSite {
        let journals = ModelJournals { state: copy(&self.journals.state) };
        ModelSite {
            artifacts: self.artifacts,
            hosts: self.hosts.iter().map(copy).collect(),
            ledger: copy(&self.ledger),
            monitor: Arc::new(self.monitor.copy(&journals)),
            journals,
            fails_smoke: self.fails_smoke.clone(),
            told: parts::Told { runs: copy(&self.told.runs) },
            flags: parts::ModelFlags { on: copy(&self.flags.on) },
            away: copy(&self.away),
            clock_ms: Arc::new(AtomicI64::new(self.clock_ms.load(Ordering::SeqCst))),
            command: self.command.as_ref().map(copy),
            database: copy(&self.database),
            processes: Arc::new(AtomicU64::new(self.processes.load(Ordering::SeqCst))),
        }
    }
}

fn copy<T: Clone>(shared: &Arc<Mutex<T>>) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(shared.lock().unwrap_or_else(PoisonError::into_inner).clone()))
}

impl ModelSite {
    pub fn new(hosts: &[&str], artifacts: &'static Artifacts) -> ModelSite {
        let journals = ModelJournals { state: Arc::new(Mutex::new(JournalsState::default())) };
        ModelSite {
            artifacts,
            hosts: hosts.iter().map(|name| Arc::new(Mutex::new(ModelHost::new(name)))).collect(),
            ledger: Arc::default(),
            monitor: Arc::new(Monitor::new(&journals)),
            journals,
            fails_smoke: BTreeSet::new(),
            told: parts::Told::default(),
            flags: parts::ModelFlags::default(),
            away: Arc::default(),
            clock_ms: Arc::new(AtomicI64::new(1_000_000)),
            command: None,
            database: Arc::new(Mutex::new(DatabaseState::new())),
            processes: Arc::default(),
        }
    }

    pub fn release(&self, name: &str) -> Release {
        self.artifacts.by_tag[&tag(name)].manifest.release()
    }

    /// Every process of the release ends at once on the named host, or on all.
    pub fn break_release(&self, name: &str, on: Option<&str>) {
        let digest = self.release(name).digest;
        for host in &self.hosts {
            let mut host = lock(host);
            if on.is_none_or(|on| host.name.as_str() == on) {
                host.behaves(digest, Behaviour { ends_at_once: true });
            }
        }
    }

    /// The world of a new process, whose number it gives. The transports are plain: no fault, no delay.
    pub fn start_process(&self, points: &Arc<Points>) -> (World, u64) {
        let process = self.processes.fetch_add(1, Ordering::SeqCst) + 1;
        let hosts = self.hosts.iter().map(|host| {
            let transport = ModelTransport {
                host: Arc::clone(host),
                process,
                points: Arc::clone(points),
                monitor: Arc::clone(&self.monitor),
                away: Arc::clone(&self.away),
            };
            Host { name: lock(host).name.clone(), transport: Arc::new(transport) }
        });
        let world = World {
            target: ModelSite::target(&format!("operator-{process}@desk")),
            hosts: hosts.collect(),
            ledger: Arc::new(ModelLedger { state: Arc::clone(&self.ledger), process }),
            journals: Arc::new(self.journals.clone()),
            source: Arc::new(parts::Kept { artifacts: self.artifacts.by_tag.clone() }),
            repository: Arc::new(parts::NoRepository),
            prober: Arc::new(parts::ModelProber {
                hosts: self.hosts.clone(),
                artifacts: self.artifacts.by_tag.clone(),
            }),
            commands: Arc::new(parts::ModelCommands { fails_smoke: self.fails_smoke.clone() }),
            deploy: self.command.as_ref().map(|state| {
                let command = parts::ModelCommand {
                    state: Arc::clone(state),
                    hosts: self.hosts.clone(),
                    artifacts: self.artifacts.by_tag.clone(),
                    points: Arc::clone(points),
                };
                Arc::new(command) as Arc<dyn DeployCommand>
            }),
            flags: self.flags.port(),
            ci: None,
            aftercare: Some(Arc::new(self.told.clone())),
            shadows: NoShadows::port(),
            database: Some(Arc::new(ModelDatabase {
                state: Arc::clone(&self.database),
                hosts: self.hosts.clone(),
                points: Arc::clone(points),
            })),
            clock: Arc::new(parts::ModelClock { ms: Arc::clone(&self.clock_ms) }),
            progress: Arc::new(parts::Silent),
        };
        (world, process)
    }

    /// What flows are told of the configuration.
    pub fn target(who: &str) -> Target {
        Target {
            break_glass: false,
            installs_flags: false,
            stateless: false,
            service: service("/srv"),
            environment: "test".parse().expect("an environment"),
            who: who.to_owned(),
            migrates: true,
            smokes: true,
            keep_releases: 4,
            // At the same time where they can: what is proved of that holds one after the other as well.
            waves: WaveSize { hosts: Share::Percent(100), capacity_min: Share::Count(0) },
            without: BTreeSet::new(),
        }
    }

    /// The same world, for another thread.
    pub fn share(&self) -> ModelSite {
        ModelSite {
            artifacts: self.artifacts,
            hosts: self.hosts.clone(),
            ledger: Arc::clone(&self.ledger),
            journals: self.journals.clone(),
            monitor: Arc::clone(&self.monitor),
            fails_smoke: self.fails_smoke.clone(),
            told: self.told.clone(),
            flags: self.flags.clone(),
            away: Arc::clone(&self.away),
            clock_ms: Arc::clone(&self.clock_ms),
            command: self.command.clone(),
            database: Arc::clone(&self.database),
            processes: Arc::clone(&self.processes),
        }
    }

    /// The state of a host whose releases the user's own command brings.
    fn foreign(&self, host: &ModelHost) -> HostState {
        let release = |program: &ProgramFile| {
            let mut all = self.artifacts.by_tag.values().map(|artifact| &artifact.manifest);
            let found = all.find(|manifest| manifest.files.iter().any(|file| file.sha256 == program.sha256));
            found.map(Manifest::release)
        };
        let instances = host.foreign.iter().filter_map(|unit| {
            let process = unit.process.as_ref()?;
            Some(Instance {
                unit: unit.unit.trim_end_matches(".service").to_owned(),
                release: release(&process.program)?,
                proved: true,
                pid: process.pid,
                invocation: process.invocation.clone(),
                state: InstanceState::Ready,
                restarts: 0,
                started_at: Timestamp(0),
                ready_after_us: None,
                listening: false,
            })
        });
        let current = host.foreign.first().and_then(|unit| release(unit.on_disk.as_ref()?));
        HostState { instances: instances.collect(), current, ..host.state() }
    }

    /// The process is gone, and the ledger's machine knows it.
    pub fn end_process(&self, process: u64) {
        lock(&self.ledger).gone.insert(process);
    }
}

pub fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A service with a unit that listens and one that does not.
pub fn service(root: &str) -> ServiceSpec {
    let unit = |name: &str, listen: Option<&str>| UnitSpec {
        name: name.to_owned(),
        command: vec!["bin/app".to_owned()],
        listen: listen.map(str::to_owned),
        environment: BTreeMap::new(),
        notify: true,
        restart_delay_ms: 50,
        systemd: None,
    };
    ServiceSpec {
        name: "demo".parse().expect("a service"),
        root: root.to_owned(),
        units: vec![unit("web", Some("127.0.0.1:1")), unit("worker", None)],
        ready_ms_max: 3_000,
        drain_ms_max: 2_000,
    }
}

#[async_trait(?Send)]
impl Site for ModelSite {
    async fn process(&mut self, points: &Arc<Points>) -> World {
        // One at a time: the one before is dead, and whatever it held is void.
        for before in 1..=self.processes.load(Ordering::SeqCst) {
            self.end_process(before);
        }
        self.journals.crash();
        self.start_process(points).0
    }

    async fn settle(&mut self) {
        // What outlived its process comes to its end.
        let (world, _) = self.start_process(&Points::none());
        if let Some(command) = &world.deploy {
            command.wait_for_earlier(&parts::Silent).await.expect("it ends");
        }
        self.hosts.iter().for_each(|host| lock(host).tick());
    }

    async fn states(&mut self) -> Vec<(HostName, HostState)> {
        let states = self.hosts.iter().map(|host| {
            let host = lock(host);
            let state = if self.command.is_some() { self.foreign(&host) } else { host.state() };
            (host.name.clone(), state)
        });
        states.collect()
    }

    fn release(&self, name: &str) -> Release {
        ModelSite::release(self, name)
    }

    fn fail_smoke_of(&mut self, name: &str) {
        self.fails_smoke.insert(tag(name));
    }

    fn break_release(&mut self, name: &str, on: Option<&str>) {
        ModelSite::break_release(self, name, on);
    }

    fn set_flag(&mut self, name: &str, on: bool) {
        self.flags.person_sets(name, on);
    }

    fn flags_on(&self) -> Vec<String> {
        self.flags.all_on()
    }

    fn set_away(&mut self, away: Option<(&str, Away)>) {
        *lock(&self.away) = away.map(|(host, when)| (host.parse().expect("a host"), when));
    }

    fn told(&self) -> BTreeSet<RunId> {
        lock(&self.told.runs).clone()
    }

    fn violations(&self) -> Vec<String> {
        let doubled = self.command.as_ref().map_or(0, |state| lock(state).doubled);
        let doubled = (doubled > 0).then(|| format!("the deploy command ran {doubled} times beside itself"));
        let of_schema = lock(&self.database).violations.clone();
        self.monitor.violations().into_iter().chain(doubled).chain(of_schema).collect()
    }

    fn database(&self) -> Arc<Mutex<DatabaseState>> {
        Arc::clone(&self.database)
    }
}

/// The way of one process to a host. The agent dies with the process, after any of its actions.
struct ModelTransport {
    host: Arc<Mutex<ModelHost>>,
    process: u64,
    points: Arc<Points>,
    monitor: Arc<Monitor>,
    away: Arc<Mutex<Option<(HostName, Away)>>>,
}

/// Whether the host answers the request, which may be what ends it.
pub fn answers(
    away: &Mutex<Option<(HostName, Away)>>,
    host: &HostName,
    request: &HostRequest,
) -> Result<(), TransportError> {
    let mut away = lock(away);
    if let Some((name, when)) = away.as_mut()
        && name == host
        && (*when == Away::Now || matches!(request, HostRequest::Converge { .. }))
    {
        *when = Away::Now;
        return Err(TransportError { host: host.clone(), why: "it is off".into(), hint: None });
    }
    Ok(())
}

#[async_trait]
impl HostTransport for ModelTransport {
    async fn call(&self, envelope: Envelope) -> Result<HostReply, TransportError> {
        let mut host = lock(&self.host);
        answers(&self.away, &host.name, &envelope.request)?;
        let points = &self.points;
        Ok(self.monitor.serve(&mut host, self.process, &envelope, &mut |action| {
            points.pass(format!("inside, after `{action}`"));
        }))
    }
}
