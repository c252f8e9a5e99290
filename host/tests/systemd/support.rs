//! From a test to a host: the test's own program is copied into a host of the testbed and runs there once more,
//! with this one test; what it does with units and files stays in that host.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unship_core::protocol::*;
use unship_core::release::{Release, Tag};
use unship_core::units::{UnitAccount, unit_files};
use unship_host::agent::Agent;
use unship_host::hold::HOLD_VERB;
use unship_host::store;
use unship_host::systemd::HoldProgram;

#[path = "../host/support.rs"]
#[allow(dead_code, reason = "the tests of the child runner use the rest")]
pub mod common;

/// Tells the program inside a host which phase of its test to run.
const PHASE: &str = "UNSHIP_TEST_PHASE";
/// Asks for all cuts; an ordinary run takes a sample.
pub const THOROUGH: &str = "UNSHIP_PROVE";
/// Where the test's programs are in a host.
const PLACE: &str = "/opt/unship-test";
const UNITS: &str = "/etc/systemd/system";

/// Makes an ordinary test of one that runs inside a host; a reboot is between two phases.
macro_rules! on_host {
    ($($(#[$doc:meta])* fn $name:ident($host:ident) $($body:block)+)+) => {$(
        #[test]
        $(#[$doc])*
        fn $name() {
            let phases: &[fn(&mut $crate::support::Host)] = &[$(|$host| $body),+];
            $crate::support::on_host(concat!(module_path!(), "::", stringify!($name)), phases);
        }
    )+};
}

pub fn on_host(path: &str, phases: &[fn(&mut Host)]) {
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    if let Ok(phase) = std::env::var(PHASE) {
        let phase: usize = phase.parse().expect("a number");
        let mut host = Host::open(name, phase == 0);
        phases[phase](&mut host);
        return;
    }
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI must run the tests that need root");
        let _ = writeln!(std::io::stderr(), "SKIPPED {name}: it needs root, for a host of its own");
        return;
    }
    let fleet = Fleet::have();
    fleet.place();
    for phase in 0..phases.len() {
        if phase > 0 {
            fleet.run(&["reboot", "web-01", "--wait"]);
        }
        let phase = format!("{PHASE}={phase}");
        let program = format!("{PLACE}/deps/test");
        let thorough = format!("{THOROUGH}={}", std::env::var(THOROUGH).unwrap_or_default());
        fleet.run(&["at", "web-01", "env", &phase, &thorough, &program, "--exact", name, "--nocapture"]);
    }
}

/// The testbed with one host, for one test at a time.
struct Fleet {
    program: PathBuf,
    _lock: fs_err::File,
}

impl Fleet {
    fn have() -> Fleet {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/fleet");
        let lock = std::env::temp_dir().join("unship-test-systemd.lock");
        let lock = fs_err::OpenOptions::new().create(true).append(true).open(lock).expect("a lock");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
        let fleet = Fleet { program, _lock: lock };
        if !fleet.command(&["at", "web-01", "true"]).output().is_ok_and(|output| output.status.success()) {
            // It goes with the one who runs the tests.
            let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
            fleet.run(&["up", "1", "--while", &parent.to_string()]);
        }
        fleet
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let name = std::env::var("UNSHIP_TESTBED").unwrap_or_else(|_| "systemd".to_owned());
        command.args(args).env("UNSHIP_TESTBED", name);
        command
    }

    fn run(&self, args: &[&str]) {
        let status = self.command(args).status().expect("testbed/fleet runs");
        assert!(status.success(), "testbed/fleet {}: {status}", args.join(" "));
    }

    fn place(&self) {
        let path = self.command(&["path"]).output().expect("testbed/fleet runs").stdout;
        let fleet = PathBuf::from(String::from_utf8(path).expect("a path").trim());
        let place = fleet.join("web-01/root").join(PLACE.trim_start_matches('/'));
        for folder in ["deps", "examples"] {
            fs_err::create_dir_all(place.join(folder)).expect("a folder");
        }
        let own = std::env::current_exe().expect("the test knows itself");
        for (from, to) in [(own, "deps/test"), (common::child_program(), "examples/child")] {
            let to = place.join(to);
            // What another test left running may still execute the old file.
            let _ = fs_err::remove_file(&to);
            fs_err::copy(from, to).expect("copied");
        }
    }
}

/// A service on this host, whose systemd is this test's.
pub struct Host {
    pub agent: Agent,
    pub address: SocketAddr,
    pub spec: ServiceSpec,
    folder: PathBuf,
    epoch: u64,
}

impl Host {
    /// The service of a test; `new` for its first phase.
    fn open(test: &str, new: bool) -> Host {
        let digest = unship_core::release::Digest::of(test.as_bytes()).short();
        let name = format!("t-{digest}");
        let port = 20_000 + u16::from_str_radix(&digest[..3], 16).expect("hexadecimal");
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let root = PathBuf::from(format!("/opt/{name}"));
        if new {
            clean();
        }
        let spec = ServiceSpec {
            name: name.parse().expect("a name"),
            root: root.display().to_string(),
            units: vec![unit(&name, "web", Some(address))],
            ready_ms_max: 15_000,
            drain_ms_max: 5_000,
        };
        let mut host = Host { agent: agent(&spec), address, spec, folder: PathBuf::from(PLACE), epoch: 0 };
        host.epoch = host.observe().epoch.map_or(1, |record| record.epoch.0 + 1);
        host.done(HostRequest::Claim { holder: common::holder() });
        host
    }

    /// A worker beside the first unit; the agent is opened anew.
    pub fn with_units(&mut self, change: impl FnOnce(&mut ServiceSpec)) {
        change(&mut self.spec);
        self.reopen();
    }

    /// Another agent, as a resumed run has.
    pub fn reopen(&mut self) {
        self.agent = agent(&self.spec);
    }

    /// Writes the units as `unship init --systemd` does, has systemd read them and opens the sockets.
    pub fn install(&mut self) {
        self.install_changed(|_, text| text);
    }

    /// The same, with each file's text changed.
    pub fn install_changed(&mut self, change: impl Fn(&str, String) -> String) {
        let account = UnitAccount { user: "shithub".to_owned(), writable: Vec::new() };
        let agent = format!("{PLACE}/examples/child");
        let files = unit_files(&self.spec, &account, &agent);
        for file in &files {
            fs_err::write(Path::new(UNITS).join(&file.name), change(&file.name, file.text.clone()))
                .expect("written");
        }
        systemctl(&["daemon-reload"]);
        for file in files.iter().filter(|file| file.name.ends_with(".socket")) {
            systemctl(&["enable", "--now", &file.name]);
        }
    }

    pub fn ask(&mut self, request: HostRequest) -> HostReply {
        self.agent.serve(Envelope {
            version: PROTOCOL_VERSION,
            run: common::run(),
            step: 0,
            attempt: 1,
            epoch: Epoch(self.epoch),
            request,
        })
    }

    pub fn done(&mut self, request: HostRequest) -> Vec<String> {
        match self.ask(request) {
            HostReply::Done { actions } => actions.into_iter().map(|action| action.what).collect(),
            other => panic!("not done: {other:#?}"),
        }
    }

    pub fn fails(&mut self, request: HostRequest) -> (String, String) {
        match self.ask(request) {
            HostReply::Failed { error, hint, .. } => (error, hint.unwrap_or_default()),
            other => panic!("did not fail: {other:#?}"),
        }
    }

    pub fn observe(&mut self) -> HostState {
        match self.ask(HostRequest::Observe) {
            HostReply::Observed { state } => *state,
            other => panic!("not observed: {other:#?}"),
        }
    }

    /// Stores a release of the test program that behaves as `args` say.
    pub fn publish(&mut self, tag: &str, args: &[&str]) -> Release {
        let folder = tempfile::tempdir().expect("a folder");
        let artifact = folder.path();
        fs_err::create_dir_all(artifact.join("bin")).expect("a folder");
        fs_err::copy(self.folder.join("examples/child"), artifact.join("bin/child")).expect("copied");
        let script = format!("#!/bin/sh\nexec bin/child serve {}\n", args.join(" "));
        fs_err::write(artifact.join("bin/run"), script).expect("written");
        common::make_executable(&artifact.join("bin/run"));
        fs_err::write(artifact.join("version"), format!("{tag}\n")).expect("written");
        self.publish_folder(tag, artifact)
    }

    /// Stores a release that serves until [`Host::doom`], and ends with the status soon after each start from then on.
    pub fn publish_doomed(&mut self, tag: &str, status: u8) -> Release {
        self.doom(false);
        let (file, status) = (self.doom_file().display().to_string(), status.to_string());
        self.publish(tag, &["--exit-if", &file, "--status", &status])
    }

    /// From now on what was published as doomed ends, again and again; or no longer does.
    pub fn doom(&self, ends: bool) {
        let _ = fs_err::remove_file(self.doom_file());
        if ends {
            fs_err::write(self.doom_file(), "").expect("written");
        }
    }

    fn doom_file(&self) -> PathBuf {
        PathBuf::from(format!("/run/{}.doom", self.spec.name))
    }

    pub fn publish_folder(&mut self, tag: &str, artifact: &Path) -> Release {
        let tag: Tag = tag.parse().expect("a tag");
        let manifest = store::manifest_of(&self.spec.name, &tag, artifact).expect("a manifest");
        let reply = self.ask(HostRequest::Stage { manifest: manifest.clone() });
        let HostReply::Staging { missing, .. } = reply else { panic!("not staged: {reply:#?}") };
        for file in missing {
            let bytes = fs_err::read(artifact.join(&file.path)).expect("a file");
            for (index, chunk) in bytes.chunks(WRITE_BYTES_MAX).enumerate() {
                self.done(HostRequest::Write {
                    digest: manifest.digest(),
                    path: file.path.clone(),
                    offset: (index * WRITE_BYTES_MAX) as u64,
                    bytes: chunk.to_vec(),
                });
            }
        }
        let release = manifest.release();
        let capsule = Box::new(common::capsule(&release));
        self.done(HostRequest::Publish { digest: release.digest, capsule });
        release
    }

    pub fn converge(&self, serve: Serve, flip: Flip) -> HostRequest {
        HostRequest::Converge { desired: Box::new(Desired { service: self.spec.clone(), serve, flip }) }
    }

    pub fn to(&self, release: &Release, flip: Flip) -> HostRequest {
        self.converge(Serve::Release { release: release.clone() }, flip)
    }

    pub fn flip(&mut self, release: &Release) -> Vec<String> {
        let request = self.to(release, Flip::Overlap);
        self.done(request)
    }

    pub fn stop_first(&mut self, release: &Release) -> Vec<String> {
        let request = self.to(release, Flip::StopFirst);
        self.done(request)
    }

    pub fn version(&self) -> String {
        let body = common::get(self.address, "/").expect("an answer");
        body.split(' ').next().unwrap_or_default().to_owned()
    }

    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&HostState) -> bool) -> HostState {
        let began = Instant::now();
        loop {
            let state = self.observe();
            if wanted(&state) {
                return state;
            }
            assert!(began.elapsed() < Duration::from_secs(15), "waited for {what}: {state:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One release alone, ready and proved, on every unit.
    pub fn wait_alone(&mut self, release: &Release) -> HostState {
        let units = self.spec.units.len();
        self.wait_for("one release alone", |state| {
            let well = |instance: &Instance| {
                instance.release == *release && instance.state == InstanceState::Ready && instance.proved
            };
            state.instances.len() == units && state.instances.iter().all(well)
        })
    }

    /// `<service>-<unit><suffix>`.
    pub fn unit_name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.spec.name)
    }

    pub fn load(&self) -> Load {
        Load::start(self.address)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = self.spec.name.to_string();
            let _ = Command::new("journalctl")
                .args(["--no-pager", "-n", "60", "-o", "short-precise"])
                .arg(format!("--unit={name}*"))
                .status();
            let _ = Command::new("systemctl")
                .args(["list-units", "--all", "--no-pager"])
                .arg(format!("{name}*"))
                .status();
        }
    }
}

