//! Where a host keeps what it owns.

use std::path::PathBuf;

/// The two folders of a service on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPaths {
    /// What must survive a reboot: `releases/`, `staging/`, `current`, `held.json`, `hold/`, `epoch`,
    /// `epoch.lock`, `quarantine/`.
    pub root: PathBuf,
    /// What belongs to the running child runner: its control socket, its state, the logs of the instances.
    pub runtime: PathBuf,
}
