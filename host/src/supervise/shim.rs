//! The exec shim: `LISTEN_PID` must be the process id of the one who reads it, which only that process knows
//! before it runs. The shim is that process; it sets the variable and becomes the command.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The hidden verb under which the program calls itself.
pub const SHIM_VERB: &str = "supervise-exec";

/// Why the shim is still there.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It was called with nothing to become.
    #[error("`{SHIM_VERB}` is called by the child runner only, with `--` and a command")]
    NoCommand,
    /// The command could not be executed.
    #[error("`{}` cannot be executed: {source}", .program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Becomes the command after `--` in `args`, with `LISTEN_PID` set. Returns only when that failed.
///
/// A program calls this before it starts threads or reads its configuration: the time until the exec is on
/// the path of every flip.
pub fn exec_shim(args: impl Iterator<Item = OsString>) -> ShimError {
    let mut command = args.skip_while(|arg| arg != "--").skip(1);
    let Some(program) = command.next() else {
        return ShimError::NoCommand;
    };
    let source =
        Command::new(&program).args(command).env("LISTEN_PID", std::process::id().to_string()).exec();
    ShimError::Exec { program: PathBuf::from(program), source }
}
