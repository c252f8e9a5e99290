//! A service started with nothing in between: the floor under every flip. A socket, a process, READY=1, a
//! signal; no proof, no journal, no supervision.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The smallest thing that hands over a socket: it comes as standard input, becomes descriptor 3, and the
/// process that asks for it must be the one that is named.
const HAND_OVER: &str = "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$@\"";
/// How long a unit without READY=1 has to run to count as ready.
const MOMENT: Duration = Duration::from_millis(200);

/// What is started.
#[derive(Debug, Clone)]
pub struct BareProgram {
    /// The program, absolute, and its arguments.
    pub command: Vec<String>,
    /// Where it starts.
    pub folder: PathBuf,
    /// Its variables, besides this process's own.
    pub environment: BTreeMap<String, String>,
    /// Whether it says READY=1.
    pub notify: bool,
    /// How long it may take to get ready.
    pub ready_max: Duration,
}

/// A process that was started and is ready. It is killed when this is dropped.
#[derive(Debug)]
pub struct BareInstance {
    child: Child,
}

/// Why it did not get ready.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// The system.
    #[error("the bare flip failed: {0}")]
    Io(io::Error),
    /// It did not say READY=1.
    #[error("the bare flip failed: `{program}` was not ready within {} ms", .within.as_millis())]
    NotReady {
        /// The program.
        program: String,
        /// The limit.
        within: Duration,
    },
}

impl BareProgram {
    /// Starts it, on a listener where it has one, and returns when it is ready. `notify` is a path for its
    /// socket.
    pub fn start(&self, listener: Option<&TcpListener>, notify: &Path) -> Result<BareInstance, BareError> {
        let _ = std::fs::remove_file(notify);
        let socket = UnixDatagram::bind(notify).map_err(BareError::Io)?;
        let began = Instant::now();
        let mut command = Command::new("/bin/sh");
        if let Some(listener) = listener {
            let handed: OwnedFd = listener.as_fd().try_clone_to_owned().map_err(BareError::Io)?;
            command.args(["-c", HAND_OVER, "sh"]).env("LISTEN_FDS", "1").stdin(Stdio::from(handed));
        } else {
            command.args(["-c", "exec \"$@\"", "sh"]).stdin(Stdio::null());
        }
        let child = command
            .args(&self.command)
            .current_dir(&self.folder)
            .envs(&self.environment)
            .env("NOTIFY_SOCKET", notify)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(BareError::Io)?;
        let instance = BareInstance { child };
        if self.notify {
            self.wait_until_ready(&socket, began)?;
        } else {
            std::thread::sleep(MOMENT);
        }
        Ok(instance)
    }

    fn wait_until_ready(&self, socket: &UnixDatagram, began: Instant) -> Result<(), BareError> {
        let mut text = [0; 512];
        loop {
            let left = self.ready_max.saturating_sub(began.elapsed());
            let late = || BareError::NotReady {
                program: self.command.first().cloned().unwrap_or_default(),
                within: self.ready_max,
            };
            if left.is_zero() {
                return Err(late());
            }
            socket.set_read_timeout(Some(left)).map_err(BareError::Io)?;
            let got = socket.recv(&mut text).map_err(|_| late())?;
            if text.get(..got).is_some_and(|said| said.split(|&b| b == b'\n').any(|line| line == b"READY=1"))
            {
                return Ok(());
            }
        }
    }
}

impl BareInstance {
    /// Sends SIGTERM.
    pub fn tell_to_stop(&self) -> Result<(), BareError> {
        match Pid::from_raw(self.child.id().cast_signed()) {
            // One that ended by itself has stopped.
            Some(pid) => match kill_process(pid, Signal::TERM) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(error) => Err(BareError::Io(error.into())),
            },
            None => Ok(()),
        }
    }

    /// Waits until it has ended, at most so long; then it is killed.
    pub fn wait(mut self, at_most: Duration) {
        let until = Instant::now() + at_most;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for BareInstance {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
