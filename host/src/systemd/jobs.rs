//! Starting and stopping: each is a job of systemd, and each is watched until its effect is seen.

use std::time::{Duration, Instant};

use unship_core::protocol::{FlipOrder, InstanceState, SystemdUnit, UnitSpec};

use super::bus::{Job, Verb};
use super::fit::must_start;
use super::instances::slot_number;
use super::unit::{Activity, ServiceFacts, SocketFacts, TimerFacts};
use super::{Systemd, SystemdError, journal};
use crate::supervise::{SlotView, StartOrder, View};

/// How long systemd may take to begin what it was asked.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// How long a socket, a timer or a hold unit may take to start or stop.
const SMALL_JOB_LIMIT: Duration = Duration::from_secs(15);
/// How often is looked where nobody tells: at a program that does not say READY=1.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many lines of a log go with a failed job.
const LINES_MAX: usize = 8;

impl Systemd {
    /// Starts an instance unless it is there, and returns as soon as systemd has begun; answers its slot and
    /// whether that is new.
    pub(crate) fn start_unit(&mut self, order: &StartOrder) -> Result<(u64, bool, View), SystemdError> {
        let (unit, names) = self.unit(&order.unit.name)?;
        if order.release.is_hold() {
            return self.start_hold(&names, order);
        }
        if let Some(timer) = names.timer.clone() {
            return self.start_timer(&timer, order);
        }
        let name = Systemd::unit_name(&names, &order.release)?;
        let slot = slot_number(&name, &order.release);
        let running = self.read_view()?;
        // Under this name, or the one by which a connection has started it.
        let is_it = |slot: &&SlotView| {
            !slot.asked && slot.instance.unit == unit.name && slot.instance.release == order.release
        };
        if let Some(slot) = running.slots.iter().find(is_it).map(|slot| slot.slot) {
            return Ok((slot, false, running));
        }
        self.prepare(order, (&unit, &names), &name)?;
        let view = self.start_name(&name)?;
        Ok((slot, true, view))
    }

    /// Starts what answers 503, with this agent's own program.
    fn start_hold(
        &mut self,
        names: &SystemdUnit,
        order: &StartOrder,
    ) -> Result<(u64, bool, View), SystemdError> {
        let unit = &order.unit.name;
        let (Some(hold), true) = (&names.hold, self.can_hold(unit)?) else {
            return Err(Systemd::cannot_hold(unit));
        };
        if self.write_hold(hold, order.unit.command.get(1).map_or("", String::as_str))? {
            self.reload()?;
        }
        let slot = slot_number(hold, &order.release);
        let view = self.start_name(hold)?;
        Ok((slot, true, view))
    }

    /// Starts a unit of systemd, whatever failed before.
    fn start_name(&mut self, name: &str) -> Result<View, SystemdError> {
        let bus = self.bus()?;
        bus.reset_failed(name)?;
        let job = bus.begin(Verb::Start, name)?;
        self.begun(name, &job)
    }

    /// Sees to it that the unit can be started, would start the release, and has its listener.
    fn prepare(
        &mut self,
        order: &StartOrder,
        of: (&UnitSpec, &SystemdUnit),
        name: &str,
    ) -> Result<(), SystemdError> {
        let names = of.1;
        if names.template().is_some() {
            self.prepare_instance(order, of.0, name)?;
        }
        let Some(socket) = &names.socket else { return Ok(()) };
        let facts = SocketFacts::read(self.bus()?, socket)?;
        if facts.activity == Activity::Active {
            return Ok(());
        }
        if names.template().is_none() {
            // A plain unit may have no socket unit, and listens for itself then.
            if facts.load_state != "loaded" {
                return Ok(());
            }
        } else if self.point_socket(socket, name)? || self.stale || facts.stale {
            // A socket that points to nothing does not start.
            self.reload()?;
        }
        // One that failed hands nobody its listener.
        self.bus()?.reset_failed(socket)?;
        self.run(Verb::Start, socket)
    }

