//! From what is to what must be: the flip.
//!
//! Every action is looked up before it is done, so that a convergence that was cut off anywhere is finished by
//! the next one. The order is the promise: beside each other first, proved, made the one that boots, and only
//! then is the other told to stop. Where the other one does harm it is stopped first, and before that it is no
//! longer what boots.

mod meanwhile;
mod pointing;

use std::time::{Duration, Instant};

use unship_core::protocol::{
    Action, Desired, Flip, HostReply, InstanceState, Refusal, Serve, ServiceSpec, UnitSpec,
};
use unship_core::release::Release;

use super::runner::Pointing;
use super::{Agent, Failure, prove, words};
use crate::clock;
use crate::supervise::{SlotView, StartOrder, View};

/// How long code that does harm may drain.
const HARMFUL_DRAIN_MS_MAX: u64 = 5_000;
/// How long what answers for a held host may take to get ready.
const HOLD_READY_MAX: Duration = Duration::from_secs(5);
/// What `Retry-After` says while one release is stopped and the other starts.
const FLIP_RETRY_AFTER_S: u32 = 5;
/// How long a process that was told to take up new code may still run the old, and how often is looked: an exec
/// tells nobody.
const TAKE_UP_LIMIT: Duration = Duration::from_secs(2);
const TAKE_UP_LOOK: Duration = Duration::from_millis(10);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

impl Agent {
    /// Brings the service to the desired state.
    pub(super) fn converge(&mut self, desired: &Desired) -> Result<HostReply, Failure> {
        let mut converging = Converging {
            agent: self,
            spec: &desired.service,
            actions: Vec::new(),
            view: View { sequence: 0, slots: Vec::new() },
            changed: false,
            started: Vec::new(),
        };
        let converged = match (&desired.serve, desired.flip) {
            (Serve::Nothing, flip) => converging.serve_nothing(flip),
            (Serve::Hold { retry_after_s }, _) => converging.hold(*retry_after_s),
            (Serve::Release { release }, Flip::Overlap) => converging.overlap(release),
            (Serve::Release { release }, Flip::StopFirst) => converging.stop_first(release),
        };
        let Converging { actions, changed, .. } = converging;
        match converged {
            Ok(()) => Ok(HostReply::Done { actions }),
            Err(Failure::Failed { error, hint, .. }) => {
                Err(Failure::Failed { error, hint, unchanged: !changed, actions })
            }
            Err(refused) => Err(refused),
        }
    }
}

/// Whether a slot must go when the target is served: another release, or a unit that the service has no more.
fn is_other(spec: &ServiceSpec, target: &Release, slot: &SlotView) -> bool {
    slot.instance.release != *target || !spec.units.iter().any(|unit| unit.name == slot.instance.unit)
}

/// Whether the slot has no process that serves or will.
fn has_ended(slot: &SlotView) -> bool {
    matches!(slot.instance.state, InstanceState::Restarting | InstanceState::Failed)
}

/// One convergence.
struct Converging<'a> {
    agent: &'a mut Agent,
    spec: &'a ServiceSpec,
    actions: Vec<Action>,
    /// The slots as they were last seen.
    view: View,
    /// Whether the host no longer serves what it served, or boots what it booted.
    changed: bool,
    /// Slots that this convergence started, with where their logs began.
    started: Vec<(u64, u64)>,
}

impl<'a> Converging<'a> {
    fn overlap(&mut self, target: &Release) -> Result<(), Failure> {
        self.check(target)?;
        // Where `current` cannot be read nobody knows what served, so only what is started here is taken back.
        let left_over = self.agent.store.current().is_ok_and(|served| served.as_ref() != Some(target));
        let ready = self.start_beside(target);
        if let Err(failure) = ready {
            self.take_back(target, left_over);
            return Err(failure);
        }
        self.make_current(target, false).inspect_err(|_| self.take_back(target, left_over))?;
        self.end_hold()?;
        let spec = self.spec;
        let alone = self.alone()?;
        let is_alone = |slot: &SlotView| alone.iter().any(|unit| unit.name == slot.instance.unit);
        let is_other = |slot: &SlotView| is_other(spec, target, slot);
        self.stop_where(spec.drain_ms_max, |slot| is_other(slot) && !is_alone(slot))?;
        self.take_up(target, &alone)?;
        // Two workers of different releases on one queue are what a migration's author did not think of, so
        // a worker starts only when its predecessor is gone.
        self.end_where(spec.drain_ms_max, |slot| is_other(slot) && is_alone(slot))?;
        self.bring_up(target, alone.into_iter(), spec.drain_ms_max)?;
        self.end_twins(target, spec.drain_ms_max)?;
        self.settle()
    }

