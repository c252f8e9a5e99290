//! A service of its own for one test: a history, a configuration, a child runner, folders that go away.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives it up.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub struct Site {
    pub folder: tempfile::TempDir,
    pub port: u16,
    supervisor: Option<Child>,
}

/// What a command printed and how it ended.
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Site {
    /// The releases of tinyd, nothing deployed, the child runner running.
    pub fn new() -> Site {
        Site::with("")
    }

    /// The same with more lines at the end of its `unship.toml`.
    pub fn with(more: &str) -> Site {
        let folder = tempfile::Builder::new().prefix("unship-cli-").tempdir().expect("a folder");
        let made = Command::new(repository().join("testbed/tinyd/make-history"))
            .arg(folder.path().join("tinyd"))
            .status()
            .expect("make-history runs");
        assert!(made.success());
        // Bound and let go: another process could take it, but the kernel does not give it out again soon.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut site = Site { folder, port, supervisor: None };
        fs_err::write(site.config(), site.configuration(more)).expect("writes");
        site.supervise();
        site
    }

    fn configuration(&self, more: &str) -> String {
        let place = |name: &str| self.path(name).display().to_string();
        format!(
            r#"[service]
name = "tinyd"
version = ["{{executable}}", "version"]
stateless = true
[build]
command = ["make", "--silent"]
artifact = "tinyd"
[[unit]]
name = "web"
command = ["bin/tinyd", "serve"]
listen = "127.0.0.1:{port}"
[probe]
health = "/healthz"
version = "/version"
time_max = "3s"
[environment.test]
hosts = ["local"]
root = "{root}"
runtime = "{runtime}"
ledger = "{ledger}"
{more}"#,
            port = self.port,
            root = place("opt"),
            runtime = place("run"),
            ledger = place("ledger"),
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("tinyd/unship.toml")
    }

    /// Starts the child runner and waits until it answers.
    pub fn supervise(&mut self) {
        let child = self
            .command(&["supervise"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child runner starts");
        self.supervisor = Some(child);
        self.until("the child runner is up", || self.path("run/supervise.sock").exists());
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
        command
            .args(words)
            .env_remove("UNSHIP_ENV")
            .env("UNSHIP_CONFIG", self.config())
            .env("NO_COLOR", "1")
            .env("USER", "op")
            .env_remove("SUDO_USER")
            .env("TMPDIR", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .current_dir(self.path("tinyd"));
        command
    }

    /// Runs the program to its end.
    pub fn unship(&self, words: &[&str]) -> Said {
        self.unship_with(words, &[])
    }

    /// The same with more environment variables.
    pub fn unship_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Said {
        let mut command = self.command(words);
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        let output = command.output().expect("unship runs");
        Said {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the program.
    pub fn spawn(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unship starts")
    }

    /// Starts the program, waits until its run has begun a step, and ends it as a power cut would.
    pub fn interrupt(&self, words: &[&str]) {
        let mut child = self.spawn(words);
        self.until("its journal has a step", || {
            let files = fs_err::read_dir(self.path("ledger/journal")).into_iter().flatten().flatten();
            let texts = files.filter_map(|file| fs_err::read_to_string(file.path()).ok());
            texts.into_iter().any(|text| text.contains("intent"))
        });
        child.kill().expect("it can be ended");
        child.wait().expect("it ended");
    }

    /// Damages the ledger; what it was. What a command wrote last may still be in the log beside the file.
    pub fn break_ledger(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = ["ledger.sqlite", "ledger.sqlite-wal"].map(|name| self.path("ledger").join(name));
        let whole =
            files.into_iter().filter_map(|file| Some((file.clone(), fs_err::read(file).ok()?))).collect();
        self.remove_ledger();
        fs_err::write(self.path("ledger/ledger.sqlite"), vec![7; 8192]).expect("writes");
        whole
    }

    /// Puts back what `break_ledger` gave.
    pub fn mend_ledger(&self, whole: Vec<(PathBuf, Vec<u8>)>) {
        self.remove_ledger();
        for (file, bytes) in whole {
            fs_err::write(file, bytes).expect("writes");
        }
    }

    /// Removes the ledger's files; the journals stay.
    pub fn remove_ledger(&self) {
        for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
            let _ = fs_err::remove_file(self.path("ledger").join(name));
        }
    }

    /// Runs the program and gives all it said in one text, without what differs from run to run.
    pub fn says(&self, words: &[&str]) -> String {
        let said = self.unship(words);
        let mut text = format!("$ unship {}\n", words.join(" "));
        if !said.stdout.is_empty() {
            text.push_str(&format!("--- stdout\n{}", said.stdout));
        }
        if !said.stderr.is_empty() {
            text.push_str(&format!("--- stderr\n{}", said.stderr));
        }
        text.push_str(&format!("--- status {}", said.status));
        text.replace(&self.folder.path().display().to_string(), "[site]")
            .replace(&format!(":{}", self.port), ":[port]")
    }

    /// What the service answers to a plain GET, its body.
    pub fn get(&self, path: &str) -> Option<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(WAIT_MAX)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: tinyd\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.trim().to_owned())
    }

    pub fn serves(&self) -> Option<String> {
        self.get("/version")
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let (began, port) = (Instant::now(), self.port);
        while !is_so() {
            assert!(began.elapsed() < WAIT_MAX, "port {port}: waited too long until {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let id = rustix::process::Pid::from_child(&supervisor);
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            let _ = supervisor.wait();
        }
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Takes out what differs from run to run.
pub fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, word) in [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "[time]"),
        (r"\d{8}T\d{6}-\d{3}-[0-9a-f]+", "[run]"),
        (r"\b[0-9a-f]{64}\b", "[digest]"),
        (r"\b[0-9a-f]{12}\b", "[digest]"),
        (r" +\d+(\.\d)? (ms|s)\b", " [took]"),
        (r"pid \d+", "pid [pid]"),
        (r"restarted (once|\d+ times)", "restarted [n] times"),
        (r"op@\S+", "op@[machine]"),
        (r"unship_shadow_[0-9a-f]+_\d+", "[database]"),
        (r"PostgreSQL \d+\.\d+", "PostgreSQL [version]"),
    ] {
        settings.add_filter(pattern, word);
    }
    settings
}