    /// Takes the mask from an instance and looks at what it would start.
    fn prepare_instance(
        &mut self,
        order: &StartOrder,
        unit: &UnitSpec,
        name: &str,
    ) -> Result<(), SystemdError> {
        let unmasked = self.files.unmask(name)?;
        let mut facts = ServiceFacts::read(self.bus()?, name)?;
        if unmasked && facts.load_state == "masked" {
            self.reload()?;
            facts = ServiceFacts::read(self.bus()?, name)?;
        }
        must_start(&facts, &Systemd::program_in(&order.files, unit))
    }

    fn start_timer(&mut self, timer: &str, order: &StartOrder) -> Result<(u64, bool, View), SystemdError> {
        let facts = TimerFacts::read(self.bus()?, timer)?;
        if facts.load_state != "loaded" {
            return Err(SystemdError::NoUnit { unit: timer.to_owned(), load_state: facts.load_state });
        }
        if facts.stale || self.stale {
            self.reload()?;
        }
        let new = facts.activity != Activity::Active;
        if new {
            self.bus()?.reset_failed(timer)?;
            self.run(Verb::Start, timer)?;
        }
        Ok((slot_number(timer, &order.release), new, self.read_view()?))
    }

    /// Waits until systemd has begun to start a unit, or has given up.
    fn begun(&mut self, name: &str, job: &Job) -> Result<View, SystemdError> {
        let deadline = Instant::now() + BEGIN_LIMIT;
        loop {
            let result = self.bus()?.wait_job(job, Duration::ZERO)?;
            let facts = ServiceFacts::read(self.bus()?, name)?;
            // Its predecessor may still be stopping.
            if !matches!(facts.activity, Activity::Inactive | Activity::Stopping) {
                return self.read_view();
            }
            match result {
                Some(result) if result != "done" => {
                    return Err(Systemd::job_error(Verb::Start, name, result));
                }
                // It ran and ended well before anybody looked; the slots say that nothing runs.
                Some(_) => return self.read_view(),
                None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Systemd::job_error(Verb::Start, name, "no beginning".to_owned()));
            }
            self.bus()?.wait_change(left)?;
        }
    }

    /// Tells a slot to stop and returns when systemd has begun. What is left of it is killed at the limit, or
    /// when its unit's `TimeoutStopSec=` is over, whichever is first; the former only while this agent waits.
    pub(crate) fn stop_slot(&mut self, id: u64, drain_ms_max: u64) -> Result<View, SystemdError> {
        let (Some(name), Some(slot)) =
            (self.names.get(&id).cloned(), self.slots.iter().find(|slot| slot.slot == id).cloned())
        else {
            return self.read_view();
        };
        if slot.waits {
            self.run(Verb::Stop, &name)?;
            return self.stop_run_of_timer(&slot);
        }
        let bus = self.bus()?;
        if slot.instance.state == InstanceState::Failed {
            bus.reset_failed(&name)?;
            return self.read_view();
        }
        let job = (!slot.asked).then(|| bus.begin(Verb::Stop, &name)).transpose()?;
        // Read now: one that fails again and again may have been started anew since the slots were looked at.
        let invocation = ServiceFacts::read(bus, &name)?.invocation;
        self.told.insert(invocation.clone());
        if slot.kill_in_ms.is_none_or(|left| left > drain_ms_max) {
            let due = Instant::now() + Duration::from_millis(drain_ms_max);
            self.kill_at.insert(invocation, (name, due));
        }
        let deadline = Instant::now() + BEGIN_LIMIT;
        loop {
            let ended = match &job {
                Some(job) => self.bus()?.wait_job(job, Duration::ZERO)?.is_some(),
                None => true,
            };
            self.kill_what_is_due()?;
            let view = self.read_view()?;
            if ended || view.slot(id).is_none_or(|slot| slot.asked) || Instant::now() >= deadline {
                return Ok(view);
            }
            self.bus()?.wait_change(deadline.saturating_duration_since(Instant::now()))?;
        }
    }

    /// A timer's run is stopped with it; the next look finds it as a slot of its own.
    fn stop_run_of_timer(&mut self, slot: &SlotView) -> Result<View, SystemdError> {
        if slot.instance.pid != 0 {
            let name = slot.log.display().to_string();
            let bus = self.bus()?;
            let invocation = ServiceFacts::read(bus, &name)?.invocation;
            bus.begin(Verb::Stop, &name)?;
            self.told.insert(invocation);
        }
        self.read_view()
    }

    /// The slots as soon as they differ from what they were at `after`, or at the limit.
    pub(crate) fn wait_slots(&mut self, after: u64, limit: Duration) -> Result<View, SystemdError> {
        let deadline = Instant::now() + limit;
        loop {
            self.kill_what_is_due()?;
            let view = self.read_view()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if view.sequence != after || left.is_zero() {
                return Ok(view);
            }
            let due = self.kill_at.values().map(|(_, due)| *due).min();
            let due = due.map_or(left, |due| due.saturating_duration_since(Instant::now()));
            let silent = view.slots.iter().any(|slot| slot.instance.state == InstanceState::Starting);
            let pause = if silent { left.min(LOOK_AGAIN) } else { left };
            self.bus()?.wait_change(pause.min(due.max(Duration::from_millis(1))))?;
        }
    }

    fn kill_what_is_due(&mut self) -> Result<(), SystemdError> {
        let now = Instant::now();
        let is_due = |(_, due): &(String, Instant)| *due <= now;
        let due: Vec<String> = self
            .kill_at
            .iter()
            .filter(|(_, at)| is_due(at))
            .map(|(invocation, _)| invocation.clone())
            .collect();
        for invocation in due {
            let Some((name, _)) = self.kill_at.remove(&invocation) else { continue };
            let bus = self.bus()?;
            // What was told may have ended long ago, and a connection may have started the unit anew.
            if ServiceFacts::read(bus, &name)?.invocation == invocation {
                bus.kill(&name)?;
            }
        }
        Ok(())
    }

    /// Has a unit's own `ExecReload=` take up the release that is current, where it is said to; answers when
    /// it has ended, and whether it was asked.
    pub(crate) fn reload_unit(&mut self, unit: &str, limit: Duration) -> Result<bool, SystemdError> {
        if self.flip_of(unit)?.order != FlipOrder::Reload {
            return Ok(false);
        }
        let (_, names) = self.unit(unit)?;
        let bus = self.bus()?;
        let job = bus.begin(Verb::Reload, &names.unit)?;
        match bus.wait_job(&job, limit)? {
            Some(result) if result == "done" => Ok(true),
            Some(result) => Err(Systemd::job_error(Verb::Reload, &names.unit, result)),
            None => Err(Systemd::job_error(Verb::Reload, &names.unit, "no end in time".to_owned())),
        }
    }

    /// Does a job of a unit that is no release's and waits for its end.
    pub(super) fn run(&mut self, verb: Verb, unit: &str) -> Result<(), SystemdError> {
        let bus = self.bus()?;
        let job = bus.begin(verb, unit)?;
        match bus.wait_job(&job, SMALL_JOB_LIMIT)? {
            Some(result) if result == "done" => Ok(()),
            Some(result) => Err(Systemd::job_error(verb, unit, result)),
            None => Err(Systemd::job_error(verb, unit, "no end in time".to_owned())),
        }
    }

    fn job_error(verb: Verb, unit: &str, result: String) -> SystemdError {
        let what = match verb {
            Verb::Start => format!("systemctl start {unit}"),
            Verb::Stop => format!("systemctl stop {unit}"),
            Verb::Reload => format!("systemctl reload {unit}"),
        };
        let text = journal::text_of(unit, 0);
        let lines: Vec<&str> = text.lines().collect();
        let lines = lines[lines.len().saturating_sub(LINES_MAX)..].iter().map(ToString::to_string).collect();
        SystemdError::Job { what, result, unit: unit.to_owned(), lines }
    }

    /// Has systemd read all unit files anew.
    pub(super) fn reload(&mut self) -> Result<(), SystemdError> {
        self.bus()?.reload()?;
        self.stale = false;
        Ok(())
    }

    /// What a slot wrote since it was started, or since `from`.
    pub(crate) fn log_of(slot: &SlotView, from: u64) -> String {
        journal::text_of(&slot.log.display().to_string(), from)
    }
}
