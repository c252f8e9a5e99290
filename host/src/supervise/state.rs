//! What a successor must know to adopt the instances: `<runtime>/state.json`, written before and after every
//! start and stop. Not fsynced: a power cut ends the instances as well.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use unship_core::time::Timestamp;

use super::SuperviseError;
use super::wire::StartOrder;
use crate::durable;

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The boot in which the processes were started.
    pub(super) boot_id: String,
    /// The next slot's number.
    pub(super) next_slot: u64,
    /// The slots.
    pub(super) slots: Vec<SlotRecord>,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlotRecord {
    pub(super) id: u64,
    pub(super) order: StartOrder,
    pub(super) phase: PhaseRecord,
    /// Process id and start time; none before the process was started, and while it waits for its restart.
    pub(super) process: Option<(u32, u64)>,
    pub(super) invocation: String,
    pub(super) restarts: u32,
    pub(super) started_at: Timestamp,
    pub(super) ready_after_us: Option<u64>,
    pub(super) log_from: u64,
}

/// What the slot was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PhaseRecord {
    Starting,
    Ready,
    Draining {
        /// When it is killed.
        kill_at: Timestamp,
        /// Whether SIGTERM was sent.
        told: bool,
    },
    Restarting,
}

/// Reads what a predecessor left.
pub(super) fn read(runtime: &Path) -> Result<Option<State>, SuperviseError> {
    let path = runtime.join("state.json");
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match serde_json::from_slice(&bytes) {
        Ok(state) => Ok(Some(state)),
        Err(error) => Err(SuperviseError::Unreadable { path, why: error.to_string() }),
    }
}

/// Writes the state.
pub(super) fn write(runtime: &Path, state: &State) -> Result<(), SuperviseError> {
    let bytes = serde_json::to_vec(state).map_err(io::Error::from)?;
    Ok(durable::write_volatile(&runtime.join("state.json"), &bytes, 0o600)?)
}
