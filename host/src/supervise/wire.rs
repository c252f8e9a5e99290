//! What is said over the control socket: one JSON value a line, one answer to each question. Private to this
//! program: both sides are the same version or the client says so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unship_core::protocol::{Instance, InstanceExit, UnitSpec};
use unship_core::release::{Digest, Release};

use crate::hold::HOLD_VERB;

/// The longest question in bytes.
pub(super) const ASK_BYTES_MAX: usize = 1 << 20;
/// The longest time a client may wait for a change in one question.
pub(super) const WAIT_MS_MAX: u64 = 60_000;

/// How long an instance that answers for a held host may take to get ready.
const HOLD_READY_MS_MAX: u64 = 5_000;

/// What an instance is started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartOrder {
    /// The unit.
    pub(crate) unit: UnitSpec,
    /// The release, which the asker verified.
    pub(crate) release: Release,
    /// The folder of its files: the instance's working directory.
    pub(crate) files: PathBuf,
    /// How long each of its processes may take to get ready.
    pub(crate) ready_ms_max: u64,
}

impl StartOrder {
    /// An instance that answers for a unit with a listener while the host is held. `root` is a folder that is
    /// always there.
    pub(crate) fn hold(unit: &UnitSpec, retry_after_s: u32, root: PathBuf) -> StartOrder {
        StartOrder {
            unit: UnitSpec {
                command: vec![HOLD_VERB.to_owned(), retry_after_s.to_string()],
                environment: BTreeMap::new(),
                notify: true,
                ..unit.clone()
            },
            release: Release::hold(),
            files: root,
            ready_ms_max: HOLD_READY_MS_MAX,
        }
    }

    /// The file that the unit's command names.
    pub(super) fn program(&self) -> PathBuf {
        self.files.join(self.unit.command.first().map_or("", String::as_str))
    }
}

/// A question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Ask {
    /// Everything, with the latest exits.
    Status,
    /// Start an instance, unless one of the same unit and release is there and not draining.
    Start {
        /// What to start.
        order: Box<StartOrder>,
    },
    /// SIGTERM now, SIGKILL to the whole process group when the time is over.
    Stop {
        /// The slot.
        slot: u64,
        /// The time to drain.
        drain_ms_max: u64,
    },
    /// The slots as soon as they differ from what they were at `after`.
    Wait {
        /// The sequence number that the asker knows.
        after: u64,
        /// When to answer anyway.
        limit_ms: u64,
    },
    /// Drain all and end.
    Shutdown,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    /// To [`Ask::Status`].
    Status {
        /// The slots.
        view: View,
        /// The latest exits, oldest first.
        exits: Vec<InstanceExit>,
    },
    /// To [`Ask::Wait`], [`Ask::Stop`] and [`Ask::Shutdown`].
    View {
        /// The slots.
        view: View,
    },
    /// To [`Ask::Start`].
    Started {
        /// The slot, new or there before.
        slot: u64,
        /// Whether it is new.
        new: bool,
        /// The slots.
        view: View,
    },
    /// It was not done.
    Error {
        /// Why.
        error: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// All slots at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Grows with every change.
    pub(crate) sequence: u64,
    /// The slots, oldest first.
    pub(crate) slots: Vec<SlotView>,
}

impl View {
    /// The slot with this number.
    pub(crate) fn slot(&self, id: u64) -> Option<&SlotView> {
        self.slots.iter().find(|slot| slot.slot == id)
    }
}

/// The listening socket of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ListenerView {
    /// The unit has none.
    None,
    /// The socket with this inode number, which is how `/proc/PID/fd` names it.
    Inode(u64),
    /// The unit has one, and the child runner does not hold it.
    Unknown,
}

/// One slot: an instance over all its restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotView {
    /// Its number, never used twice.
    pub(crate) slot: u64,
    /// What the protocol says of it; `proved` and `listening` are for the agent to find out.
    pub(crate) instance: Instance,
    /// The listening socket of its unit.
    pub(crate) listener: ListenerView,
    /// Where its release's files are.
    pub(crate) files: PathBuf,
    /// The file that it was started from.
    pub(crate) program: PathBuf,
    /// Whether it was told to stop.
    pub(crate) asked: bool,
    /// Milliseconds until what is left of it is killed; none unless it was told to stop, and none after that.
    pub(crate) kill_in_ms: Option<u64>,
    /// Its log.
    pub(crate) log: PathBuf,
    /// Where in the log its present process begins.
    pub(crate) log_from: u64,
    /// What its process executes, where that is a copy of the release's file.
    #[serde(default)]
    pub(crate) runs: Option<Digest>,
    /// Nothing runs before its time comes.
    #[serde(default)]
    pub(crate) waits: bool,
}
