//! What the host has and runs, read anew each time.

use unship_core::protocol::{HostState, Instance, InstanceState};

use super::{Agent, Failure, prove};
use crate::supervise::{self, View};

impl Agent {
    /// Reads everything. What is damaged and is not needed to know the rest is passed over and named: one bad
    /// file must not stand between an operator and a rollback. A host whose child runner does not answer has no state that could be believed: what
    /// serves there is not watched, so that is the answer.
    pub(super) fn observe(&mut self) -> Result<HostState, Failure> {
        let (view, exits) = if self.has_units {
            self.runner.status()?
        } else {
            (View { sequence: 0, slots: Vec::new() }, Vec::new())
        };
        let mut instances = Vec::with_capacity(view.slots.len());
        for slot in view.slots {
            // A release that was altered, or removed by hand, while it runs: not proved is what is true.
            let proved = prove::proved(&mut self.store, &slot).unwrap_or(false);
            let draining = slot.instance.state == InstanceState::Draining;
            // Not to know is no matter where it serves anyway, and counts as taking connections where it must not.
            let listening = supervise::listening(&slot).unwrap_or(draining);
            instances.push(Instance { proved, listening, ..slot.instance });
        }
        let releases = self.store.list()?;
        let quarantined = self.store.quarantine_list(&releases.found);
        let mut troubles = [releases.troubles, quarantined.troubles].concat();
        // A link that names nothing stops only what needs it: the child runner starts nothing at boot, and
        // nothing is pruned. The next convergence puts it right.
        let current = self.store.current().unwrap_or_else(|error| {
            troubles.push(error.to_string());
            None
        });
        let held = self.store.held().unwrap_or_else(|error| {
            troubles.push(error.to_string());
            None
        });
        // Before the first deploy the units may not be there: that is said, and the rest is true.
        let flips = self.runner.flips(false).unwrap_or_else(|error| {
            troubles.push(error.to_string());
            Vec::new()
        });
        Ok(HostState {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            epoch: self.epoch.read()?,
            releases: releases.found,
            current,
            instances,
            exits,
            quarantined: quarantined.found,
            held,
            disk_free_bytes: self.store.free_bytes()?,
            memory_available_bytes: memory_available()?,
            flips,
            troubles,
        })
    }
}

/// `MemAvailable` of proc(5), in bytes.
fn memory_available() -> Result<u64, Failure> {
    let text = fs_err::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib.saturating_mul(1_024))
        .ok_or_else(|| Failure::unchanged("`/proc/meminfo` does not say what is available".to_owned(), None))
}
