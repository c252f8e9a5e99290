//! Three hosts and a service of its own for one test: its units, its history, its configuration, its load.
//!
//! All tests share one fleet, made by the first and gone with the test run. Each test has the fleet for itself while
//! it runs, and a service with a name and port of its own, so that nothing of one test is in the way of the next.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::LinkNameSpaceType;
use sha2::{Digest, Sha256};
use unship::load::plan::RequestPlan;
use unship::load::{Load, LoadPlan, Recording, Variables};
use unship_core::journal::{Entry, Event};
use unship_core::plan::Step;

use crate::testbed::{Failure, Host, Testbed};

/// Good; good; answers 500; ends by itself; never ready; 500 and ignores SIGTERM; good, and 2 s to get ready.
pub const GOOD: &str = "1.5.0";
pub const ALSO_GOOD: &str = "1.6.0";
pub const BAD: &str = "1.1.0";
pub const PANICS: &str = "1.2.0";
pub const NEVER_READY: &str = "1.4.0";
pub const STUBBORN: &str = "1.7.0";
pub const SLOW: &str = "1.8.0";

/// Hosts of the fleet.
const HOSTS: usize = 3;
/// How long anything may take before the test gives it up.
const WAIT_MAX: Duration = Duration::from_secs(90);
/// How long a release that was told to stop may be there: its TimeoutStopSec and a little.
const LEFT_MAX: Duration = Duration::from_secs(10);
/// Requests a second on each host.
const RATE: u32 = 40;

/// How the service is run on the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// A template and a socket whose listener two releases share.
    Socket,
    /// One plain unit that listens itself.
    Plain,
    /// The same with one file in `/usr/local/bin`, in the place of which each release's is put.
    Swap,
}

pub struct World {
    pub testbed: Testbed,
    pub service: String,
    pub port: u16,
    folder: tempfile::TempDir,
    /// Held as long as the test has the fleet.
    _lock: fs_err::File,
}

/// Why these tests cannot run here, where they cannot.
fn missing() -> Option<&'static str> {
    let root = rustix::process::geteuid().is_root();
    let network = Path::new("/proc/self/ns/net").exists() && Path::new("/sys/fs/cgroup").exists();
    match (root, network) {
        (false, _) => Some("making hosts needs root"),
        (true, false) => Some("making hosts needs network namespaces and cgroups"),
        (true, true) => None,
    }
}

/// Runs a test on three hosts. Without what that needs it says so loudly and does nothing; in CI it fails.
pub async fn on_hosts(units: Units, test: impl AsyncFnOnce(&World) -> Result<(), Failure>) {
    if let Some(missing) = missing() {
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        say(&format!("SKIPPED: {missing}"));
        return;
    }
    let world = World::new(units).unwrap_or_else(|error| panic!("no fleet: {error}"));
    if let Err(error) = test(&world).await {
        panic!("{error}\n{}", world.what_is());
    }
}

/// As [`on_hosts`], for what takes long: `make prove-fleet` runs it, an ordinary run says that it did not.
pub async fn in_proof(units: Units, test: impl AsyncFnOnce(&World) -> Result<(), Failure>) {
    if std::env::var_os("UNSHIP_PROVE").is_none() {
        say("SKIPPED: `make prove-fleet` runs it");
        return;
    }
    on_hosts(units, test).await;
}

impl World {
    fn new(units: Units) -> Result<World, Failure> {
        let name = fleet_name();
        let lock = fs_err::File::create(std::env::temp_dir().join(format!("unship-{name}.lock")))?;
        rustix::fs::flock(lock.file(), rustix::fs::FlockOperation::LockExclusive)?;
        let testbed = ready_fleet(&name)?;
        let number = next_number(&testbed)?;
        let service = format!("tiny{number}");
        let folder = tempfile::Builder::new().prefix("unship-fleet-").tempdir()?;
        let world = World { testbed, service, port: 20_000 + number, folder, _lock: lock };
        let mut history = Command::new(repository().join("testbed/tinyd/make-history"));
        crate::testbed::run(history.arg(world.path("service")))?;
        fs_err::write(world.path("service/unship.toml"), world.configuration(units))?;
        world.install_units(units)?;
        Ok(world)
    }

