//! What a new child runner does first: it takes over what a killed one left, and after a reboot starts what
//! `<root>/current` names.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use unship_core::protocol::{EXIT_STATUS_UNKNOWN, InstanceExit};

use super::SuperviseError;
use super::daemon::Daemon;
use super::listener::{self, Listener};
use super::notify::NotifySocket;
use super::slot::{Phase, Process, Slot};
use super::state::{PhaseRecord, SlotRecord, State};
use super::wire::StartOrder;
use super::{log, proc};
use crate::clock;

/// What `Retry-After` says where the mark that would tell cannot be read.
const RETRY_AFTER_S: u32 = 60;

impl Daemon {
    /// Answers for a held host on every listener on which nothing of its own answers yet.
    fn boot_held(&mut self, retry_after_s: u32) {
        let units: Vec<_> = self.spec.units.iter().filter(|unit| unit.listen.is_some()).cloned().collect();
        for unit in units {
            let order = StartOrder::hold(&unit, retry_after_s, self.paths.root.clone());
            match self.start(order) {
                Ok((_, false)) => {}
                Ok((_, true)) => self.log.say(&format!("{} answers 503: the host is held", unit.name)),
                Err(error) => self.log.say(&format!("{} cannot be held: {error}", unit.name)),
            }
        }
    }

    /// Takes over the slots of a predecessor of this boot. What ended while nobody looked is a failure with
    /// an unknown status; it is started again like any other.
    ///
    /// Answers what must be started anew once there are listeners: an instance that was not ready yet may have
    /// said so while nobody heard it. It may serve already, so it is drained beside its replacement.
    pub(super) fn adopt(&mut self, left: State) -> Result<Vec<StartOrder>, SuperviseError> {
        let mut anew = Vec::new();
        self.next_slot = left.next_slot;
        if left.boot_id != self.boot_id {
            return Ok(anew);
        }
        for record in left.slots {
            let process = match record.process {
                Some((pid, start_ticks)) => Process::open(pid, Some(start_ticks))?,
                None => None,
            };
            if record.phase == PhaseRecord::Starting && record.order.unit.notify && process.is_some() {
                anew.push(record.order.clone());
            }
            self.take_over(record, process)?;
        }
        Ok(anew)
    }

