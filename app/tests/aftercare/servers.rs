//! Servers that others wrote, started for one test and ended with it, however the test ends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use unship::database::shadow::postgres::Binaries;

use super::site::repository;

/// How long a server may take to answer: Unleash makes some hundred tables first, and the machine may be busy.
const UP_MAX: Duration = Duration::from_mins(4);

/// The user and group `nobody` of Debian; PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;

/// What `testbed/tools` put there; none where it was not run, which is a failure under CI.
pub fn tool(name: &str, file: &str) -> Option<PathBuf> {
    let path = repository().join("target/tools").join(file);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "testbed/tools {name} has to be run first");
    eprintln!("SKIP: no {name} here; install it with testbed/tools {name}");
    None
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// A process that ends with this value, and with the test's thread.
pub struct Server {
    child: Child,
    /// Removed after the process has ended.
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Ends it and gives what it printed.
    pub fn printed(mut self) -> String {
        self.child.kill().expect("ends");
        let mut text = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut text).expect("reads");
        text
    }
}

/// A command that the kernel ends when the thread that starts it ends.
fn mortal(signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn until_up(what: &str, server: &mut Server, up: impl Fn() -> bool) {
    let began = Instant::now();
    while !up() {
        let ended = server.child.try_wait().expect("can be asked");
        assert!(ended.is_none() && began.elapsed() < UP_MAX, "{what} does not answer: {ended:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A PostgreSQL server on a socket in the folder that is given back, where everybody may be `postgres`.
pub fn postgres() -> Option<(Server, PathBuf)> {
    let binaries = match Binaries::find(None) {
        Ok(binaries) => binaries.directory,
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
            eprintln!("SKIP: {error}");
            return None;
        }
    };
    // Not below the test's own folder: its path is too long for a socket, and another user has to reach it.
    let folder = tempfile::Builder::new().prefix("unship-pg-").tempdir_in("/var/tmp").expect("a folder");
    let place = folder.path().to_owned();
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(&place, Some(NOBODY), Some(NOBODY)).expect("is given away");
    }
    let as_user = |command: &mut Command| {
        if root {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        }
    };
    let data = place.join("data");
    let mut initdb = mortal("KILL");
    as_user(&mut initdb);
    initdb.arg(binaries.join("initdb")).args(["--auth=trust", "--username=postgres", "--pgdata"]).arg(&data);
    assert!(initdb.current_dir("/").status().expect("initdb runs").success());
    let mut command = mortal("INT");
    as_user(&mut command);
    command.arg(binaries.join("postgres")).arg("-D").arg(&data).arg("-k").arg(&place);
    command.args(["-c", "listen_addresses=", "-c", "fsync=off"]).current_dir("/");
    let mut server = Server { child: command.spawn().expect("postgres starts"), _folder: Some(folder) };
    // The last line of its file says how far it is.
    let ready =
        || fs_err::read_to_string(data.join("postmaster.pid")).is_ok_and(|said| said.contains("ready"));
    until_up("PostgreSQL", &mut server, ready);
    Some((server, place))
}

/// An Unleash server on that PostgreSQL, with an admin token; its address.
pub fn unleash(socket: &Path, token: &str) -> Option<(Server, String)> {
    tool("unleash", "unleash/ready")?;
    let port = free_port();
    let mut command = mortal("KILL");
    command.arg(tool("unleash", "bin/node")?).arg(repository().join("testbed/unleash.js"));
    command.current_dir(repository().join("target/tools/unleash"));
    command.env("UNLEASH_PORT", port.to_string()).env("UNLEASH_DB_SOCKET", socket);
    command.env("INIT_ADMIN_API_TOKENS", token);
    let mut server = Server { child: command.spawn().expect("node starts"), _folder: None };
    let url = format!("http://127.0.0.1:{port}");
    until_up("Unleash", &mut server, || {
        TcpStream::connect(("127.0.0.1", port)).is_ok() && ask(&url, "GET", "/health", "", None).0 == 200
    });
    Some((server, url))
}

/// GitHub's own description of its API, served by Prism; its address.
pub fn prism() -> Option<(Server, String)> {
    let description = tool("prism", "prism/github.json")?;
    let port = free_port();
    let mut command = mortal("KILL");
    command.arg(tool("prism", "bin/node")?);
    command.arg(repository().join("target/tools/prism/node_modules/@stoplight/prism-cli/dist/index.js"));
    command.args(["mock", "--errors", "-h", "127.0.0.1", "-p", &port.to_string()]).arg(description);
    let mut server = Server { child: command.spawn().expect("prism starts"), _folder: None };
    until_up("Prism", &mut server, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some((server, format!("http://127.0.0.1:{port}")))
}

/// A mail server, aiosmtpd, that prints what it gets.
pub fn mail_server(port: u16, more: &[&str]) -> Option<Server> {
    let mut command = mortal("KILL");
    command
        .arg(tool("aiosmtpd", "bin/aiosmtpd")?)
        .args(["-n", "-l", &format!("127.0.0.1:{port}")])
        .args(more);
    command.env("PYTHONUNBUFFERED", "1").stdout(Stdio::piped());
    let mut server = Server { child: command.spawn().expect("aiosmtpd starts"), _folder: None };
    until_up("aiosmtpd", &mut server, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(server)
}

/// One request by a way of its own; status and body. What a server says here, no code of ours has read.
pub fn ask(
    url: &str,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&serde_json::Value>,
) -> (u16, String) {
    let address = url.strip_prefix("http://").expect("an address");
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a limit");
    let body = body.map(ToString::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    if stream.write_all(head.as_bytes()).is_err() || stream.read_to_end(&mut answer).is_err() {
        return (0, String::new());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}
