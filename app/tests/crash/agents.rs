//! The same suite on real agents: two hosts with a child runner and real processes each, the real journal files
//! and the real ledger. Slower, so an ordinary run takes a sample.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use unship::config::Config;
use unship::ledger::{JournalFolder, LocalLedger};
use unship::ports::*;
use unship::transport::InProcess;
use unship::wire;
use unship_core::protocol::{
    Envelope, HostReply, HostRequest, HostSetup, HostState, InstanceState, ServiceSpec,
};
use unship_core::release::{HostName, Release, RunId, Tag};

use crate::model::database::{DatabaseState, ModelDatabase, NoShadows};
use crate::model::{ModelSite, TAGS, answers, artifact, parts, tag};
use crate::points::Points;
use crate::real::{self, Supervisor};
use crate::scenario::{Away, Scenario, Site, kill_and_recover, points_of};
use crate::{say, thorough};

/// A real host in a folder of its own.
pub struct RealHost {
    pub name: HostName,
    pub service: ServiceSpec,
    setup: HostSetup,
    folder: PathBuf,
    _supervisor: Supervisor,
}

impl RealHost {
    pub fn start(folder: PathBuf, name: &str) -> RealHost {
        fs_err::create_dir_all(folder.join("broken")).expect("a folder");
        let config = folder.join("unship.toml");
        fs_err::write(&config, configuration(&folder)).expect("a configuration");
        let parsed = Config::read(&config).expect("a configuration");
        let site = wire::Site::new(parsed, &folder, None).expect("an environment");
        RealHost {
            name: name.parse().expect("a host"),
            service: site.service(),
            setup: site.host_setup(),
            _supervisor: Supervisor::start(&config, &folder.join("run/supervise.sock")),
            folder,
        }
    }

    pub fn transport(&self) -> Arc<dyn HostTransport> {
        let inner = InProcess::open(self.name.clone(), self.setup.clone()).expect("an agent");
        Arc::new(OwnService { inner, service: self.service.clone() })
    }

    /// Processes of the release end at once here from now on.
    pub fn break_release(&self, name: &str) {
        fs_err::write(self.folder.join("broken").join(name), "").expect("a file");
    }

