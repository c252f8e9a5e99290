//! The processes of the service, added up from looks at the host.

use std::collections::BTreeMap;

use unship_core::protocol::{HostState, InstanceState};
use unship_core::release::{Digest, Tag};
use unship_core::time::Timestamp;

use crate::load::Recording;
use crate::load::attribution::InstanceLife;

/// One process, as far as the looks have shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    unit: String,
    release: Tag,
    digest: Digest,
    pid: u32,
    started: Option<Timestamp>,
    /// The latest time at which it was known not to have been told to stop: it was seen to run on, or it
    /// was not there yet.
    undisturbed: Option<Timestamp>,
    /// Whether it was told to stop.
    asked: bool,
    ended: Option<Timestamp>,
}

/// Everything that was seen of the service's processes, by invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lives {
    processes: BTreeMap<String, Process>,
    looked_at: Option<Timestamp>,
}

impl Lives {
    /// Adds one look. `asked_at` is when the host was asked, on the wall clock, so that what it then said
    /// of a process was true no earlier.
    pub fn see(&mut self, asked_at: Timestamp, state: &HostState) {
        for instance in state.instances.iter().filter(|instance| instance.pid != 0) {
            let process = self.processes.entry(instance.invocation.clone()).or_insert_with(|| Process {
                unit: instance.unit.clone(),
                release: instance.release.tag.clone(),
                digest: instance.release.digest,
                pid: instance.pid,
                started: Some(instance.started_at),
                undisturbed: Some(instance.started_at),
                asked: false,
                ended: None,
            });
            process.started = Some(instance.started_at);
            match instance.state {
                InstanceState::Draining => process.asked = true,
                InstanceState::Starting | InstanceState::Ready => process.undisturbed = Some(asked_at),
                // Ended already: its end is among the exits.
                InstanceState::Restarting | InstanceState::Failed => {}
            }
        }
        for exit in &state.exits {
            let process = self.processes.entry(exit.invocation.clone()).or_insert_with(|| Process {
                unit: exit.unit.clone(),
                release: exit.release.tag.clone(),
                digest: exit.release.digest,
                pid: exit.pid,
                // It came and went between two looks.
                started: self.looked_at,
                undisturbed: self.looked_at,
                asked: exit.asked,
                ended: Some(exit.at),
            });
            process.ended = Some(exit.at);
            process.asked |= exit.asked;
        }
        self.looked_at = Some(asked_at);
    }

    /// How often processes of a release ended without having been told to, from `since` on.
    pub fn ended_by_themselves(&self, release: &Digest, since: Timestamp) -> usize {
        self.processes
            .values()
            .filter(|process| process.digest == *release && !process.asked)
            .filter(|process| process.ended.is_some_and(|at| at >= since))
            .count()
    }

    /// The processes of one unit on the clock of a load. A signal is dated as early as it can have been.
    pub fn of_unit(&self, unit: &str, recording: &Recording) -> Vec<InstanceLife> {
        self.processes
            .iter()
            .filter(|(_, process)| process.unit == unit)
            .map(|(invocation, process)| InstanceLife {
                release: process.release.clone(),
                pid: process.pid,
                invocation: invocation.clone(),
                started_us: process.started.map(|at| recording.load_us(at)),
                signalled_us: process
                    .asked
                    .then(|| process.undisturbed.map_or(i64::MIN, |at| recording.load_us(at))),
                ended_us: process.ended.map(|at| recording.load_us(at)),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