    /// The units are there before the first deploy, and nothing runs.
    fn install_units(&self, units: Units) -> Result<(), Failure> {
        for host in self.hosts() {
            for (name, text) in crate::units::files(&self.service, self.port, units) {
                self.testbed.put(
                    &host.name,
                    text.as_bytes(),
                    &format!("/etc/systemd/system/{name}"),
                    "644",
                )?;
            }
            self.testbed.at(&host.name, &["systemctl", "daemon-reload"])?;
        }
        Ok(())
    }

    fn configuration(&self, units: Units) -> String {
        let World { service, port, .. } = self;
        let names: Vec<String> = self.hosts().iter().map(|host| format!("{:?}", host.name)).collect();
        let table = |host: &Host| {
            format!("[environment.production.host.{}]\naddress = \"{}\"\n", host.name, host.address)
        };
        let tables: Vec<String> = self.hosts().iter().map(table).collect();
        let unit = match units {
            Units::Socket => format!("listen = \"0.0.0.0:{port}\""),
            Units::Plain | Units::Swap => format!(
                "listen = \"127.0.0.1:{port}\"\nenvironment = {{ PORT = \"{port}\" }}\n\
                 [unit.systemd]\nunit = \"{service}.service\""
            ),
        };
        format!(
            r#"[service]
name = "{service}"
version = ["{{executable}}", "version"]
stateless = true
[build]
command = ["make", "--silent"]
artifact = "tinyd"
[[unit]]
name = "web"
command = ["bin/tinyd", "serve"]
{unit}
[probe]
health = "/healthz"
version = "/version"
time_max = "5s"
[limits]
ready = "6s"
drain = "4s"
[environment.production]
manager = "systemd"
hosts = [{hosts}]
root = "/opt/{service}"
runtime = "/run/unship/{service}"
ledger = "{ledger}"
[environment.production.ssh]
config = "{ssh}"
user = "deploy"
sudo = true
connect = "3s"
{tables}"#,
            tables = tables.concat(),
            hosts = names.join(", "),
            ledger = self.path("ledger").display(),
            ssh = self.testbed.file("ssh_config").display(),
        )
    }