    fn start_beside(&mut self, target: &Release) -> Result<(), Failure> {
        let alone = self.alone()?;
        let beside = self.spec.units.iter().filter(|unit| !alone.contains(unit));
        self.bring_up(target, beside, self.spec.drain_ms_max)
    }

    /// The units whose releases take turns: those that share no listener.
    fn alone(&mut self) -> Result<Vec<&'a UnitSpec>, Failure> {
        let mut alone = Vec::new();
        for unit in &self.spec.units {
            if !self.agent.runner.overlaps(unit)? {
                alone.push(unit);
            }
        }
        Ok(alone)
    }

    /// Has units that can take up the target in the process that runs do so. One that does not is ended like
    /// any other.
    fn take_up(&mut self, target: &Release, units: &[&UnitSpec]) -> Result<(), Failure> {
        for unit in units {
            let serves = |slot: &SlotView| {
                slot.instance.unit == unit.name
                    && slot.instance.release != *target
                    && slot.instance.state == InstanceState::Ready
            };
            if !self.view.slots.iter().any(serves) {
                continue;
            }
            let began = Instant::now();
            let limit = Duration::from_millis(self.spec.ready_ms_max);
            match self.agent.runner.take_up(unit, limit) {
                Ok(false) => continue,
                Ok(true) => self.did(began, format!("reload {}", unit.name)),
                Err(error) => self.did(began, format!("reload {} failed: {error}", unit.name)),
            }
            self.changed = true;
            self.view = self.agent.runner.view()?;
            let deadline = Instant::now() + TAKE_UP_LIMIT;
            while self.view.slots.iter().any(serves) && Instant::now() < deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                self.view = self.agent.runner.wait(self.view.sequence, left.min(TAKE_UP_LOOK))?;
            }
            if self.view.slots.iter().any(serves) {
                self.did(began, format!("{} runs on after its reload: it is restarted", unit.name));
            }
        }
        Ok(())
    }

    fn stop_first(&mut self, target: &Release) -> Result<(), Failure> {
        self.check(target)?;
        let spec = self.spec;
        let drain_ms_max = spec.drain_ms_max.min(HARMFUL_DRAIN_MS_MAX);
        self.make_current(target, true)?;
        self.end_hold()?;
        // Until now a connection may have started what had ended by itself.
        self.view = self.agent.runner.view()?;
        self.answer_meanwhile(target)?;
        let is_other = |slot: &SlotView| is_other(spec, target, slot) && !slot.instance.release.is_hold();
        let leaving: Vec<_> = self.view.slots.iter().filter(|slot| is_other(slot)).cloned().collect();
        self.end_where(drain_ms_max, is_other)?;
        self.bar(&leaving)?;
        self.bring_up(target, spec.units.iter(), drain_ms_max).map_err(|failure| {
            let serving = self.ready_units(target);
            let serves = if serving.is_empty() { "nothing".to_owned() } else { serving.join(", ") };
            failure.and(&format!("the other release was stopped first, {serves} serves now"))
        })?;
        self.end_where(drain_ms_max, |slot| is_other(slot) || slot.instance.release.is_hold())?;
        self.end_twins(target, drain_ms_max)?;
        self.settle()
    }

    fn serve_nothing(&mut self, flip: Flip) -> Result<(), Failure> {
        let drain_ms_max = match flip {
            Flip::Overlap => self.spec.drain_ms_max,
            Flip::StopFirst => self.spec.drain_ms_max.min(HARMFUL_DRAIN_MS_MAX),
        };
        // A reboot must not bring back what was stopped on purpose.
        self.clear_current()?;
        self.end_hold()?;
        self.point(Pointing::Nothing)?;
        self.view = self.agent.runner.view()?;
        self.end_where(drain_ms_max, |_| true)
    }

    /// Refuses a release in quarantine or that the host could not start, reads its files, and sees what runs.
    fn check(&mut self, target: &Release) -> Result<(), Failure> {
        let began = Instant::now();
        if let Some(reason) = self.agent.store.quarantined(target)? {
            return Err(Failure::Refused(Refusal::Quarantined { tag: target.tag.clone(), reason }));
        }
        self.agent.store.verify(target)?;
        self.did(began, format!("verify {target}"));
        self.agent.runner.flips(true)?;
        self.agent.runner.check(target)?;
        self.view = self.agent.runner.view()?;
        Ok(())
    }

    /// Starts the units that have no living instance of the target, all at once, then waits until each is
    /// ready and proves it. What the target was told to finish earlier may take `drain_ms_max`.
    fn bring_up<'u>(
        &mut self,
        target: &Release,
        units: impl Iterator<Item = &'u UnitSpec>,
        drain_ms_max: u64,
    ) -> Result<(), Failure> {
        let units: Vec<_> = units.collect();
        self.end_draining(target, &units, drain_ms_max)?;
        let mut waiting = Vec::new();
        for unit in units {
            let slot = match self.living(unit, target) {
                // One that fails again and again gets a fresh attempt, and this attempt is what counts.
                Some(slot) if has_ended(slot) => {
                    let slot = slot.slot;
                    self.stop(slot, 0, "failing")?;
                    self.start(self.order(unit, target))?
                }
                Some(slot) => slot.slot,
                None => self.start(self.order(unit, target))?,
            };
            waiting.push(slot);
        }
        let deadline = Instant::now() + Duration::from_millis(self.spec.ready_ms_max);
        for slot in waiting {
            self.wait_ready(slot, deadline)?;
            self.prove(slot)?;
        }
        Ok(())
    }

    /// Waits for the end of what a release still finishes, where it cannot be started again before: somebody goes
    /// back soon after leaving it.
    fn end_draining(
        &mut self,
        release: &Release,
        units: &[&UnitSpec],
        drain_ms_max: u64,
    ) -> Result<(), Failure> {
        if !self.agent.runner.has_one_instance() {
            return Ok(());
        }
        self.end_where(drain_ms_max, |slot| {
            slot.asked
                && slot.instance.release == *release
                && units.iter().any(|unit| unit.name == slot.instance.unit)
        })
    }

    fn living(&self, unit: &UnitSpec, release: &Release) -> Option<&SlotView> {
        self.view
            .slots
            .iter()
            .find(|slot| slot.instance.unit == unit.name && slot.instance.release == *release && !slot.asked)
    }

    fn order(&self, unit: &UnitSpec, target: &Release) -> StartOrder {
        StartOrder {
            unit: unit.clone(),
            release: target.clone(),
            files: self.agent.store.files_of(target),
            ready_ms_max: self.spec.ready_ms_max,
        }
    }

    fn start(&mut self, order: StartOrder) -> Result<u64, Failure> {
        let began = Instant::now();
        let name = format!("{}@{}", order.unit.name, order.release);
        let (slot, _, view) = self.agent.runner.start(order)?;
        self.view = view;
        self.started.push((slot, self.view.slot(slot).map_or(0, |slot| slot.log_from)));
        self.did(began, format!("start {name}"));
        Ok(slot)
    }

    fn wait_ready(&mut self, id: u64, deadline: Instant) -> Result<(), Failure> {
        let began = Instant::now();
        let Some(first) = self.view.slot(id).cloned() else {
            return Err(self.ended_early(id, None));
        };
        loop {
            match self.view.slot(id) {
                Some(slot) if slot.instance.invocation != first.instance.invocation => {
                    return Err(self.ended_early(id, Some(&first)));
                }
                Some(slot) => match slot.instance.state {
                    InstanceState::Ready => break,
                    InstanceState::Starting => {}
                    InstanceState::Restarting | InstanceState::Draining | InstanceState::Failed => {
                        return Err(self.ended_early(id, Some(&first)));
                    }
                },
                None => return Err(self.ended_early(id, Some(&first))),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.late(&first));
            }
            self.view = self.agent.runner.wait(self.view.sequence, left)?;
        }
        if self.is_new(id) {
            self.did(began, format!("ready {}@{}", first.instance.unit, first.instance.release));
        }
        Ok(())
    }

    fn is_new(&self, id: u64) -> bool {
        self.started.iter().any(|(slot, _)| *slot == id)
    }

    /// Where the log of a slot began when this convergence started it, or begins now.
    fn log_from(&self, slot: &SlotView) -> u64 {
        let began = self.started.iter().find(|(id, _)| *id == slot.slot);
        began.map_or(slot.log_from, |(_, from)| *from)
    }

    fn late(&mut self, slot: &SlotView) -> Failure {
        let log = self.agent.runner.log(slot, self.log_from(slot));
        let error = format!(
            "`{}@{}` was not ready within {} ms",
            slot.instance.unit, slot.instance.release, self.spec.ready_ms_max
        );
        Failure::unchanged(error, Some(log.hint()))
    }

    fn ended_early(&mut self, id: u64, first: Option<&SlotView>) -> Failure {
        let Some(slot) = first else {
            return Failure::unchanged(format!("slot {id} is gone: nothing runs there"), None);
        };
        let name = format!("`{}@{}`", slot.instance.unit, slot.instance.release);
        let exits = self.agent.runner.status().map(|(_, exits)| exits).unwrap_or_default();
        let exit = exits.iter().rev().find(|exit| exit.invocation == slot.instance.invocation);
        let log = self.agent.runner.log(slot, self.log_from(slot));
        let hint = Some(log.hint());
        let error = match exit {
            Some(exit) if exit.asked => {
                format!("{name} was not ready within {} ms and was stopped", self.spec.ready_ms_max)
            }
            Some(exit) => format!("{name} ended with {} before it was ready", words::end_of(exit)),
            None => format!("{name} ended before it was ready"),
        };
        match log.last() {
            Some(line) => Failure::unchanged(format!("{error}: {line}"), hint),
            None => Failure::unchanged(error, hint),
        }
    }

    fn prove(&mut self, id: u64) -> Result<(), Failure> {
        let began = Instant::now();
        let Some(slot) = self.view.slot(id).cloned() else {
            return Err(self.ended_early(id, None));
        };
        if !prove::proved(&mut self.agent.store, &slot)? {
            let name = format!("{}@{}", slot.instance.unit, slot.instance.release);
            let pid = slot.instance.pid;
            return Err(Failure::unchanged(
                format!("process {pid} of `{name}` does not run the release's verified file"),
                Some(format!("see what it runs with `readlink /proc/{pid}/exe`")),
            ));
        }
        if self.is_new(id) {
            self.did(began, format!("prove {}@{}", slot.instance.unit, slot.instance.release));
        }
        Ok(())
    }

    /// Tells a slot to stop; it drains on under the runner.
    fn stop(&mut self, id: u64, drain_ms_max: u64, how: &str) -> Result<(), Failure> {
        let began = Instant::now();
        let Some(slot) = self.view.slot(id) else { return Ok(()) };
        let name = format!("{}@{}", slot.instance.unit, slot.instance.release);
        self.view = self.agent.runner.stop(id, drain_ms_max)?;
        self.did(began, format!("stop {name} ({how})"));
        Ok(())
    }

    /// Tells instances to stop, and gives those that drain already no more time than that: none at all ends a
    /// release that goes on taking connections.
    fn stop_where(&mut self, drain_ms_max: u64, of: impl Fn(&SlotView) -> bool) -> Result<(), Failure> {
        let stop: Vec<_> = self.view.slots.iter().filter(|slot| !slot.asked && of(slot)).cloned().collect();
        for slot in stop {
            self.changed = true;
            let failing = has_ended(&slot);
            self.stop(slot.slot, drain_ms_max, if failing { "failing" } else { "draining" })?;
        }
        let shorten: Vec<_> = self
            .view
            .slots
            .iter()
            .filter(|slot| of(slot) && slot.kill_in_ms.is_some_and(|left| left > drain_ms_max))
            .cloned()
            .collect();
        for slot in shorten {
            let began = Instant::now();
            self.view = self.agent.runner.stop(slot.slot, drain_ms_max)?;
            let name = format!("{}@{}", slot.instance.unit, slot.instance.release);
            self.did(began, format!("shorten the drain of {name} to {drain_ms_max} ms"));
        }
        Ok(())
    }

    /// Ends what runs of the target twice: while nothing served, a connection may have started it too.
    fn end_twins(&mut self, target: &Release, drain_ms_max: u64) -> Result<(), Failure> {
        let mut twins = Vec::new();
        for unit in &self.spec.units {
            let is_of_unit = |slot: &&SlotView| {
                !slot.asked && slot.instance.unit == unit.name && slot.instance.release == *target
            };
            let mut slots: Vec<&SlotView> = self.view.slots.iter().filter(is_of_unit).collect();
            slots.sort_by_key(|slot| (slot.instance.state == InstanceState::Ready, self.is_new(slot.slot)));
            slots.pop();
            twins.extend(slots.into_iter().map(|slot| slot.slot));
        }
        self.stop_where(drain_ms_max, |slot| twins.contains(&slot.slot))
    }

    /// Stops instances and waits until all are gone; the runner kills what does not go.
    fn end_where(&mut self, drain_ms_max: u64, of: impl Fn(&SlotView) -> bool) -> Result<(), Failure> {
        let leaving: Vec<_> = self.view.slots.iter().filter(|slot| of(slot)).cloned().collect();
        self.stop_where(drain_ms_max, &of)?;
        let began = Instant::now();
        let deadline = began + Duration::from_millis(drain_ms_max) + KILL_LIMIT;
        while let Some(slot) = self.view.slots.iter().find(|slot| of(slot)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let pid = slot.instance.pid;
                return Err(Failure::unchanged(
                    format!(
                        "process {pid} of `{}@{}` does not end although it was killed",
                        slot.instance.unit, slot.instance.release
                    ),
                    Some(format!("see what it waits for with `cat /proc/{pid}/stack`")),
                ));
            }
            self.view = self.agent.runner.wait(self.view.sequence, left)?;
        }
        for slot in leaving {
            self.did(began, format!("ended {}@{}", slot.instance.unit, slot.instance.release));
        }
        Ok(())
    }

    /// Undoes the starts of a flip that did not come about. What served before is not touched, even where it
    /// is the same release; `left_over` says that the target did not, so that all its instances are of flips
    /// that did not come about.
    fn take_back(&mut self, target: &Release, left_over: bool) {
        if self.changed {
            return;
        }
        let stop: Vec<_> = self
            .view
            .slots
            .iter()
            .filter(|slot| {
                let ours = self.is_new(slot.slot) || left_over && slot.instance.release == *target;
                ours && !slot.asked
            })
            .map(|slot| slot.slot)
            .collect();
        for slot in stop {
            // The failure that led here is what is told; a slot that cannot be stopped is seen by the next
            // look at the host.
            let _ = self.stop(slot, self.spec.drain_ms_max.min(HARMFUL_DRAIN_MS_MAX), "taken back");
        }
    }

    fn ready_units(&self, target: &Release) -> Vec<String> {
        let slots =
            self.view.slots.iter().filter(|slot| {
                slot.instance.release == *target && slot.instance.state == InstanceState::Ready
            });
        slots.map(|slot| format!("{}@{target}", slot.instance.unit)).collect()
    }

    /// Notes what was done, with what it cost since `began`.
    fn did(&mut self, began: Instant, what: String) {
        self.actions.push(Action { what, took_us: clock::micros_since(began) });
        #[cfg(test)]
        if let (Some(after_action), Some(action)) = (&mut self.agent.after_action, self.actions.last()) {
            after_action(&action.what);
        }
    }
}
