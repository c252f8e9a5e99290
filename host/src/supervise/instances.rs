//! What happens to instances: started, started again, told to stop, ended.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use unship_core::protocol::{InstanceExit, UnitSpec};

use super::daemon::Daemon;
use super::listener::{self, Listener};
use super::slot::{Phase, Slot};
use super::spawn::{check_unit, new_invocation, prepare};
use super::standby::Standby;
use super::wire::StartOrder;
use super::{SuperviseError, log};
use crate::clock;

/// The most instances at one time, draining ones included.
const SLOTS_MAX: usize = 64;
/// How long no client must have asked anything before a shim is started ahead: not in the middle of a flip.
pub(super) const STANDBY_QUIET: Duration = Duration::from_millis(10);

impl Daemon {
    pub(super) fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.id == id)
    }

    /// Drains everything; asked again, kills it.
    pub(super) fn end(&mut self) {
        self.ending += 1;
        let drain = match self.ending {
            1 => Duration::from_millis(self.spec.drain_ms_max),
            _ => Duration::ZERO,
        };
        self.log.say(&format!("told to end; instances have {} ms", drain.as_millis()));
        let ids: Vec<u64> = self.slots.iter().map(|slot| slot.id).collect();
        for id in ids {
            self.stop(id, drain);
        }
    }

    /// Stops a slot, whatever it is doing; one that waits for its restart is gone at once.
    pub(super) fn stop(&mut self, id: u64, drain: Duration) {
        let until = Instant::now() + drain;
        match self.slot(id) {
            Some(slot) if slot.process.is_some() => slot.drain(until),
            _ => {
                self.slots.retain(|slot| slot.id != id);
                self.sequence += 1;
                return;
            }
        }
        // Written down before it is done: a successor must not take the end for a failure.
        self.sequence += 1;
        self.persist();
        if let Some(slot) = self.slot(id) {
            slot.tell();
        }
        self.sequence += 1;
    }

    /// The slot's process ended.
    pub(super) fn ended(&mut self, id: u64) {
        let now = Instant::now();
        let Some(slot) = self.slot(id) else { return };
        let Some(process) = slot.process.take() else { return };
        let status = process.reap();
        let exit = InstanceExit {
            unit: slot.order.unit.name.clone(),
            release: slot.order.release.clone(),
            pid: process.pid,
            invocation: slot.invocation.clone(),
            at: clock::now(),
            asked: slot.signalled(),
            status,
        };
        if slot.draining() || status == 0 && !slot.signalled() {
            self.slots.retain(|slot| slot.id != id);
        } else {
            let at = slot.restart_at(now);
            slot.phase = Phase::Restarting { at };
        }
        self.note_exit(exit);
    }

    pub(super) fn note_exit(&mut self, exit: InstanceExit) {
        self.sequence += 1;
        self.log.say(&format!(
            "{}@{} process {} ended with status {}{}",
            exit.unit,
            exit.release.tag,
            exit.pid,
            exit.status,
            if exit.asked { ", asked" } else { "" }
        ));
        if let Err(error) = self.exits.add(exit) {
            self.log.say(&format!("the exit cannot be written down: {error}"));
        }
    }

    /// Starts an instance, unless one of the same unit and release is there and not draining. Answers its
    /// slot and whether that is new.
    pub(super) fn start(&mut self, order: StartOrder) -> Result<(u64, bool), SuperviseError> {
        check_unit(&order.unit)?;
        let refused = |error: &str| SuperviseError::Refused { error: error.to_owned(), hint: None };
        if self.ending > 0 {
            return Err(refused("the child runner is ending"));
        }
        let there = self.slots.iter().find(|slot| {
            slot.order.unit.name == order.unit.name && slot.order.release == order.release && !slot.draining()
        });
        if let Some(slot) = there {
            return Ok((slot.id, false));
        }
        if self.slots.len() >= SLOTS_MAX {
            return Err(refused("the child runner has as many instances as it may, draining ones included"));
        }
        log::prune(&self.paths.runtime)?;
        let id = self.next_slot;
        self.next_slot += 1;
        let log = log::path_of(&self.paths.runtime, &order.unit.name, order.release.tag.as_str());
        let mut slot = Slot {
            id,
            order,
            phase: Phase::Restarting { at: Instant::now() },
            process: None,
            invocation: String::new(),
            restarts: 0,
            started_at: clock::now(),
            started: None,
            ready_after_us: None,
            leaving: false,
            log,
            log_from: 0,
        };
        slot.invocation = new_invocation()?;
        self.slots.push(slot);
        if let Err(error) = self.launch(id) {
            self.slots.retain(|slot| slot.id != id);
            self.sequence += 1;
            return Err(error);
        }
        Ok((id, true))
    }

    /// Starts the slot's process under its invocation. Which process that will be is written down before it is
    /// told: a successor finds it, however early this child runner is killed.
    fn launch(&mut self, id: u64) -> Result<(), SuperviseError> {
        let Some(unit) = self.slot(id).map(|slot| slot.order.unit.clone()) else { return Ok(()) };
        self.listener_of(&unit)?;
        let Standby { process, socket } = match self.standby.take().filter(Standby::waits) {
            Some(standby) => standby,
            None => Standby::start(&self.options)?,
        };
        self.sequence += 1;
        let now = Instant::now();
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) else { return Ok(()) };
        slot.starting(now);
        slot.started_at = clock::now();
        slot.started = Some(now);
        slot.ready_after_us = None;
        slot.process = Some(process);
        let prepared = prepare(slot, &self.paths.runtime, &self.options);
        let told = prepared.and_then(|(launch, log)| {
            self.persist();
            let listener = self.listeners.iter().find(|listener| listener.unit == unit.name);
            let listener = listener.filter(|_| unit.listen.is_some()).map(|found| found.socket.as_fd());
            launch
                .send(&socket, log.as_fd(), listener)
                .map_err(|source| SuperviseError::Spawn { program: launch.program.into(), source })
        });
        if told.is_err()
            && let Some(process) = self.slot(id).and_then(|slot| slot.process.take())
        {
            process.discard();
        }
        told
    }

    pub(super) fn restart(&mut self, id: u64) {
        let now = Instant::now();
        let launched = new_invocation().map_err(SuperviseError::from).and_then(|invocation| {
            if let Some(slot) = self.slot(id) {
                slot.invocation = invocation;
                slot.restarts = slot.restarts.saturating_add(1);
            }
            self.launch(id)
        });
        if let Err(error) = launched {
            self.log.say(&format!("restart failed: {error}"));
            if let Some(slot) = self.slot(id) {
                let at = slot.restart_at(now);
                slot.phase = Phase::Restarting { at };
            }
            self.sequence += 1;
        }
    }

    /// Sees to it that the unit has its listener.
    fn listener_of(&mut self, unit: &UnitSpec) -> Result<(), SuperviseError> {
        let Some(listen) = &unit.listen else { return Ok(()) };
        let unit = &unit.name;
        let address = listener::parse(unit, listen)?;
        match self.listeners.iter().find(|listener| listener.unit == *unit) {
            Some(listener) if listener.address == address => Ok(()),
            Some(listener) => Err(SuperviseError::Refused {
                error: format!(
                    "unit `{unit}` is to listen on `{address}`, and the child runner has `{}` open for it",
                    listener.address
                ),
                hint: Some("end the child runner and start it again to change an address".to_owned()),
            }),
            None => {
                self.listeners.push(Listener::bind(unit, address)?);
                Ok(())
            }
        }
    }
}