    /// What the host says, when what was told to stop is gone.
    pub async fn at_rest(&self) -> HostState {
        let transport = self.transport();
        let began = Instant::now();
        loop {
            let asked = transport.call(question(HostRequest::Observe)).await.expect("it answers");
            let HostReply::Observed { state } = asked else { panic!("not observed: {asked:?}") };
            let leaving = |state: InstanceState| state == InstanceState::Draining;
            if !state.instances.iter().any(|instance| leaving(instance.state)) {
                return *state;
            }
            assert!(began.elapsed() < Duration::from_secs(15), "it does not come to rest: {state:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub fn question(request: HostRequest) -> Envelope {
    Envelope {
        version: unship_core::protocol::PROTOCOL_VERSION,
        run: "look".parse().expect("a run"),
        step: 0,
        attempt: 1,
        epoch: unship_core::protocol::Epoch(0),
        request,
    }
}

/// Two hosts on one machine cannot have one address: each is asked for its own.
struct OwnService {
    inner: InProcess,
    service: ServiceSpec,
}

#[async_trait]
impl HostTransport for OwnService {
    async fn call(&self, mut envelope: Envelope) -> Result<HostReply, TransportError> {
        if let HostRequest::Converge { desired } = &mut envelope.request {
            desired.service = self.service.clone();
        }
        self.inner.call(envelope).await
    }
}

/// A host that may be away.
struct MayBeAway {
    inner: Arc<dyn HostTransport>,
    host: HostName,
    away: Arc<Mutex<Option<(HostName, Away)>>>,
}

#[async_trait]
impl HostTransport for MayBeAway {
    async fn call(&self, envelope: Envelope) -> Result<HostReply, TransportError> {
        answers(&self.away, &self.host, &envelope.request)?;
        self.inner.call(envelope).await
    }
}

fn configuration(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let unit = |name: &str, listen: String| {
        format!(
            "[[unit]]\nname = \"{name}\"\ncommand = [\"bin/app\"]\n{listen}restart_delay = \"20ms\"\n\
             environment = {{ BROKEN = \"{}\", PORT = \"0\" }}\n",
            at("broken")
        )
    };
    format!(
        "[service]\nname = \"demo\"\nstateless = true\n[build]\ncommand = [\"true\"]\nartifact = \"x\"\n{}{}\
         [limits]\nready = \"5s\"\ndrain = \"2s\"\n\
         [environment.test]\nhosts = [\"local\"]\nroot = \"{}\"\nruntime = \"{}\"\nledger = \"{}\"\n",
        unit("web", format!("listen = \"127.0.0.1:{}\"\n", real::free_port())),
        unit("worker", String::new()),
        at("opt"),
        at("run"),
        at("ledger"),
    )
}

/// Releases whose processes end at once where a file says so.
pub fn artifacts(folder: &Path) -> Vec<(Tag, Artifact)> {
    let made = TAGS.iter().map(|name| {
        let place = folder.join("artifacts").join(name);
        fs_err::create_dir_all(place.join("bin")).expect("a folder");
        fs_err::copy(real::tinyd(), place.join("bin/tinyd")).expect("a program");
        let script =
            format!("#!/bin/sh\nif [ -e \"$BROKEN/{name}\" ]; then exit 1; fi\nexec bin/tinyd serve\n");
        fs_err::write(place.join("bin/app"), script).expect("a script");
        real::make_executable(&place.join("bin/app"));
        (tag(name), artifact(name, &place))
    });
    made.collect()
}

struct RealSite {
    folder: tempfile::TempDir,
    hosts: Vec<RealHost>,
    artifacts: Vec<(Tag, Artifact)>,
    fails_smoke: BTreeSet<Tag>,
    told: parts::Told,
    flags: parts::ModelFlags,
    away: Arc<Mutex<Option<(HostName, Away)>>>,
    clock: parts::ModelClock,
    database: Arc<Mutex<DatabaseState>>,
}

impl RealSite {
    fn new() -> RealSite {
        let folder = tempfile::Builder::new().prefix("ua-").tempdir().expect("a folder");
        let hosts = ["a", "b"].map(|name| RealHost::start(folder.path().join(name), name));
        RealSite {
            artifacts: artifacts(folder.path()),
            hosts: hosts.into(),
            fails_smoke: BTreeSet::new(),
            told: parts::Told::default(),
            flags: parts::ModelFlags::default(),
            away: Arc::default(),
            clock: parts::ModelClock { ms: Arc::new(1_000_000.into()) },
            database: Arc::new(Mutex::new(DatabaseState::new())),
            folder,
        }
    }
}

impl Drop for RealSite {
    fn drop(&mut self) {
        real::make_removable(self.folder.path());
    }
}

#[async_trait(?Send)]
impl Site for RealSite {
    async fn process(&mut self, _: &Arc<Points>) -> World {
        let place = self.folder.path().join("ledger");
        let journals = JournalFolder::open(&place.join("journal")).expect("journals");
        let ledger = LocalLedger::open(&place.join("ledger.sqlite")).await.expect("a ledger");
        // All of these processes are one to the system, so that the one before is dead has to be said.
        ledger.take().await.expect("the lease of the dead");
        let hosts = self.hosts.iter().map(|host| {
            let (inner, away) = (host.transport(), Arc::clone(&self.away));
            let transport = Arc::new(MayBeAway { inner, host: host.name.clone(), away });
            Host { name: host.name.clone(), transport }
        });
        World {
            target: Target { service: self.hosts[0].service.clone(), ..ModelSite::target("op@desk") },
            hosts: hosts.collect(),
            ledger: Arc::new(ledger),
            journals: Arc::new(journals),
            source: Arc::new(parts::Kept { artifacts: self.artifacts.iter().cloned().collect() }),
            repository: Arc::new(parts::NoRepository),
            prober: Arc::new(parts::Trusting),
            commands: Arc::new(parts::ModelCommands { fails_smoke: self.fails_smoke.clone() }),
            deploy: None,
            flags: self.flags.port(),
            ci: None,
            aftercare: Some(Arc::new(self.told.clone())),
            shadows: NoShadows::port(),
            database: Some(Arc::new(ModelDatabase {
                state: Arc::clone(&self.database),
                hosts: Vec::new(),
                points: Points::none(),
            })),
            clock: Arc::new(self.clock.clone()),
            progress: Arc::new(parts::Silent),
        }
    }

    async fn settle(&mut self) {
        self.states().await;
    }

    async fn states(&mut self) -> Vec<(HostName, HostState)> {
        let mut states = Vec::new();
        for host in &self.hosts {
            states.push((host.name.clone(), host.at_rest().await));
        }
        states
    }

    fn release(&self, name: &str) -> Release {
        let found = self.artifacts.iter().find(|(known, _)| *known == tag(name));
        found.expect("an artifact").1.manifest.release()
    }

    fn fail_smoke_of(&mut self, name: &str) {
        self.fails_smoke.insert(tag(name));
    }

    fn break_release(&mut self, name: &str, on: Option<&str>) {
        for host in self.hosts.iter().filter(|host| on.is_none_or(|on| host.name.as_str() == on)) {
            host.break_release(name);
        }
    }

    fn set_flag(&mut self, name: &str, on: bool) {
        self.flags.person_sets(name, on);
    }

    fn flags_on(&self) -> Vec<String> {
        self.flags.all_on()
    }

    fn set_away(&mut self, away: Option<(&str, Away)>) {
        *crate::model::lock(&self.away) = away.map(|(host, when)| (host.parse().expect("a host"), when));
    }

    fn told(&self) -> BTreeSet<RunId> {
        crate::model::lock(&self.told.runs).clone()
    }

    fn violations(&self) -> Vec<String> {
        Vec::new()
    }

    fn database(&self) -> Arc<Mutex<DatabaseState>> {
        Arc::clone(&self.database)
    }
}

async fn prepared(scenario: Scenario) -> RealSite {
    let mut site = RealSite::new();
    scenario.prepare(&mut site).await;
    site
}

async fn sampled(scenario: Scenario) {
    let points = points_of(scenario, &mut prepared(scenario).await).await;
    let stride = if thorough() { 1 } else { 41 };
    let mut count = 0;
    for recovery in scenario.recoveries() {
        for (number, name) in points.iter().enumerate().step_by(stride) {
            let _where = crate::Where(format!("{scenario:?} {recovery:?}, point {number}: {name}"));
            kill_and_recover(scenario, recovery, number, None, &mut prepared(scenario).await).await;
            count += 1;
        }
    }
    say(&format!("{scenario:?} on real agents: {} points, {count} kills", points.len()));
}

macro_rules! each_scenario {
    ($($name:ident = $scenario:ident;)*) => {
        $(#[tokio::test] async fn $name() { sampled(Scenario::$scenario).await; })*
        #[test]
        fn every_scenario_has_its_test() {
            assert_eq!(Scenario::ALL, [$(Scenario::$scenario),*]);
        }
    };
}

each_scenario! {
    first_deploy = FirstDeploy;
    deploy = Deploy;
    deploy_ends_at_once = DeployEndsAtOnce;
    deploy_fails_smoke = DeployFailsSmoke;
    rollback = Rollback;
    rollback_of_harm = RollbackOfHarm;
    rollback_host_fails = RollbackHostFails;
    rollback_paused = RollbackPaused;
    rollback_flags = RollbackFlags;
    rollback_in_turn = RollbackInTurn;
    rollback_host_away = RollbackHostAway;
    rollback_host_dies = RollbackHostDies;
    hold = Hold;
    release_hold = ReleaseHold;
    rollback_from_hold = RollbackFromHold;
    rollback_down = RollbackDown;
    rollback_down_halts = RollbackDownHalts;
    rollback_back_halts = RollbackBackHalts;
    rollback_target_broken = RollbackTargetBroken;
}
