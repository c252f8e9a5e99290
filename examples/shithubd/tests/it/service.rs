//! Starting and stopping the binary, as a service manager does.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, request};

const BINARY: &str = env!("CARGO_BIN_EXE_shithubd");

/// A data folder of its own; `command` runs the binary on it.
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With the schema in place.
    pub fn migrated() -> Self {
        let world = Self::new();
        assert!(world.run(&["migrate", "up"]).status.success());
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        // An empty configuration file: a service installed on this machine must not be met.
        let config = self.path("shithubd.toml");
        std::fs::write(&config, "").unwrap();
        command
            .env_remove("DATABASE_URL")
            .env_remove("LISTEN_FDS")
            .env("SHITHUBD_CONFIG", config)
            .env("SHITHUBD_DATA_DIR", self.folder.path())
            .env("SHITHUBD_FLAGS_FILE", self.path("flags.json"))
            .env("SHITHUBD_LOG", "warn")
            .stdin(Stdio::null());
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// The standard output of a command that has to succeed.
    pub fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts `web` on a port of its own and returns when it is ready.
    pub fn web(&self, arguments: &[&str]) -> Service {
        let mut command = self.command();
        command.args(["web", "--listen", "127.0.0.1:0"]).args(arguments);
        start(command)
    }

    /// Starts `web` on a socket that somebody else holds too. `LISTEN_PID` has to be the pid of the
    /// service itself, which a shell can say before it becomes the service.
    pub fn web_on(&self, listener: &TcpListener, arguments: &[&str]) -> Service {
        let mut command = Command::new("sh");
        self.environment(&mut command);
        command
            .args(["-c", r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" web "$@""#, BINARY])
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        start(command)
    }

    pub fn set_flag(&self, name: &str, on: bool) {
        let variant = if on { "on" } else { "off" };
        let flag =
            json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": variant});
        write_atomically(&self.path("flags.json"), &json!({"flags": {name: flag}}).to_string());
        // The service looks at the file at most every 200 ms.
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Starts the service and waits for its READY=1, which comes with its address.
fn start(mut command: Command) -> Service {
    let notify = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(notify.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    command.env("NOTIFY_SOCKET", notify.path().join("notify")).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut buffer = [0; 128];
    let Ok(length) = socket.recv(&mut buffer) else {
        let _ = child.kill();
        let mut said = String::new();
        let _ = child.stderr.take().unwrap().read_to_string(&mut said);
        panic!("web did not get ready: {said}");
    };
    let said = std::str::from_utf8(&buffer[..length]).unwrap();
    let address = said.strip_prefix("READY=1\nSTATUS=listening on ").unwrap().trim_end().parse().unwrap();
    Service { child, address, socket, _notify: notify }
}

fn write_atomically(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

pub struct Service {
    child: Child,
    pub address: SocketAddr,
    socket: UnixDatagram,
    _notify: tempfile::TempDir,
}

impl Service {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Sends SIGTERM and returns when the service has said that it is stopping.
    pub fn terminate(&self) {
        self.signal("TERM");
        let mut buffer = [0; 64];
        let length = self.socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1\n");
    }

    /// Waits for the end, at most so long.
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < limit, "still runs after {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        request(self.address, method, path, token, body.as_ref())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, None)
    }

    pub fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send("POST", path, Some(token), Some(body))
    }

    /// Signs up, with a full name, and returns the token.
    pub fn sign_up(&self, name: &str) -> String {
        let body = json!({"name": name, "full_name": format!("{name} of Example")});
        let answer = self.send("POST", "/api/users", None, Some(body));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json["token"]["token"].as_str().unwrap().to_owned()
    }

    /// Signs up `name` and creates the repository `name/project`.
    pub fn sign_up_with_repo(&self, name: &str) -> String {
        let token = self.sign_up(name);
        let answer = self.post("/api/repos", &token, json!({"name": "project"}));
        assert_eq!(answer.status, 201, "{answer:?}");
        token
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
