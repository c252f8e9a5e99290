//! What an agent is opened with, and what it says of how the units of its host can be flipped.

use serde::{Deserialize, Serialize};

use super::ServiceSpec;

/// What an agent is opened with: in process an argument, over a pipe the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSetup {
    /// What must survive a reboot: releases, `current`, the epoch, quarantine.
    pub root: String,
    /// What belongs to this boot: the child runner's socket, state and logs.
    pub runtime: String,
    /// What starts and stops the service's processes.
    pub manager: Manager,
    /// How the service runs; from the configuration.
    pub service: ServiceSpec,
}

/// What starts and stops a service's processes on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// `unship supervise`, for machines without systemd and for drills.
    ChildRunner,
    /// systemd, over D-Bus.
    Systemd,
}

/// What systemd calls a unit of the service, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdUnit {
    /// A template, `shithub-web@.service`, with an instance per release; or one plain `shithub.service`.
    pub unit: String,
    /// The socket whose listener it serves, for example `shithub-web.socket`.
    pub socket: Option<String>,
    /// The timer that starts it, for example `shithub-gc.timer`.
    pub timer: Option<String>,
    /// What answers 503 on the socket while no release may, for example `shithub-web-hold.service`.
    pub hold: Option<String>,
    /// Its `ExecReload=` takes up new code. Most only read their configuration again.
    pub reload: bool,
}

impl SystemdUnit {
    /// The name before `@.service`, where the unit is a template.
    pub fn template(&self) -> Option<&str> {
        self.unit.strip_suffix("@.service")
    }
}

/// In which order a unit's releases take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlipOrder {
    /// Both at once on one listener; the other stops when the target is proved.
    Overlap,
    /// The unit's own `ExecReload=` takes up the new code.
    Reload,
    /// The other stops, then the target starts; with a socket, new connections wait meanwhile.
    Restart,
    /// Like restart, and before it the release's file takes the place of the one that the unit names.
    Swap,
}

impl FlipOrder {
    /// What people read.
    pub fn words(self) -> &'static str {
        match self {
            FlipOrder::Overlap => "overlap",
            FlipOrder::Reload => "reload",
            FlipOrder::Restart => "restart",
            FlipOrder::Swap => "swap",
        }
    }
}

/// How a unit is flipped on a host, and why in no better order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFlip {
    /// The unit, as the configuration names it.
    pub unit: String,
    /// The order.
    pub order: FlipOrder,
    /// What `overlap` misses; empty where the order is overlap, and for what has no listener to share.
    pub gaps: Vec<OverlapGap>,
    /// Whether its socket can be held by a unit that answers 503.
    pub can_hold: bool,
}

/// What a unit on a host misses for `overlap`; `unship init --systemd` writes units that miss nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "gap", rename_all = "snake_case")]
pub enum OverlapGap {
    /// One plain unit cannot run twice.
    #[error("`{unit}` is no template: two releases need `{template}`")]
    NoTemplate {
        /// The plain unit.
        unit: String,
        /// The template that would be needed.
        template: String,
    },
    /// The socket unit is not on the host.
    #[error("`{socket}` is not on the host")]
    SocketMissing {
        /// The socket.
        socket: String,
    },
    /// The socket starts an instance per connection.
    #[error("`{socket}` has Accept=yes")]
    Accepts {
        /// The socket.
        socket: String,
    },
    /// The template does not take the socket.
    #[error("`{unit}` has no Sockets={socket}")]
    SocketNotTaken {
        /// The template.
        unit: String,
        /// The socket.
        socket: String,
    },
    /// systemd does not wait until the service is ready.
    #[error("`{unit}` has Type={kind}, not Type=notify")]
    NotNotify {
        /// The template.
        unit: String,
        /// Its type.
        kind: String,
    },
    /// A panic loop takes the shared listener down with it.
    #[error("`{unit}` has no StartLimitIntervalSec=0: a panic loop would take the shared listener down")]
    StartLimit {
        /// The template.
        unit: String,
    },
    /// A panic loop takes the shared listener down with it.
    #[error("`{socket}` has no TriggerLimitIntervalSec=0: a panic loop would take the shared listener down")]
    TriggerLimit {
        /// The socket.
        socket: String,
    },
    /// The template does not start what its instance is named for.
    #[error("`{unit}` does not start {expected}")]
    OtherProgram {
        /// The template.
        unit: String,
        /// Where a release's program is, with `%I` for the tag.
        expected: String,
    },
}
