//! An sshd of a test's own. Every port is a host: what is asked for there runs in a folder of its own, as the
//! home of an account would be.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use unship::config::{Destination, Ssh as SshTable};
use unship::ports::{HostTransport, Progress};
use unship::transport::{AgentProgram, Gate, Ssh, SshOptions, SshWorld, Upkeep};
use unship_core::protocol::*;
use unship_core::release::HostName;

const SSHD: &str = "/usr/sbin/sshd";

pub struct Server {
    pub folder: tempfile::TempDir,
    pub ports: Vec<u16>,
    child: Child,
}

/// A server with that many hosts, or nothing where there is no sshd.
pub fn server(hosts: usize) -> Option<Server> {
    Server::start(hosts, "MaxStartups 100:30:200")
}

fn can_be_had() -> bool {
    if Path::new(SSHD).exists() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no {SSHD}: `testbed/tools sshd` installs it");
    crate::say("SKIP: no sshd here; `apt-get install openssh-server`");
    false
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn key(file: &Path) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file));
}

pub fn free_ports(count: usize) -> Vec<u16> {
    let open = |_| TcpListener::bind("127.0.0.1:0").expect("a port");
    let listeners: Vec<TcpListener> = (0..count).map(open).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}

impl Server {
    pub fn start(hosts: usize, more: &str) -> Option<Server> {
        if !can_be_had() {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("us-").tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        key(&folder.path().join("host_key"));
        key(&folder.path().join("key"));
        let public = fs_err::read_to_string(at("key.pub")).expect("a key");
        fs_err::write(at("authorized_keys"), public).expect("a file");
        let ports = free_ports(hosts);
        for port in &ports {
            let home = folder.path().join(format!("home-{port}"));
            let place = home.join(format!(".local/lib/unship/protocol-{PROTOCOL_VERSION}"));
            fs_err::create_dir_all(&place).expect("a folder");
            fs_err::os::unix::fs::symlink(env!("CARGO_BIN_EXE_unship"), place.join("unship"))
                .expect("a link");
        }
        // What every session runs: the command line, by a shell, in the host's folder. A file beside it may be a
        // shell's start file.
        let shell = format!(
            "#!/bin/sh\nset -- $SSH_CONNECTION\ncd '{}'/home-$4 || exit 1\nHOME=$PWD; export HOME\n\
             echo \"$SSH_ORIGINAL_COMMAND\" >>lines\n[ ! -e .profile ] || . ./.profile\n\
             exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
            folder.path().display()
        );
        fs_err::write(at("shell"), shell).expect("a script");
        executable(&folder.path().join("shell"));
        let listen: String = ports.iter().map(|port| format!("ListenAddress 127.0.0.1:{port}\n")).collect();
        let config = format!(
            "{listen}HostKey {}\nAuthorizedKeysFile {}\nForceCommand {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             PrintMotd no\n{more}\n",
            at("host_key"),
            at("authorized_keys"),
            at("shell"),
        );
        fs_err::write(at("sshd_config"), config).expect("a file");
        let client = format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             IdentityAgent none\n",
            at("known_hosts"),
            at("key"),
        );
        fs_err::write(at("ssh_config"), client).expect("a file");
        let child = start(folder.path());
        let server = Server { folder, ports, child };
        server.know();
        server.wait();
        Some(server)
    }

    /// Writes down the server's key as the one that is known for every host.
    pub fn know(&self) {
        self.know_only(&self.ports);
    }

    /// The same for some of its hosts.
    pub fn know_only(&self, ports: &[u16]) {
        let key = fs_err::read_to_string(self.folder.path().join("host_key.pub")).expect("a key");
        let lines: String = ports.iter().map(|port| format!("[127.0.0.1]:{port} {key}")).collect();
        fs_err::write(self.folder.path().join("known_hosts"), lines).expect("a file");
    }