    pub fn hosts(&self) -> &[Host] {
        self.testbed.web()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a program into the test's folder.
    pub fn script(&self, name: &str, text: &str) -> Result<(), Failure> {
        fs_err::write(self.path(name), text)?;
        Ok(fs_err::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755))?)
    }

    /// The program, on this test's configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
        command
            .args(words)
            .env("UNSHIP_CONFIG", self.path("service/unship.toml"))
            .env("NO_COLOR", "1")
            .env("USER", "op")
            .env_remove("SUDO_USER")
            .env_remove("UNSHIP_ENV")
            .env("TMPDIR", self.folder.path())
            .current_dir(self.path("service"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn unship(&self, words: &[&str]) -> Result<Said, Failure> {
        Ok(Said::of(words, &self.command(words).output()?))
    }

    /// Starts the program.
    pub fn begin(&self, words: &[&str]) -> Result<Running, Failure> {
        let child = self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Running { words: words.iter().map(ToString::to_string).collect(), child })
    }

    /// Brings releases out, one after the other.
    pub fn deploy(&self, tags: &[&str]) -> Result<(), Failure> {
        tags.iter().try_for_each(|tag| self.unship(&["deploy", tag])?.ends_with(0).map(drop))
    }

    /// Load on every host, from inside its network, so that a cut of the network does not touch it.
    pub fn load(&self) -> Result<Vec<(String, Load)>, Failure> {
        self.hosts().iter().map(|host| Ok((host.name.clone(), self.load_on(&host.name)?))).collect()
    }

    /// Load on every host through the network, as users come.
    pub fn load_from_outside(&self) -> Result<Vec<(String, Load)>, Failure> {
        let start = |host: &Host| {
            let address = (host.address, self.port).into();
            Ok((host.name.clone(), Load::start(&load_plan(), address, &Variables::new())?))
        };
        self.hosts().iter().map(start).collect()
    }

    fn load_on(&self, host: &str) -> Result<Load, Failure> {
        self.load_of(host, self.port, load_plan())
    }

    /// Load on a port of a host, from inside its network.
    pub fn load_of(&self, host: &str, port: u16, plan: LoadPlan) -> Result<Load, Failure> {
        let number = fs_err::read_to_string(self.testbed.file("number"))?;
        let netns = fs_err::File::open(format!("/run/netns/ub{}-{host}", number.trim()))?;
        // The load's thread is born in the network of the thread that starts it.
        let started = std::thread::spawn(move || {
            rustix::thread::move_into_link_name_space(netns.file().as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| error.to_string())?;
            let address = ([127, 0, 0, 1], port).into();
            Load::start(&plan, address, &Variables::new()).map_err(|error| error.to_string())
        });
        Ok(started.join().map_err(|_| "the load did not start")??)
    }

    /// Waits until a run's journal says that a flip of the host was begun.
    pub fn until_flip_of(&self, host: &str) -> Result<(), Failure> {
        until(&format!("the flip of {host} began"), || {
            let files = fs_err::read_dir(self.path("ledger/journal")).into_iter().flatten().flatten();
            // Runs that are over are in a folder beside them.
            let journals = files.map(|file| file.path()).filter(|path| path.extension().is_some());
            let newest = journals.max();
            let text = newest.and_then(|path| fs_err::read_to_string(path).ok()).unwrap_or_default();
            Ok(flip_began(&text, host))
        })
    }

    /// The end state, looked at past unship: what answers, what runs, what the host would boot.
    pub fn proves(&self, host: &str, tag: &str) -> Result<(), Failure> {
        let wrong = |what: &str, found: &str| -> Result<(), Failure> {
            Err(format!("{host} should be on {tag}, but {what}: {found}").into())
        };
        let current =
            self.testbed.at(host, &["readlink", "-f", &format!("/opt/{}/current", self.service)])?;
        if !current.trim().ends_with(&format!("/{tag}")) {
            return wrong("current is", &current);
        }
        let wanted = self.testbed.at(host, &["sha256sum", &format!("{}/files/bin/tinyd", current.trim())])?;
        let wanted = wanted.split_whitespace().next().unwrap_or_default().to_owned();
        let running = self.running(host, &self.service)?;
        if running != [wanted.as_str()] {
            return wrong("these programs run", &format!("{running:?}, not {wanted}"));
        }
        match self.version(host) {
            Ok(found) if found == tag => Ok(()),
            Ok(found) => wrong("it answers as", &found),
            Err(error) => wrong("it does not answer", &error.to_string()),
        }
    }

    /// Digests of what all processes of a service's units execute.
    pub fn running(&self, host: &str, service: &str) -> Result<Vec<String>, Failure> {
        let script = "for u in $(systemctl list-units --plain --no-legend --state=active,activating,deactivating \
            \"$1*.service\" | cut -d' ' -f1); do p=$(systemctl show -P MainPID $u); \
            [ $p = 0 ] || sha256sum < /proc/$p/exe; done";
        let running = self.testbed.at(host, &["sh", "-c", script, "-", service])?;
        let digests = running.lines().filter_map(|line| line.split_whitespace().next());
        Ok(digests.map(str::to_owned).collect())
    }

    /// What `/version` says on the host.
    pub fn version(&self, host: &str) -> Result<String, Failure> {
        let url = format!("http://127.0.0.1:{}/version", self.port);
        Ok(self.testbed.at(host, &["curl", "-sS", "--max-time", "5", &url])?.trim().to_owned())
    }

    /// The same within the time that the old release may take to finish its requests.
    pub fn comes_to_prove(&self, host: &str, tag: &str) -> Result<(), Failure> {
        in_time(|| self.proves(host, tag))
    }

    /// Every host comes to be on the release.
    pub fn all_come_to_prove(&self, tag: &str) -> Result<(), Failure> {
        self.hosts().iter().try_for_each(|host| self.comes_to_prove(&host.name, tag))
    }

    /// For whoever reads why a test failed.
    fn what_is(&self) -> String {
        let mut text = self.testbed.act(&["status"]).unwrap_or_default();
        for host in self.hosts() {
            let script = "systemctl list-units --all --no-legend \"$1*\"; ls -l \"/opt/$1\"; \
                journalctl --no-pager -q -n 30 -u \"$1*\"";
            let found = self.testbed.at(&host.name, &["sh", "-c", script, "-", &self.service]);
            text += &format!("== {}\n{}", host.name, found.unwrap_or_else(|error| error.to_string()));
        }
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The service goes; faults are taken back by whoever comes next.
        for host in self.testbed.web() {
            let script = "systemctl stop \"$1*\" 2>/dev/null; rm -rf /etc/systemd/system/\"$1\"[.@-]* \"/opt/$1\" \"/usr/local/bin/$1\"";
            let _ = self.testbed.at(&host.name, &["sh", "-c", script, "-", &self.service]);
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> Result<bool, Failure>) -> Result<(), Failure> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > WAIT_MAX {
            return Err(format!("waited too long until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Looks again until it is so, within the time that the old release may take to finish its requests.
pub fn in_time(look: impl Fn() -> Result<(), Failure>) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match look() {
            Err(_) if began.elapsed() < LEFT_MAX => std::thread::sleep(Duration::from_millis(100)),
            result => return result,
        }
    }
}

/// What a test has to say besides that it passed.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A program that was started.
pub struct Running {
    words: Vec<String>,
    child: Child,
}

impl Running {
    /// Waits for its end.
    pub fn end(self) -> Result<Said, Failure> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        Ok(Said::of(&words, &self.child.wait_with_output()?))
    }
}

/// What a command said and how it ended.
pub struct Said {
    words: String,
    pub status: Option<i32>,
    pub text: String,
}

impl Said {
    pub fn of(words: &[&str], output: &Output) -> Said {
        let text = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .concat();
        Said { words: words.join(" "), status: output.status.code(), text }
    }

    /// The status must be this one.
    pub fn ends_with(self, status: i32) -> Result<Said, Failure> {
        if self.status == Some(status) {
            return Ok(self);
        }
        let found = self.status.map_or("a signal".to_owned(), |status| status.to_string());
        Err(format!("`unship {}` ended with {found} in place of {status}:\n{}", self.words, self.text).into())
    }

    /// It must say this.
    pub fn says(self, words: &str) -> Result<Said, Failure> {
        if self.text.contains(words) {
            return Ok(self);
        }
        Err(format!("`unship {}` does not say `{words}`:\n{}", self.words, self.text).into())
    }
}

/// Ends the loads; how many requests were sent, and those that failed, in words.
pub async fn end(loads: Vec<(String, Load)>) -> Result<Counted, Failure> {
    let mut counted = Counted::default();
    for (host, load) in loads {
        counted.add(&host, &load.stop().await?);
    }
    Ok(counted)
}

/// What all loads met.
#[derive(Debug, Default)]
pub struct Counted {
    pub sent: usize,
    /// Failed, but for those that a release that is bad by design answered itself.
    pub failed: Vec<String>,
    /// Answered with an error by a release that is bad by design.
    pub by_bad: usize,
    /// The longest time on any host between the last right answer before a failure and the first after it.
    pub gap: Duration,
}

impl Counted {
    fn add(&mut self, host: &str, recording: &Recording) {
        self.sent += recording.samples.len();
        let mut last_good_us = None;
        let mut since_good = 0;
        for sample in &recording.samples {
            if !recording.failed(sample) {
                if let Some(last) = last_good_us.filter(|_| since_good > 0) {
                    self.gap = self.gap.max(Duration::from_micros(sample.end_us.saturating_sub(last)));
                }
                (last_good_us, since_good) = (Some(sample.end_us), 0);
                continue;
            }
            let by_bad = sample
                .server
                .as_deref()
                .is_some_and(|server| [BAD, STUBBORN].iter().any(|bad| server == format!("tinyd/{bad}")));
            if by_bad {
                self.by_bad += 1;
            } else {
                since_good += 1;
                let what = recording.request_name(sample.request);
                self.failed.push(format!(
                    "{host}: {what} at {} ms: {}",
                    sample.start_us / 1_000,
                    sample.outcome
                ));
            }
        }
        if recording.unrecorded > 0 {
            self.failed.push(format!("{host}: {} requests were not recorded", recording.unrecorded));
        }
    }
}

/// Half keep their connection, a third writes, some are slow, and one stream is always open.
fn load_plan() -> LoadPlan {
    LoadPlan {
        rate_per_s: RATE,
        requests: vec![
            request("hello", "GET", "/", 65, 200),
            request("note", "POST", "/notes", 30, 201),
            request("slow", "GET", "/slow?ms=1500", 5, 200),
            request("watch", "GET", "/stream", 1, 200),
        ],
        ..LoadPlan::default()
    }
}

/// A kind of request; `watch` is a stream and `slow` is slow.
pub fn request(name: &str, method: &str, path: &str, weight: u32, expect_status: u16) -> RequestPlan {
    RequestPlan {
        name: name.into(),
        method: method.into(),
        path: path.into(),
        headers: std::collections::BTreeMap::new(),
        body: None,
        weight,
        expect_status,
        stream: name == "watch",
        slow: name == "slow",
    }
}

/// Whether a journal has the intent of a flip of the host.
fn flip_began(journal: &str, host: &str) -> bool {
    let entries = journal
        .lines()
        // Each line carries its digest before it.
        .filter_map(|line| serde_json::from_str::<Entry>(line.split_once(' ')?.1).ok());
    let events: Vec<Event> = entries.map(|entry| entry.event).collect();
    let Some(Event::Started { plan, .. }) = events.first() else { return false };
    events.iter().any(|event| match event {
        Event::Intent { step, .. } => {
            matches!(plan.step(*step), Some(Step::Flip { host: of, .. }) if of.as_str() == host)
        }
        _ => false,
    })
}

/// One fleet for one working copy.
fn fleet_name() -> String {
    let digest = Sha256::digest(repository().display().to_string());
    format!("t-{}", &hex::encode(digest)[..8])
}

/// The fleet as this test run's first test made it, every fault taken back; made where it is not there.
fn ready_fleet(name: &str) -> Result<Testbed, Failure> {
    // Under nextest every test is a process of its own, and the run is their parent.
    let run = match std::env::var_os("NEXTEST") {
        Some(_) => std::os::unix::process::parent_id(),
        None => std::process::id(),
    };
    if let Ok(testbed) = Testbed::standing(name) {
        let watched = fs_err::read_to_string(testbed.file("watched")).unwrap_or_default();
        if watched.trim() == run.to_string() && testbed.act(&["mend"]).is_ok() {
            return Ok(testbed);
        }
    }
    Testbed::up(name, HOSTS, run)
}

fn next_number(testbed: &Testbed) -> Result<u16, Failure> {
    let file = testbed.file("services");
    let number = fs_err::read_to_string(&file).ok().and_then(|text| text.parse().ok()).unwrap_or(0_u16) + 1;
    fs_err::write(file, number.to_string())?;
    Ok(number)
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
