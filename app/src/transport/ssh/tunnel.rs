//! A way through a host to its database: a child of the user's own OpenSSH that carries one socket and runs nothing
//! on the host.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::command::{self, SshOptions};
use super::complaint::{self, Ended};
use crate::config::Destination;
use crate::ports::{Listens, TransportError, Tunnel, Tunnels};

/// What the way may take beyond the time for its connection: key exchange, and the socket.
const OPEN_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The most of what ssh says that is read.
const SAID_BYTES_MAX: u64 = 16 << 10;

/// The way through one host.
#[derive(Debug, Clone)]
pub struct SshTunnels {
    /// How it is reached.
    pub options: SshOptions,
    /// Where it is.
    pub to: Destination,
}

/// Goes with the child, and the folder with its socket.
struct Held {
    _child: Child,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Tunnels for SshTunnels {
    async fn open(&self, to: &Listens) -> Result<Tunnel, TransportError> {
        // In a folder that nobody else can enter: whoever reaches the socket reaches the database's server.
        let folder = tempfile::Builder::new().prefix("unship-db-").tempdir_in("/tmp");
        let folder =
            folder.map_err(|error| self.error(format!("no folder for its socket: {error}"), None))?;
        let socket = folder.path().join(socket_name(to.port()));
        let not_started = |error: std::io::Error| self.error(format!("ssh cannot be started: {error}"), None);
        let arguments = command::tunnel_arguments(&self.options, &self.to, &forward(&socket, to));
        let mut child = Command::new(&self.options.program)
            .args(arguments.map_err(not_started)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C at the terminal is for this program, which finishes its step first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(not_started)?;
        let limit = self.options.connect_max + OPEN_MAX;
        let began = Instant::now();
        while !socket.exists() {
            if let Ok(Some(status)) = child.try_wait() {
                let mut said = Vec::new();
                if let Some(stderr) = child.stderr.take() {
                    // What cannot be read is not said.
                    let _ = stderr.take(SAID_BYTES_MAX).read_to_end(&mut said).await;
                }
                let stderr = String::from_utf8_lossy(&said);
                let ended = Ended { stderr: &stderr, stdout: "", status: status.code() };
                let complaint = complaint::read(&self.to, &ended);
                return Err(self.error(complaint.why, complaint.hint));
            }
            if began.elapsed() > limit {
                return Err(self.error(format!("no way to the database within {} s", limit.as_secs()), None));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let place = folder.path().to_owned();
        Ok(Tunnel { folder: place, held_by: Box::new(Held { _child: child, _folder: folder }) })
    }
}

impl SshTunnels {
    fn error(&self, why: String, hint: Option<String>) -> TransportError {
        TransportError { host: self.to.name.clone(), why, hint }
    }
}

/// As PostgreSQL names its socket for a port (libpq, "Connection Strings": host).
fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

/// What `-L` of ssh takes.
fn forward(socket: &Path, to: &Listens) -> String {
    let far = match to {
        // An IPv6 address is told from its port by brackets.
        Listens::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        Listens::Tcp { host, port } => format!("{host}:{port}"),
        Listens::Socket { folder, port } => folder.join(socket_name(*port)).display().to_string(),
    };
    format!("{}:{far}", PathBuf::from(socket).display())
}

#[cfg(test)]
mod tests {
    use super::{Listens, forward};

    #[test]
    fn a_socket_here_stands_for_what_listens_there() {
        let socket = std::path::Path::new("/tmp/x/.s.PGSQL.5432");
        let to = |host: &str| Listens::Tcp { host: host.into(), port: 5432 };
        assert_eq!(forward(socket, &to("db.internal")), "/tmp/x/.s.PGSQL.5432:db.internal:5432");
        assert_eq!(forward(socket, &to("::1")), "/tmp/x/.s.PGSQL.5432:[::1]:5432");
        let there = Listens::Socket { folder: "/var/run/postgresql".into(), port: 5433 };
        assert_eq!(forward(socket, &there), "/tmp/x/.s.PGSQL.5432:/var/run/postgresql/.s.PGSQL.5433");
    }
}
