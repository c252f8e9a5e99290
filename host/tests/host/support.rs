//! A host in a temporary folder, with the program of `examples/child.rs` as service, runner and shim.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use unship_core::capsule::{CAPSULE_FORMAT, Capsule, FlagEra, Manifest};
use unship_core::evidence::Evidence;
use unship_core::protocol::*;
use unship_core::release::{Release, RunId, Tag};
use unship_core::time::Timestamp;
use unship_host::agent::{Agent, HostPaths};
use unship_host::{store, supervise};

pub const RUN: &str = "run-1";
pub const DRAIN_MS: u64 = 2_000;

/// The test program; Cargo builds examples together with tests unless only one test is named.
pub fn child_program() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows itself");
    let program = test.parent().and_then(Path::parent).expect("target folder").join("examples/child");
    assert!(program.exists(), "build it first: cargo build -p unship-host --example child");
    program
}

pub struct Host {
    pub folder: tempfile::TempDir,
    pub paths: HostPaths,
    pub agent: Agent,
    pub address: SocketAddr,
    pub spec: ServiceSpec,
    pub epoch: u64,
    runner: Option<Child>,
}

impl Host {
    /// A host with a `web` unit that runs `child serve`, and no release. Its runner is up.
    pub fn new() -> Host {
        Host::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut ServiceSpec)) -> Host {
        let folder = tempfile::Builder::new().prefix("unship-host-").tempdir().expect("temporary folder");
        let paths = HostPaths { root: folder.path().join("root"), runtime: folder.path().join("run") };
        let address = free_address();
        let mut spec = ServiceSpec {
            name: "demo".parse().expect("name"),
            root: paths.root.display().to_string(),
            units: vec![unit("web", Some(address))],
            ready_ms_max: 3_000,
            drain_ms_max: DRAIN_MS,
        };
        change(&mut spec);
        let agent = Agent::open(setup(&paths, &spec)).expect("agent");
        let mut host = Host { folder, paths, agent, address, spec, epoch: 1, runner: None };
        host.start_runner();
        host.claim();
        host
    }

    /// What an agent of this host is opened with.
    pub fn setup(&self) -> HostSetup {
        setup(&self.paths, &self.spec)
    }

    pub fn start_runner(&mut self) {
        let child = self.spawn_runner(Stdio::inherit());
        self.runner = Some(child);
        supervise::wait_until_up(&self.paths, Duration::from_secs(5)).expect("runner is up");
    }

    pub fn spawn_runner(&self, errors: Stdio) -> Child {
        let spec = self.folder.path().join("spec.json");
        std::fs::write(&spec, serde_json::to_vec(&self.spec).expect("spec")).expect("spec file");
        Command::new(child_program())
            .arg("supervise")
            .args([&self.paths.root, &self.paths.runtime, &spec])
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("runner starts")
    }

    /// kill -9.
    pub fn kill_runner(&mut self) {
        if let Some(mut runner) = self.runner.take() {
            runner.kill().expect("kill");
            runner.wait().expect("wait");
        }
    }

    /// SIGTERM, until it has ended.
    pub fn end_runner(&mut self) {
        if let Some(mut runner) = self.runner.take() {
            let pid = rustix::process::Pid::from_child(&runner);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal");
            runner.wait().expect("wait");
        }
    }

    pub fn ask(&mut self, request: HostRequest) -> HostReply {
        self.agent.serve(Envelope {
            version: PROTOCOL_VERSION,
            run: run(),
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

    /// Error and hint of a request that must fail and leave the host as it was, or not.
    pub fn fails(&mut self, request: HostRequest, unchanged_expected: bool) -> (String, String) {
        match self.ask(request) {
            HostReply::Failed { error, hint, unchanged, .. } => {
                assert_eq!(unchanged, unchanged_expected, "{error}");
                (error, hint.unwrap_or_default())
            }
            other => panic!("did not fail: {other:#?}"),
        }
    }

    pub fn claim(&mut self) {
        self.done(HostRequest::Claim { holder: holder() });
    }

    pub fn observe(&mut self) -> HostState {
        match self.ask(HostRequest::Observe) {
            HostReply::Observed { state } => *state,
            other => panic!("not observed: {other:#?}"),
        }
    }

    /// Stages and publishes a release of the test program that behaves as `args` say.
    pub fn publish(&mut self, tag: &str, args: &[&str]) -> Release {
        let artifact = self.folder.path().join(format!("artifact-{tag}"));
        std::fs::create_dir_all(artifact.join("bin")).expect("folder");
        std::fs::copy(child_program(), artifact.join("bin/child")).expect("copy");
        // The arguments belong to the release and the command to the unit, so a script carries them.
        let script = format!("#!/bin/sh\nexec bin/child serve {}\n", args.join(" "));
        std::fs::write(artifact.join("bin/run"), script).expect("script");
        make_executable(&artifact.join("bin/run"));
        std::fs::write(artifact.join("version"), format!("{tag}\n")).expect("version");
        self.publish_folder(tag, &artifact)
    }

    pub fn publish_folder(&mut self, tag: &str, artifact: &Path) -> Release {
        let tag: Tag = tag.parse().expect("tag");
        let manifest = store::manifest_of(&self.spec.name, &tag, artifact).expect("manifest");
        self.stage(&manifest, artifact);
        let release = manifest.release();
        let capsule = Box::new(capsule(&release));
        self.done(HostRequest::Publish { digest: release.digest, capsule });
        release
    }

    pub fn stage(&mut self, manifest: &Manifest, artifact: &Path) {
        let reply = self.ask(HostRequest::Stage { manifest: manifest.clone() });
        let HostReply::Staging { missing, .. } = reply else { panic!("not staged: {reply:#?}") };
        for file in missing {
            let bytes = std::fs::read(artifact.join(&file.path)).expect("artifact file");
            let mut offset = file.have;
            for chunk in bytes[usize::try_from(file.have).expect("small")..].chunks(WRITE_BYTES_MAX) {
                self.done(HostRequest::Write {
                    digest: manifest.digest(),
                    path: file.path.clone(),
                    offset,
                    bytes: chunk.to_vec(),
                });
                offset += chunk.len() as u64;
            }
        }
    }

    pub fn converge_to(&self, release: &Release, flip: Flip) -> HostRequest {
        let serve = Serve::Release { release: release.clone() };
        HostRequest::Converge { desired: Box::new(Desired { service: self.spec.clone(), serve, flip }) }
    }

    pub fn flip(&mut self, release: &Release) -> Vec<String> {
        let request = self.converge_to(release, Flip::Overlap);
        self.done(request)
    }

    /// The version and pid that answer.
    pub fn get(&self, path: &str) -> std::io::Result<String> {
        get(self.address, path)
    }

    pub fn version(&self) -> String {
        let body = self.get("/").expect("answer");
        body.split(' ').next().unwrap_or_default().to_owned()
    }

    /// Looks at the host until it is as wanted.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&HostState) -> bool) -> HostState {
        let began = Instant::now();
        loop {
            let state = self.observe();
            if wanted(&state) {
                return state;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "waited for {what}: {state:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_alone(&mut self, release: &Release) -> HostState {
        self.wait_for("one release alone", |state| {
            state.instances.iter().all(|i| i.release == *release && i.state == InstanceState::Ready)
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Whatever a failed test left: every process that was started below this folder's runtime.
        if let Ok(client) = supervise::Client::connect(&self.paths.runtime) {
            let _ = client.shutdown(Duration::from_secs(5));
        }
        self.kill_runner();
    }
}

fn setup(paths: &HostPaths, spec: &ServiceSpec) -> HostSetup {
    HostSetup {
        root: paths.root.display().to_string(),
        runtime: paths.runtime.display().to_string(),
        manager: Manager::ChildRunner,
        service: spec.clone(),
    }
}

pub fn unit(name: &str, listen: Option<SocketAddr>) -> UnitSpec {
    UnitSpec {
        name: name.to_owned(),
        command: vec!["bin/run".to_owned()],
        listen: listen.map(|address| address.to_string()),
        environment: [("DEMO".to_owned(), "1".to_owned())].into(),
        notify: true,
        restart_delay_ms: 50,
        systemd: None,
    }
}

pub fn run() -> RunId {
    RUN.parse().expect("run")
}

pub fn holder() -> Holder {
    Holder { run: run(), who: "me@here".to_owned(), since: Timestamp(1), what: "test".to_owned() }
}

pub fn capsule(release: &Release) -> Capsule {
    let missing = || Evidence::Missing { why: "a test".to_owned() };
    Capsule {
        format: CAPSULE_FORMAT,
        release: release.clone(),
        commit: Evidence::Missing { why: "a test".to_owned() },
        created_at: Timestamp(1),
        units: Vec::new(),
        migrations: missing(),
        queries: missing(),
        flags: missing(),
        flag_era: FlagEra::default(),
        ci: Evidence::default(),
        schema: Evidence::default(),
        verdicts: Evidence::Missing { why: "a test".to_owned() },
    }
}

pub fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("mode");
}

pub fn free_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("address")
}

pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    rest_of(ask(address, path)?)
}

/// Sends a request.
pub fn ask(address: SocketAddr, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    Ok(stream)
}

/// The body of an answer that is right.
pub fn rest_of(mut stream: TcpStream) -> std::io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.filter(|_| text.starts_with("HTTP/1.1 200"))
        .ok_or_else(|| std::io::Error::other(format!("bad answer `{text}`")))
}
