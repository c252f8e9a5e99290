//! The child runner, for machines without systemd and for drills: starts the processes of releases, hands
//! them their listening socket, hears when they are ready, starts them again when they fail, drains them.
//!
//! No more than that: it decides nothing about releases, has no dependencies between units, no timers, no
//! users and no cgroups. If it dies, what it started keeps serving, and its successor adopts it: instances
//! write to files and not to its pipes, are not tied to its life, and are found again by process id, start
//! time and invocation.
//!
//! One thread and one `poll`: a flip waits for events, never for an interval.

mod adopt;
mod client;
mod daemon;
mod error;
mod exits;
mod instances;
mod launch;
mod listener;
mod log;
mod notify;
mod proc;
mod serve;
mod shim;
mod slot;
mod spawn;
mod standby;
mod state;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use unship_core::protocol::ServiceSpec;

pub use client::{Client, wait_until_up};
pub use error::SuperviseError;
pub(crate) use proc::listening;
pub use shim::{SHIM_VERB, ShimError, exec_shim};
pub(crate) use slot::READY_MOMENT;
pub(crate) use wire::{ListenerView, SlotView, StartOrder, View};

use crate::hold::HOLD_VERB;
use crate::paths::HostPaths;

/// A unix socket's path has 108 bytes; this leaves room for the longest name below the folder.
const RUNTIME_PATH_BYTES_MAX: usize = 108 - 1 - "/n/0123456789ab".len();

/// What the child runner can be told besides the service.
#[derive(Debug, Clone)]
pub struct SuperviseOptions {
    /// The program that becomes an instance: it is called with `shim_args` and ends in [`exec_shim`].
    pub shim_program: PathBuf,
    /// The arguments that make it the shim.
    pub shim_args: Vec<OsString>,
    /// The arguments that make it answer for a held host, before the seconds of `Retry-After`.
    pub hold_args: Vec<OsString>,
    /// The most bytes in an instance's log before its older part is moved aside.
    pub log_bytes_max: u64,
}

impl Default for SuperviseOptions {
    fn default() -> SuperviseOptions {
        SuperviseOptions {
            // The running program itself, even when the file was replaced by a newer one meanwhile.
            shim_program: PathBuf::from("/proc/self/exe"),
            shim_args: vec![OsString::from(SHIM_VERB)],
            hold_args: vec![OsString::from(HOLD_VERB)],
            log_bytes_max: 8 << 20,
        }
    }
}

/// Runs the child runner until it is told to end by SIGTERM, SIGINT or a client; then it drains all
/// instances and returns. It adopts what a killed predecessor left and starts what `<root>/current` names.
pub fn run(paths: &HostPaths, spec: ServiceSpec, options: SuperviseOptions) -> Result<(), SuperviseError> {
    check_runtime(&paths.runtime)?;
    daemon::Daemon::open(paths, spec, options)?.run()
}

/// Refuses a runtime folder whose sockets nobody could reach.
fn check_runtime(runtime: &Path) -> Result<(), SuperviseError> {
    let bytes = runtime.as_os_str().len();
    if bytes > RUNTIME_PATH_BYTES_MAX || !runtime.is_absolute() {
        return Err(SuperviseError::RuntimePath {
            path: runtime.to_owned(),
            bytes,
            limit: RUNTIME_PATH_BYTES_MAX,
        });
    }
    Ok(())
}

/// The file in the runtime folder that is locked by the child runner and names its process.
const PID_FILE: &str = "supervise.pid";

fn socket_path(runtime: &Path) -> PathBuf {
    runtime.join("supervise.sock")
}
