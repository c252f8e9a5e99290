//! One instance over all its processes: what it is started from, what it is doing, and when something is due.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use unship_core::protocol::{EXIT_STATUS_UNKNOWN, Instance, InstanceState};
use unship_core::time::Timestamp;

use super::notify::NotifySocket;
use super::proc;
use super::state::{PhaseRecord, SlotRecord};
use super::wire::{ListenerView, SlotView, StartOrder};
use crate::clock;

/// How long a process that got its SIGTERM for not getting ready may take to end.
const LATE_DRAIN: Duration = Duration::from_secs(5);
/// How long a process that says nothing must run to count as ready.
pub(crate) const READY_MOMENT: Duration = Duration::from_millis(250);
/// The shortest wait before a restart, so that a release that cannot start does not take a whole core.
pub(super) const RESTART_DELAY_MS_MIN: u64 = 10;

/// What a slot is doing, with what is due.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not ready yet.
    Starting {
        /// When it counts as ready without a word; for units that do not notify.
        ready_at: Option<Instant>,
        /// When it is told to end because it is late.
        late_at: Instant,
        /// When it is killed for not having ended; set when it was told.
        kill_at: Option<Instant>,
    },
    Ready,
    /// Told to stop.
    Draining {
        /// When what is left of it is killed.
        kill_at: Instant,
        /// SIGTERM was sent.
        told: bool,
        /// SIGKILL was sent.
        killed: bool,
    },
    /// Has no process.
    Restarting {
        at: Instant,
    },
}

/// The process of a slot.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    pub(super) pidfd: OwnedFd,
    pub(super) notify: Option<NotifySocket>,
}

impl Process {
    /// Takes hold of a running process; `None` when the pid is not that process any more.
    pub(super) fn open(pid: u32, start_ticks: Option<u64>) -> io::Result<Option<Process>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        // The descriptor first: once it is held, the pid cannot come to mean another process unnoticed.
        let pidfd = match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok(found) = clock::start_ticks(pid) else { return Ok(None) };
        if start_ticks.is_some_and(|expected| expected != found) {
            return Ok(None);
        }
        Ok(Some(Process { pid, start_ticks: found, pidfd, notify: None }))
    }

    /// Sends a signal to the process itself.
    fn signal(&self, signal: Signal) {
        // The only error is that it has ended, which poll tells as well.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// Kills everything in its group: children that a request or the service left behind.
    fn kill_group(&self) {
        // While anything of the group lives, its number is not given to another process. When the leader is
        // gone and the number has another owner, there is no group of ours left.
        let ours =
            !proc::exists(self.pid) || clock::start_ticks(self.pid).is_ok_and(|t| t == self.start_ticks);
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && ours
        {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }

    /// Kills a process that was not told what to become, and waits for its end.
    pub(super) fn discard(&self) {
        self.signal(Signal::KILL);
        let options = WaitIdOptions::EXITED;
        let _ = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options);
    }

    /// Ends what is left of its group and answers its exit code or negative signal number. The process must
    /// have ended. One that an earlier child runner started was reaped by someone else.
    pub(super) fn reap(&self) -> i32 {
        self.kill_group();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => status
                .exit_status()
                .or(status.terminating_signal().map(|signal| -signal))
                .unwrap_or(EXIT_STATUS_UNKNOWN),
            _ => EXIT_STATUS_UNKNOWN,
        }
    }
}

/// An instance.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) order: StartOrder,
    pub(super) phase: Phase,
    pub(super) process: Option<Process>,
    pub(super) invocation: String,
    pub(super) restarts: u32,
    pub(super) started_at: Timestamp,
    /// The same on the clock that does not jump; none for a process that was adopted.
    pub(super) started: Option<Instant>,
    pub(super) ready_after_us: Option<u64>,
    /// The process said STOPPING=1 without having been asked.
    pub(super) leaving: bool,
    pub(super) log: PathBuf,
    pub(super) log_from: u64,
}

impl Slot {
    /// Whether it was told to stop.
    pub(super) fn draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// Makes it a slot whose process starts now, after the process came or before.
    pub(super) fn starting(&mut self, now: Instant) {
        self.phase = Phase::Starting {
            ready_at: (!self.order.unit.notify).then(|| now + READY_MOMENT),
            late_at: now + Duration::from_millis(self.order.ready_ms_max),
            kill_at: None,
        };
        self.leaving = false;
    }

    /// The process said that it is ready, or ran long enough.
    pub(super) fn ready(&mut self) {
        if matches!(self.phase, Phase::Starting { .. }) {
            self.phase = Phase::Ready;
            self.ready_after_us = self.started.map(clock::micros_since);
        }
    }

