//! From what is to what must be: the flip.
//!
//! Every action is looked up before it is done, so that a convergence that was cut off anywhere is finished by
//! the next one. The order is the promise: beside each other first, proved, made the one that boots, and only
//! then is the other told to stop. Where the other one does harm it is stopped first, and before that it is no
//! longer what boots.

use std::time::{Duration, Instant};

use unship_core::protocol::{
    Action, Desired, Flip, HostReply, InstanceState, Refusal, Serve, ServiceSpec, UnitSpec,
};
use unship_core::release::Release;

use super::{Agent, Failure, prove, words};
use crate::clock;
use crate::supervise::{SlotView, StartOrder, View};

/// How long code that does harm may drain.
const HARMFUL_DRAIN_MS_MAX: u64 = 5_000;
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

impl Converging<'_> {
    fn overlap(&mut self, target: &Release) -> Result<(), Failure> {
        self.check(target)?;
        // Where `current` cannot be read nobody knows what served, so only what is started here is taken back.
        let left_over = self.agent.store.current().is_ok_and(|served| served.as_ref() != Some(target));
        let ready = self.start_beside(target);
        if let Err(failure) = ready {
            self.take_back(target, left_over);
            return Err(failure);
        }
        self.make_current(target).inspect_err(|_| self.take_back(target, left_over))?;
        let spec = self.spec;
        let workers = || spec.units.iter().filter(|unit| unit.listen.is_none());
        let is_worker = |slot: &SlotView| workers().any(|unit| unit.name == slot.instance.unit);
        let is_other = |slot: &SlotView| is_other(spec, target, slot);
        self.stop_where(spec.drain_ms_max, |slot| is_other(slot) && !is_worker(slot))?;
        // Two workers of different releases on one queue are what a migration's author did not think of, so
        // a worker starts only when its predecessor is gone.
        self.end_where(spec.drain_ms_max, |slot| is_other(slot) && is_worker(slot))?;
        self.bring_up(target, workers())
    }

    fn start_beside(&mut self, target: &Release) -> Result<(), Failure> {
        let spec = self.spec;
        self.bring_up(target, spec.units.iter().filter(|unit| unit.listen.is_some()))
    }

    fn stop_first(&mut self, target: &Release) -> Result<(), Failure> {
        self.check(target)?;
        let spec = self.spec;
        let drain_ms_max = spec.drain_ms_max.min(HARMFUL_DRAIN_MS_MAX);
        self.make_current(target)?;
        self.end_where(drain_ms_max, |slot| is_other(spec, target, slot))?;
        self.bring_up(target, spec.units.iter()).map_err(|failure| match failure {
            Failure::Failed { error, hint, unchanged, actions } => {
                let serving = self.ready_units(target);
                let serves = if serving.is_empty() { "nothing".to_owned() } else { serving.join(", ") };
                let error = format!("{error}; the other release was stopped first, {serves} serves now");
                Failure::Failed { error, hint, unchanged, actions }
            }
            refused @ Failure::Refused(_) => refused,
        })
    }

    fn serve_nothing(&mut self, flip: Flip) -> Result<(), Failure> {
        let drain_ms_max = match flip {
            Flip::Overlap => self.spec.drain_ms_max,
            Flip::StopFirst => self.spec.drain_ms_max.min(HARMFUL_DRAIN_MS_MAX),
        };
        self.view = self.agent.runner.view()?;
        let began = Instant::now();
        // A reboot must not bring back what was stopped on purpose.
        if self.agent.store.clear_current()? {
            self.changed = true;
            self.did(began, "current -> nothing".to_owned());
        }
        self.end_where(drain_ms_max, |_| true)
    }

    /// Refuses a release in quarantine, reads its files, and sees what runs.
    fn check(&mut self, target: &Release) -> Result<(), Failure> {
        let began = Instant::now();
        if let Some(reason) = self.agent.store.quarantined(target)? {
            return Err(Failure::Refused(Refusal::Quarantined { tag: target.tag.clone(), reason }));
        }
        self.agent.store.verify(target)?;
        self.did(began, format!("verify {target}"));
        self.view = self.agent.runner.view()?;
        Ok(())
    }

    /// Starts the units that have no living instance of the target, all at once, then waits until each is
    /// ready and proves it.
    fn bring_up<'u>(
        &mut self,
        target: &Release,
        units: impl Iterator<Item = &'u UnitSpec>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_millis(self.spec.ready_ms_max);
        let mut waiting = Vec::new();
        for unit in units {
            let slot = match self.living(unit, target) {
                // One that fails again and again gets a fresh attempt, and this attempt is what counts.
                Some(slot) if slot.instance.state == InstanceState::Restarting => {
                    let slot = slot.slot;
                    self.stop(slot, 0, "failing")?;
                    self.start(unit, target)?
                }
                Some(slot) => slot.slot,
                None => self.start(unit, target)?,
            };
            waiting.push(slot);
        }
        for slot in waiting {
            self.wait_ready(slot, deadline)?;
            self.prove(slot)?;
        }
        Ok(())
    }

    fn living(&self, unit: &UnitSpec, release: &Release) -> Option<&SlotView> {
        self.view
            .slots
            .iter()
            .find(|slot| slot.instance.unit == unit.name && slot.instance.release == *release && !slot.asked)
    }

    fn start(&mut self, unit: &UnitSpec, target: &Release) -> Result<u64, Failure> {
        let began = Instant::now();
        let order = StartOrder {
            unit: unit.clone(),
            release: target.clone(),
            files: self.agent.store.files_of(target),
            ready_ms_max: self.spec.ready_ms_max,
        };
        let (slot, _, view) = self.agent.runner.start(order)?;
        self.view = view;
        self.started.push((slot, self.view.slot(slot).map_or(0, |slot| slot.log_from)));
        self.did(began, format!("start {}@{target}", unit.name));
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
                    InstanceState::Restarting | InstanceState::Draining => {
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

    fn late(&self, slot: &SlotView) -> Failure {
        let lines = words::last_lines(&slot.log, self.log_from(slot));
        let error = format!(
            "`{}@{}` was not ready within {} ms",
            slot.instance.unit, slot.instance.release, self.spec.ready_ms_max
        );
        Failure::unchanged(error, Some(words::log_hint(&slot.log, &lines)))
    }

    fn ended_early(&mut self, id: u64, first: Option<&SlotView>) -> Failure {
        let Some(slot) = first else {
            return Failure::unchanged(format!("the child runner lost its slot {id}"), None);
        };
        let name = format!("`{}@{}`", slot.instance.unit, slot.instance.release);
        let exits = self.agent.runner.status().map(|(_, exits)| exits).unwrap_or_default();
        let exit = exits.iter().rev().find(|exit| exit.invocation == slot.instance.invocation);
        let lines = words::last_lines(&slot.log, self.log_from(slot));
        let hint = Some(words::log_hint(&slot.log, &lines));
        let error = match exit {
            Some(exit) if exit.asked => {
                format!("{name} was not ready within {} ms and was stopped", self.spec.ready_ms_max)
            }
            Some(exit) => format!("{name} ended with {} before it was ready", words::end_of(exit)),
            None => format!("{name} ended before it was ready"),
        };
        match lines.last() {
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

    fn make_current(&mut self, target: &Release) -> Result<(), Failure> {
        let began = Instant::now();
        if self.agent.store.set_current(target)? {
            self.changed = true;
            self.did(began, format!("current -> {target}"));
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

    fn stop_where(&mut self, drain_ms_max: u64, of: impl Fn(&SlotView) -> bool) -> Result<(), Failure> {
        let stop: Vec<_> = self.view.slots.iter().filter(|slot| !slot.asked && of(slot)).cloned().collect();
        for slot in stop {
            self.changed = true;
            let failing = slot.instance.state == InstanceState::Restarting;
            self.stop(slot.slot, drain_ms_max, if failing { "failing" } else { "draining" })?;
        }
        Ok(())
    }

    /// Tells instances to stop, gives those that drain already no more time than that, and waits until all
    /// are gone; the runner kills what does not go.
    fn end_where(&mut self, drain_ms_max: u64, of: impl Fn(&SlotView) -> bool) -> Result<(), Failure> {
        let leaving: Vec<_> = self.view.slots.iter().filter(|slot| of(slot)).cloned().collect();
        for slot in leaving.iter().filter(|slot| slot.asked) {
            self.view = self.agent.runner.stop(slot.slot, drain_ms_max)?;
        }
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
