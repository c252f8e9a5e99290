//! The exec shim: `LISTEN_PID` must be the process id of the one who reads it, which only that process knows
//! before it runs. The shim is that process: it waits until it is told what to become, and becomes it. One is
//! always started ahead, so that a flip waits neither for a fork nor for the shim's own start.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};

use super::launch::Launch;
use super::listener::FIRST_FD;

/// The hidden verb under which the program calls itself.
pub const SHIM_VERB: &str = "supervise-exec";

/// Why the shim is still there.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It was called by someone else than the child runner, or the child runner is gone.
    #[error(
        "`{SHIM_VERB}` is for the child runner only, which tells it by its standard input what to run: {source}"
    )]
    NoLaunch {
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be executed.
    #[error("`{}` cannot be executed: {source}", .program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Waits on standard input for the child runner's word and becomes the program that it names. Returns only
/// when that failed. `args` are the program's own; after the verb there are none.
///
/// A program calls this before it starts threads or reads its configuration.
pub fn exec_shim(mut args: impl Iterator<Item = OsString>) -> ShimError {
    if args.nth(2).is_some() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it takes no arguments");
        return ShimError::NoLaunch { source };
    }
    match become_launch() {
        Ok(never) => never,
        Err(source) => ShimError::NoLaunch { source },
    }
}

fn become_launch() -> io::Result<ShimError> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (launch, log, listener) = Launch::receive(&socket)?;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.arguments)
        .env_clear()
        .envs(launch.variables())
        .current_dir(&launch.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log));
    if let Some(listener) = listener {
        command.env("LISTEN_PID", std::process::id().to_string());
        // One mapping cannot collide with itself.
        let _ = command.fd_mappings(vec![FdMapping { parent_fd: listener, child_fd: FIRST_FD }]);
    }
    let source = command.exec();
    Ok(ShimError::Exec { program: PathBuf::from(launch.program), source })
}
