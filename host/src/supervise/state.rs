//! What a successor must know to adopt the instances: `<runtime>/state`, written before and after every
//! start and stop. Not fsynced: a power cut ends the instances as well.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unship_core::time::Timestamp;

use super::SuperviseError;
use super::wire::StartOrder;
use crate::durable;

/// When the file is written anew with only its last line.
const FILE_BYTES_MAX: u64 = 4 << 20;

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

/// The file: one whole state a line, the last one counts. Appending costs microseconds where replacing a
/// file makes some file systems write it out at once, and a flip writes several times.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    file: fs_err::File,
    length: u64,
}

impl StateFile {
    /// Opens the file; answers what a predecessor left in it.
    pub(super) fn open(runtime: &Path) -> Result<(StateFile, Option<State>), SuperviseError> {
        let path = runtime.join("state");
        let text = match fs_err::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        // A last line cut short is one that the predecessor was writing when it was killed, before it did
        // what the line was about to say.
        let left = text.lines().rev().take(2).find_map(|line| serde_json::from_str(line).ok());
        if left.is_none() && text.contains('\n') {
            let why = "none of its last lines is a state".to_owned();
            return Err(SuperviseError::Unreadable { path, why });
        }
        let file = StateFile::fresh(&path, left.as_ref())?;
        Ok((file, left))
    }

    fn fresh(path: &Path, state: Option<&State>) -> io::Result<StateFile> {
        let mut bytes = Vec::new();
        if let Some(state) = state {
            serde_json::to_writer(&mut bytes, state)?;
            bytes.push(b'\n');
        }
        durable::write_volatile(path, &bytes, 0o600)?;
        let file = fs_err::OpenOptions::new().append(true).open(path)?;
        Ok(StateFile { path: path.to_owned(), file, length: bytes.len() as u64 })
    }

    /// Writes the state.
    pub(super) fn write(&mut self, state: &State) -> io::Result<()> {
        if self.length > FILE_BYTES_MAX {
            *self = StateFile::fresh(&self.path, Some(state))?;
            return Ok(());
        }
        let mut line = serde_json::to_vec(state)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line must not swallow the next one.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}