    /// Makes it a slot that is told to stop, or shortens the time that it was given before.
    pub(super) fn drain(&mut self, until: Instant) {
        match &mut self.phase {
            Phase::Draining { kill_at, .. } => *kill_at = until.min(*kill_at),
            _ => self.phase = Phase::Draining { kill_at: until, told: false, killed: false },
        }
    }

    /// Sends the SIGTERM of a slot that is to drain, once: to many programs a second one means to hurry.
    pub(super) fn tell(&mut self) {
        if let (Phase::Draining { told, .. }, Some(process)) = (&mut self.phase, &self.process)
            && !*told
        {
            process.signal(Signal::TERM);
            *told = true;
        }
    }

    /// When something is due next.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { ready_at, late_at, kill_at } => {
                Some(kill_at.unwrap_or(ready_at.map_or(late_at, |ready_at| ready_at.min(late_at))))
            }
            Phase::Draining { kill_at, killed: false, .. } => Some(kill_at),
            Phase::Restarting { at } => Some(at),
            Phase::Ready | Phase::Draining { killed: true, .. } => None,
        }
    }

    /// Does what is due for the process. Answers whether a new process is due instead.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Starting { ready_at: Some(ready_at), .. } if *ready_at <= now => self.ready(),
            Phase::Starting { kill_at: Some(at), .. } if *at <= now => {
                *at = now + LATE_DRAIN;
                if let Some(process) = &self.process {
                    process.signal(Signal::KILL);
                }
            }
            Phase::Starting { late_at, kill_at: kill_at @ None, .. } if *late_at <= now => {
                *kill_at = Some(now + LATE_DRAIN);
                if let Some(process) = &self.process {
                    process.signal(Signal::TERM);
                }
            }
            Phase::Draining { kill_at, killed, .. } if *kill_at <= now && !*killed => {
                *killed = true;
                if let Some(process) = &self.process {
                    process.signal(Signal::KILL);
                    process.kill_group();
                }
            }
            Phase::Restarting { at } => return *at <= now,
            _ => {}
        }
        false
    }

    /// Whether a signal of ours may have ended the process.
    pub(super) fn signalled(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Starting { kill_at: Some(_), .. })
    }

    /// When it is started again.
    pub(super) fn restart_at(&self, now: Instant) -> Instant {
        now + Duration::from_millis(self.order.unit.restart_delay_ms.max(RESTART_DELAY_MS_MIN))
    }

    /// What is told of it; `listener` is its unit's.
    pub(super) fn view(&self, listener: ListenerView) -> SlotView {
        let state = match self.phase {
            Phase::Starting { .. } => InstanceState::Starting,
            Phase::Ready if self.leaving => InstanceState::Draining,
            Phase::Ready => InstanceState::Ready,
            Phase::Draining { .. } => InstanceState::Draining,
            Phase::Restarting { .. } => InstanceState::Restarting,
        };
        SlotView {
            slot: self.id,
            instance: Instance {
                unit: self.order.unit.name.clone(),
                release: self.order.release.clone(),
                proved: false,
                pid: self.process.as_ref().map_or(0, |process| process.pid),
                invocation: self.invocation.clone(),
                state,
                restarts: self.restarts,
                started_at: self.started_at,
                ready_after_us: self.ready_after_us,
                listening: false,
            },
            listener,
            files: self.order.files.clone(),
            program: self.order.program(),
            asked: self.draining(),
            kill_in_ms: match self.phase {
                Phase::Draining { kill_at, killed: false, .. } => {
                    let left = kill_at.saturating_duration_since(Instant::now()).as_millis();
                    Some(u64::try_from(left).unwrap_or(u64::MAX))
                }
                _ => None,
            },
            log: self.log.clone(),
            log_from: self.log_from,
            runs: None,
            waits: false,
        }
    }

    pub(super) fn record(&self, now: Instant) -> SlotRecord {
        let phase = match self.phase {
            Phase::Starting { .. } => PhaseRecord::Starting,
            Phase::Ready => PhaseRecord::Ready,
            Phase::Draining { kill_at, told, .. } => {
                let left = kill_at.saturating_duration_since(now).as_millis();
                PhaseRecord::Draining {
                    kill_at: clock::now().plus_ms(u64::try_from(left).unwrap_or(u64::MAX)),
                    told,
                }
            }
            Phase::Restarting { .. } => PhaseRecord::Restarting,
        };
        SlotRecord {
            id: self.id,
            order: self.order.clone(),
            phase,
            process: self.process.as_ref().map(|process| (process.pid, process.start_ticks)),
            invocation: self.invocation.clone(),
            restarts: self.restarts,
            started_at: self.started_at,
            ready_after_us: self.ready_after_us,
            log_from: self.log_from,
        }
    }
}
