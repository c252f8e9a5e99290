//! The real program with a real service: a site that was deployed once and is copied for every test, and a
//! light load that counts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The release that a rollback goes back to, and the one that serves before.
pub const GOOD: &str = "1.5.0";
pub const BAD: &str = "1.6.0";
/// Stored nowhere yet.
pub const NEXT: &str = "1.0.0";

/// How long anything may take before the test gives it up.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a release that was told to stop may be there: its drain, and a little.
const LEFT_MAX: Duration = Duration::from_secs(6);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scratch() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("crash");
    fs_err::create_dir_all(&folder).expect("a folder");
    folder
}

/// Makes a thing once, whoever comes first; others wait. Made anew when `of` changed.
fn once(name: &str, of: &[PathBuf], make: impl FnOnce(&Path)) -> PathBuf {
    let stamp = of.iter().map(|path| {
        let found = fs_err::metadata(path).expect("it is there");
        format!("{} {:?} {}\n", path.display(), found.modified().expect("a time"), found.len())
    });
    let stamp: String = stamp.collect();
    let place = scratch().join(name);
    let lock = fs_err::File::create(scratch().join(format!("{name}.lock"))).expect("a lock");
    rustix::fs::flock(lock.file(), rustix::fs::FlockOperation::LockExclusive).expect("locks");
    let stamp_file = scratch().join(format!("{name}.stamp"));
    if fs_err::read_to_string(&stamp_file).ok().as_deref() != Some(&stamp) {
        let _ = fs_err::remove_file(&stamp_file);
        run(Command::new("rm").arg("-rf").arg(&place));
        make(&place);
        fs_err::write(stamp_file, stamp).expect("a stamp");
    }
    place
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The library that kills at a point.
pub static KILLPOINT: LazyLock<PathBuf> = LazyLock::new(|| library("killpoint"));

/// The library that shifts the time of day.
pub static CLOCKSHIFT: LazyLock<PathBuf> = LazyLock::new(|| library("clockshift"));

fn library(name: &str) -> PathBuf {
    let source = repository().join(format!("testbed/{name}/{name}.c"));
    once(&format!("lib{name}.so"), std::slice::from_ref(&source), |place| {
        let flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"];
        run(Command::new("cc").args(flags).arg(place).arg(&source).arg("-ldl"));
    })
}

/// A site with [`GOOD`] known good and [`BAD`] serving, at rest.
static DEPLOYED: LazyLock<PathBuf> = LazyLock::new(|| {
    let testbed = repository().join("testbed/tinyd");
    let of = [env!("CARGO_BIN_EXE_unship").into(), testbed.join("tinyd.c"), testbed.join("make-history")];
    once("deployed", &of, |place| {
        fs_err::create_dir_all(place).expect("a folder");
        run(Command::new(testbed.join("make-history")).arg(place.join("tinyd")));
        let mut site = Site::at(place.to_owned(), None);
        site.supervise();
        for tag in [GOOD, BAD] {
            let said = site.unship(&["deploy", tag]);
            assert!(said.status.success(), "{}", text(&said));
        }
        site.end_supervise();
        run(Command::new("rm").arg("-rf").arg(place.join("run")));
    })
});

/// The small service's program.
pub fn tinyd() -> PathBuf {
    DEPLOYED.join("opt/releases").join(GOOD).join("files/bin/tinyd")
}

pub fn free_port() -> u16 {
    // Bound and let go: the kernel does not give it out again soon.
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

pub fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("a mode");
}

/// Releases are read-only, also for whoever cleans up.
pub fn make_removable(folder: &Path) {
    let _ = Command::new("chmod").args(["-R", "u+w"]).arg(folder).output();
}

/// A child runner that ends with the value.
pub struct Supervisor(Child);

impl Supervisor {
    pub fn start(config: &Path, socket: &Path) -> Supervisor {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
        command.args(["supervise", "--config"]).arg(config).env_remove("UNSHIP_ENV");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let supervisor = Supervisor(command.spawn().expect("the child runner starts"));
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(began.elapsed() < WAIT_MAX, "the child runner does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        supervisor
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::TERM,
        );
        let _ = self.0.wait();
    }
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub struct Site {
    place: PathBuf,
    folder: Option<tempfile::TempDir>,
    pub port: u16,
    supervisor: Option<Child>,
}

impl Site {
    /// [`BAD`] serves, [`GOOD`] is known good, the child runner is up.
    pub fn new() -> Site {
        Site::within(&std::env::temp_dir())
    }

    /// The same in a folder that is given.
    pub fn within(parent: &Path) -> Site {
        let folder = tempfile::Builder::new().prefix("uc-").tempdir_in(parent).expect("a folder");
        let deployed = &*DEPLOYED;
        // Another test program may be about to make it anew.
        let lock = fs_err::File::open(deployed.with_extension("lock")).expect("a lock");
        rustix::fs::flock(lock.file(), rustix::fs::FlockOperation::LockShared).expect("locks");
        run(Command::new("cp").arg("-a").arg(deployed.join(".")).arg(folder.path()));
        drop(lock);
        let mut site = Site::at(folder.path().to_owned(), Some(folder));
        site.supervise();
        Site::until("the service is up", || site.version().as_deref() == Some(BAD));
        site
    }

    fn at(place: PathBuf, folder: Option<tempfile::TempDir>) -> Site {
        let port = free_port();
        let site = Site { place, folder, port, supervisor: None };
        let at = |name: &str| site.path(name).display().to_string();
        let configuration = format!(
            "[service]\nname = \"tinyd\"\nversion = [\"{{executable}}\", \"version\"]\nstateless = true\n\
             [build]\ncommand = [\"make\", \"--silent\"]\nartifact = \"tinyd\"\n\
             [[unit]]\nname = \"web\"\ncommand = [\"bin/tinyd\", \"serve\"]\nlisten = \"127.0.0.1:{port}\"\n\
             restart_delay = \"20ms\"\n\
             [probe]\nhealth = \"/healthz\"\nversion = \"/version\"\ntime_max = \"3s\"\n\
             [limits]\nready = \"5s\"\ndrain = \"2s\"\n\
             [environment.test]\nhosts = [\"local\"]\nroot = \"{}\"\nruntime = \"{}\"\nledger = \"{}\"\n",
            at("opt"),
            at("run"),
            at("ledger"),
        );
        fs_err::write(site.path("tinyd/unship.toml"), configuration).expect("a configuration");
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
        command
            .args(words)
            .env_remove("UNSHIP_ENV")
            .env("UNSHIP_CONFIG", self.path("tinyd/unship.toml"))
            .env("NO_COLOR", "1")
            .env("USER", "op")
            .env_remove("SUDO_USER")
            .current_dir(self.path("tinyd"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn unship(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("unship runs")
    }

    /// Starts the program under the library that kills it.
    pub fn killed_at(&self, words: &[&str], point: usize, how: &str) -> Output {
        let mut command = self.command(words);
        command
            .env("LD_PRELOAD", &*KILLPOINT)
            .env("KILLPOINT_AT", point.to_string())
            .env("KILLPOINT_HOW", how);
        command.output().expect("unship runs")
    }

    /// Runs the program to its end and gives the names of its kill points.
    pub fn points_of(&self, words: &[&str]) -> Vec<String> {
        let log = self.path("points");
        let mut command = self.command(words);
        command.env("LD_PRELOAD", &*KILLPOINT).env("KILLPOINT_LOG", &log);
        let output = command.output().expect("unship runs");
        assert!(output.status.success(), "{}", text(&output));
        fs_err::read_to_string(log).expect("a log").lines().map(str::to_owned).collect()
    }

    pub fn supervise(&mut self) {
        let mut command = self.command(&["supervise"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.supervisor = Some(command.spawn().expect("the child runner starts"));
        let socket = self.path("run/supervise.sock");
        Site::until("the child runner answers", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    }

    /// kill -9 of the child runner.
    pub fn kill_supervise(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            supervisor.kill().expect("kills");
            supervisor.wait().expect("ends");
        }
    }

    fn end_supervise(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let id = rustix::process::Pid::from_child(&supervisor);
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            let _ = supervisor.wait();
        }
    }

    /// What the service says it is.
    pub fn version(&self) -> Option<String> {
        get(self.port, "/version").ok()
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < WAIT_MAX, "waited too long until {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The processes that run a release's files.
    pub fn processes_of(&self, tag: &str) -> Vec<u32> {
        let files = fs_err::canonicalize(self.path("opt")).expect("a root").join("releases").join(tag);
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc").expect("/proc").flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if fs_err::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.starts_with(&files)) {
                found.push(id);
            }
        }
        found
    }

    /// Exactly one process of this release and none of the other, and that is what answers.
    pub fn serves_only(&self, tag: &str, other: &str) {
        let began = Instant::now();
        while !self.processes_of(other).is_empty() {
            if began.elapsed() > LEFT_MAX {
                let (status, log) = (text(&self.unship(&["status"])), text(&self.unship(&["log"])));
                panic!("processes {:?} of {other} are left\n{status}\n{log}", self.processes_of(other));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(self.processes_of(tag).len(), 1, "processes of {tag}");
        assert_eq!(self.version().as_deref(), Some(tag));
        let current = fs_err::read_link(self.path("opt/current")).expect("current");
        assert_eq!(current, Path::new("releases").join(tag));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.supervisor.is_none() && self.folder.is_some() && self.path("run").exists() {
            // Whatever a killed child runner left is ended by its successor.
            self.supervise();
        }
        self.end_supervise();
        if let Some(folder) = &self.folder {
            make_removable(folder.path());
        }
    }
}

/// The body of a plain GET that was answered with 200.
pub fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: tinyd\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let failed = || std::io::Error::other(format!("it answered `{answer}`"));
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(failed());
    }
    Ok(answer.split_once("\r\n\r\n").ok_or_else(failed)?.1.trim().to_owned())
}

/// A light load: a request on a connection of its own, one after the other, each counted.
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn start(port: u16) -> Load {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut lost = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                if let Err(error) = get(port, "/") {
                    lost.push(error.to_string());
                }
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(3));
            }
            lost
        });
        Load { stop, sent, thread: Some(thread) }
    }

    /// How many were sent, and what became of those that were not answered well.
    pub fn end(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let lost = self.thread.take().expect("ended once").join().expect("the load does not panic");
        (self.sent.load(Ordering::SeqCst), lost)
    }
}

/// Whether the process was killed with -9.
pub fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(9)
}