fn agent(spec: &ServiceSpec) -> Agent {
    let setup = HostSetup {
        root: spec.root.clone(),
        runtime: format!("/run/unship/{}", spec.name),
        manager: Manager::Systemd,
        service: spec.clone(),
    };
    let program = PathBuf::from(format!("{PLACE}/examples/child"));
    Agent::open_with(setup, HoldProgram { program, args: vec![HOLD_VERB.into()] }).expect("an agent")
}

/// Takes away what earlier tests left: one at a time has the host.
fn clean() {
    let _ = Command::new("systemctl").args(["kill", "-s", "KILL", "t-*"]).output();
    for kind in ["socket", "timer", "service"] {
        let _ = Command::new("systemctl").args(["stop", &format!("t-*.{kind}")]).output();
    }
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("t-"));
    let folders = fs_err::read_dir("/opt").into_iter().flatten().flatten().map(|entry| entry.path());
    for entry in walk(Path::new(UNITS)).into_iter().chain(folders).filter(ours) {
        let _ = fs_err::remove_file(&entry).or_else(|_| fs_err::remove_dir_all(&entry));
    }
    systemctl(&["daemon-reload"]);
    let _ = Command::new("systemctl").args(["reset-failed", "t-*"]).output();
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "wants") {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// A unit with the names that `unship` derives.
pub fn unit(service: &str, name: &str, listen: Option<SocketAddr>) -> UnitSpec {
    UnitSpec {
        systemd: Some(SystemdUnit {
            unit: format!("{service}-{name}@.service"),
            socket: listen.map(|_| format!("{service}-{name}.socket")),
            timer: None,
            hold: listen.map(|_| format!("{service}-{name}-hold.service")),
            reload: false,
        }),
        ..common::unit(name, listen)
    }
}

pub fn systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).output().expect("systemctl runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "systemctl {}: {errors}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", "--value", "-p", name, "--", unit])
}