    fn wait(&self) {
        let began = Instant::now();
        for port in &self.ports {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                let log = || fs_err::read_to_string(self.folder.path().join("sshd.log")).unwrap_or_default();
                assert!(began.elapsed() < Duration::from_secs(10), "sshd does not start: {}", log());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Another sshd with another key in the place of this one.
    pub fn change_host_key(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        fs_err::remove_file(self.folder.path().join("host_key")).expect("a file");
        key(&self.folder.path().join("host_key"));
        self.child = start(self.folder.path());
        self.wait();
    }

    pub fn home(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("home-{}", self.ports[index]))
    }

    /// What login shells were given, in order.
    pub fn lines(&self, index: usize) -> Vec<String> {
        let text = fs_err::read_to_string(self.home(index).join("lines")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A program in the place of the agent.
    pub fn replace_agent(&self, index: usize, script: &str) {
        let place = self.home(index).join(format!(".local/lib/unship/protocol-{PROTOCOL_VERSION}/unship"));
        let _ = fs_err::remove_file(&place);
        fs_err::write(&place, script).expect("a script");
        executable(&place);
    }

    pub fn table(&self) -> SshTable {
        let config = self.folder.path().join("ssh_config");
        let text = format!("config = \"{}\"\nagent = \"home\"\nconnect = \"3s\"", config.display());
        toml::from_str(&text).expect("a table")
    }

    pub fn destination(&self, index: usize) -> Destination {
        let name: HostName = format!("host-{index}").parse().expect("a host");
        let table = format!("address = \"127.0.0.1\"\nport = {}", self.ports[index]);
        let tables = [(name.clone(), toml::from_str(&table).expect("a table"))].into();
        Destination::new(&name, &tables, &self.table())
    }

    pub fn transport(&self, index: usize) -> Ssh {
        self.transport_through(index, &Gate::new(8))
    }

    pub fn transport_through(&self, index: usize, gate: &Gate) -> Ssh {
        let world = self.world(gate, Upkeep::Never);
        Ssh::new(self.destination(index), setup("opt/demo"), world)
    }

    pub fn world(&self, gate: &Gate, upkeep: Upkeep) -> SshWorld {
        world(SshOptions::from(&self.table()), gate, upkeep)
    }

    /// The agents of a host.
    pub fn agents(&self, index: usize) -> Vec<u32> {
        let home = self.home(index);
        let program = fs_err::canonicalize(env!("CARGO_BIN_EXE_unship")).expect("the program");
        let below = home.join(".local/lib/unship");
        let placed = |id: &u32| {
            fs_err::read_link(format!("/proc/{id}/exe")).is_ok_and(|found| found.starts_with(&below))
        };
        let entries = fs_err::read_dir("/proc").expect("/proc").flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| {
            let is = |what: &str, path: &Path| {
                fs_err::read_link(format!("/proc/{id}/{what}")).is_ok_and(|found| found == path)
            };
            is("cwd", &home) && (is("exe", &program) || placed(id))
        })
        .collect()
    }

    pub fn signal(&self, id: u32, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_raw(id.cast_signed()).expect("a process");
        rustix::process::kill_process(id, signal).expect("it is there");
    }

    pub fn sshd(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(folder: &Path) -> Child {
    if rustix::process::getuid().is_root() {
        // Where sshd as root wants to find it (privilege separation); the package's unit makes it at boot.
        fs_err::create_dir_all("/run/sshd").expect("/run/sshd");
    }
    let log = fs_err::File::create(folder.join("sshd.log")).expect("a file");
    Command::new(SSHD)
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.into_file())
        .spawn()
        .expect("sshd")
}

/// The folder of a service, as it is told to the agent: relative to the account's home.
pub fn setup(root: &str) -> HostSetup {
    let service = ServiceSpec {
        name: "demo".parse().expect("a service"),
        root: root.to_owned(),
        units: Vec::new(),
        ready_ms_max: 1_000,
        drain_ms_max: 1_000,
    };
    let runtime = "run".to_owned();
    HostSetup { root: root.to_owned(), runtime, manager: Manager::ChildRunner, service }
}

pub fn world(options: SshOptions, gate: &Gate, upkeep: Upkeep) -> SshWorld {
    let program = Arc::new(AgentProgram::of(env!("CARGO_BIN_EXE_unship").into()));
    SshWorld { options, gate: gate.clone(), program, upkeep, progress: Arc::new(Silent) }
}

/// Nobody looks.
pub struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

pub fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(file, PermissionsExt::from_mode(0o755)).expect("a mode");
}

pub fn envelope(epoch: u64, request: HostRequest) -> Envelope {
    let run = "20260101T000000-000-1".parse().expect("a run");
    Envelope { version: PROTOCOL_VERSION, run, step: 0, attempt: 1, epoch: Epoch(epoch), request }
}

pub fn claim(epoch: u64) -> Envelope {
    let run = "20260101T000000-000-1".parse().expect("a run");
    let since = unship_core::time::Timestamp(1);
    let holder = Holder { run, who: "me@here".into(), since, what: "test".into() };
    envelope(epoch, HostRequest::Claim { holder })
}

/// Asks what the host runs. The service has no units, so that no child runner is needed for the answer.
pub async fn answers(transport: &dyn HostTransport) {
    match transport.call(envelope(0, HostRequest::Observe)).await.expect("it answers") {
        HostReply::Observed { .. } => {}
        other => panic!("another answer: {other:?}"),
    }
}

pub fn shared(transport: Ssh) -> Arc<dyn HostTransport> {
    Arc::new(transport)
}