    fn take_over(&mut self, record: SlotRecord, process: Option<Process>) -> Result<(), SuperviseError> {
        let now = Instant::now();
        let unit = &record.order.unit;
        let name = format!("{}@{}", unit.name, record.order.release.tag);
        let log = log::path_of(&self.paths.runtime, &unit.name, record.order.release.tag.as_str());
        let mut slot = Slot {
            id: record.id,
            phase: Phase::Restarting { at: now },
            process: None,
            invocation: record.invocation,
            restarts: record.restarts,
            started_at: record.started_at,
            started: None,
            ready_after_us: record.ready_after_us,
            leaving: false,
            log,
            log_from: record.log_from,
            order: record.order,
        };
        let Some(mut process) = process else {
            // The leader is gone; what it may have left behind is known by the invocation.
            for pid in proc::of_invocation(&slot.invocation) {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
            let asked = matches!(record.phase, PhaseRecord::Draining { .. });
            if let Some((pid, _)) = record.process {
                self.note_exit(InstanceExit {
                    unit: slot.order.unit.name.clone(),
                    release: slot.order.release.clone(),
                    pid,
                    invocation: slot.invocation.clone(),
                    at: clock::now(),
                    asked,
                    status: EXIT_STATUS_UNKNOWN,
                });
            }
            if !asked {
                self.log.say(&format!("{name} ended while no child runner was there; it is started again"));
                self.slots.push(slot);
            }
            self.sequence += 1;
            return Ok(());
        };
        if slot.order.unit.notify {
            process.notify = Some(NotifySocket::bind(&self.paths.runtime, &slot.invocation)?);
        }
        self.log.say(&format!("adopted {name}, process {}", process.pid));
        slot.process = Some(process);
        match record.phase {
            PhaseRecord::Ready => slot.phase = Phase::Ready,
            PhaseRecord::Draining { kill_at, told } => {
                let left = Duration::from_millis(kill_at.since_ms(clock::now()));
                slot.phase = Phase::Draining { kill_at: now + left, told, killed: false };
                slot.tell();
            }
            PhaseRecord::Starting if slot.order.unit.notify => {
                slot.drain(now + Duration::from_millis(self.spec.drain_ms_max));
                slot.tell();
            }
            // What waits for its restart has no process, so it does not come here.
            PhaseRecord::Starting | PhaseRecord::Restarting => slot.starting(now),
        }
        self.slots.push(slot);
        self.sequence += 1;
        Ok(())
    }

    /// Opens the listeners of the service's units: out of a living instance where there is one.
    pub(super) fn listen(&mut self) -> Result<(), SuperviseError> {
        let mut wanted = Vec::new();
        let adopted = self.slots.iter().map(|slot| &slot.order.unit);
        for unit in adopted.chain(&self.spec.units) {
            let Some(listen) = &unit.listen else { continue };
            let address = listener::parse(&unit.name, listen)?;
            if !wanted.iter().any(|(name, _)| *name == unit.name) {
                wanted.push((unit.name.clone(), address));
            }
        }
        for (unit, address) in wanted {
            let mut found = None;
            for slot in self.slots.iter().filter(|slot| slot.order.unit.name == unit) {
                let Some(process) = &slot.process else { continue };
                match Listener::recover(&unit, address, process.pid, &process.pidfd) {
                    Ok(Some(listener)) => {
                        found = Some(listener);
                        break;
                    }
                    Ok(None) => {}
                    Err(error) => self.log.say(&format!(
                        "the listener of {unit} cannot be taken out of process {}: {error} (see kernel.yama.ptrace_scope)",
                        process.pid
                    )),
                }
            }
            let serves = self.slots.iter().any(|slot| slot.order.unit.name == unit && slot.process.is_some());
            match found.map_or_else(|| Listener::bind(&unit, address), Ok) {
                Ok(listener) => self.listeners.push(listener),
                // Something of ours serves on it: better to go on watching that than to end. The next start
                // of this unit tries again and says why it cannot be.
                Err(error) if serves => self.log.say(&error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Starts what `current` names for every unit that has no instance: after a reboot, all of them. What
    /// stands against it is said in the log and seen by who observes the host: nothing runs.
    pub(super) fn boot(&mut self) {
        match self.store.held() {
            Ok(None) => {}
            Ok(Some(held)) => return self.boot_held(held.retry_after_s),
            // A mark that cannot be read is a mark all the same.
            Err(error) => {
                self.log.say(&format!("the host is held: {error}"));
                return self.boot_held(RETRY_AFTER_S);
            }
        }
        let release = match self.store.current() {
            Ok(Some(release)) => release,
            Ok(None) => return,
            Err(error) => return self.log.say(&format!("nothing is started: {error}")),
        };
        let missing: Vec<_> = self
            .spec
            .units
            .iter()
            .filter(|unit| {
                !self.slots.iter().any(|slot| slot.order.unit.name == unit.name && !slot.draining())
            })
            .cloned()
            .collect();
        if missing.is_empty() {
            return;
        }
        match self.store.quarantined(&release) {
            Ok(None) => {}
            Ok(Some(reason)) => {
                return self.log.say(&format!("{release} is in quarantine and is not started: {reason}"));
            }
            Err(error) => return self.log.say(&format!("nothing is started: {error}")),
        }
        if let Err(error) = self.store.verify(&release) {
            return self.log.say(&format!("{release} is not started: {error}"));
        }
        for unit in missing {
            let name = unit.name.clone();
            let started = self.start(StartOrder {
                unit,
                release: release.clone(),
                files: self.store.files_of(&release),
                ready_ms_max: self.spec.ready_ms_max,
            });
            match started {
                Ok(_) => self.log.say(&format!("started {name}@{release} because it is current")),
                Err(error) => self.log.say(&format!("{name}@{release} cannot be started: {error}")),
            }
        }
    }
}