/// Clients that ask again and again, each time on a connection of its own.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<std::thread::JoinHandle<Counted>>,
}

/// What clients got.
#[derive(Debug, Default)]
pub struct Counted {
    pub answered: usize,
    pub held: usize,
    pub failed: Vec<String>,
    pub slowest: Duration,
}

impl Load {
    fn start(address: SocketAddr) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..4).map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut counted = Counted::default();
                while !stop.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    match common::get(address, "/") {
                        Ok(_) => counted.answered += 1,
                        Err(error) if error.to_string().contains("HTTP/1.1 503") => {
                            assert!(error.to_string().contains("Retry-After: "), "{error}");
                            counted.held += 1;
                        }
                        Err(error) => counted.failed.push(error.to_string()),
                    }
                    counted.slowest = counted.slowest.max(began.elapsed());
                    std::thread::sleep(Duration::from_millis(1));
                }
                counted
            })
        });
        Load { clients: clients.collect(), stop }
    }

    pub fn end(self) -> Counted {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Counted::default();
        for client in self.clients {
            let one = client.join().expect("a client");
            all.answered += one.answered;
            all.held += one.held;
            all.failed.extend(one.failed);
            all.slowest = all.slowest.max(one.slowest);
        }
        let _ = writeln!(
            std::io::stderr(),
            "load: {} answered, {} held, {} failed, slowest {} ms",
            all.answered,
            all.held,
            all.failed.len(),
            all.slowest.as_millis()
        );
        all
    }
}
