//! A shim that was started ahead and waits to be told what to become. If the child runner is killed it hears
//! the end of its socket and ends as well, so one that was told nothing is never left over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::slot::Process;
use super::{SuperviseError, SuperviseOptions};

/// How long the shim may take to read its launch when that does not fit into the socket at once.
const SEND_LIMIT: Duration = Duration::from_secs(2);

/// The waiting shim.
#[derive(Debug)]
pub(super) struct Standby {
    pub(super) process: Process,
    pub(super) socket: UnixStream,
}

impl Standby {
    /// Starts one.
    pub(super) fn start(options: &SuperviseOptions) -> Result<Standby, SuperviseError> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_write_timeout(Some(SEND_LIMIT))?;
        let spawned = Command::new(&options.shim_program)
            .args(&options.shim_args)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let program = || options.shim_program.clone();
        let child = spawned.map_err(|source| SuperviseError::Spawn { program: program(), source })?;
        // Nobody waits for the child before the pidfd is there, so its pid is its own.
        let process = Process::open(child.id(), None)?.ok_or_else(|| SuperviseError::Spawn {
            program: program(),
            source: io::Error::other("it vanished"),
        })?;
        Ok(Standby { process, socket })
    }

    /// Whether it still waits; one that was killed meanwhile is reaped.
    pub(super) fn waits(&self) -> bool {
        let mut fds = [PollFd::new(&self.process.pidfd, PollFlags::IN)];
        let ended = rustix::event::poll(&mut fds, Some(&Timespec::default())) != Ok(0);
        if ended {
            self.process.reap();
        }
        !ended
    }
}
