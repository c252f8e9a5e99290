//! What answers while a release may not: for a host that is held, and between two releases of which one is
//! stopped first.

use std::time::Instant;

use unship_core::protocol::{Held, Refusal, UnitSpec};
use unship_core::release::Release;

use super::{
    Converging, FLIP_RETRY_AFTER_S, Failure, HARMFUL_DRAIN_MS_MAX, HOLD_READY_MAX, Pointing, has_ended,
    is_other,
};
use crate::supervise::{SlotView, StartOrder};

impl<'a> Converging<'a> {
    /// Answers 503 on the listeners whose release is about to be stopped, where something can. Code that does
    /// harm is stopped whether or not.
    pub(super) fn answer_meanwhile(&mut self, target: &Release) -> Result<(), Failure> {
        let mut units = Vec::new();
        for unit in &self.spec.units {
            let stops =
                |slot: &SlotView| slot.instance.unit == unit.name && is_other(self.spec, target, slot);
            if self.view.slots.iter().any(stops) && self.agent.runner.holds_while_stopped(unit)? {
                units.push(unit);
            }
        }
        let began = Instant::now();
        if let Err(Failure::Failed { error, .. }) = self.answer_503(FLIP_RETRY_AFTER_S, units.into_iter()) {
            self.did(began, format!("nothing answers meanwhile: {error}"));
        }
        Ok(())
    }

    /// Keeps what was stopped because it does harm from being started by anything but unship.
    pub(super) fn bar(&mut self, ended: &[SlotView]) -> Result<(), Failure> {
        for slot in ended {
            let began = Instant::now();
            if let Some(what) = self.agent.runner.bar(slot)? {
                self.did(began, what);
            }
        }
        Ok(())
    }

    /// Answers 503 beside what serves, then stops that. Where nothing can answer, or what boots cannot be written, it is
    /// stopped all the same: containing comes first.
    pub(super) fn hold(&mut self, retry_after_s: u32) -> Result<(), Failure> {
        self.view = self.agent.runner.view()?;
        let marked = self.mark_held(retry_after_s);
        if matches!(marked, Err(Failure::Refused(_))) {
            return marked;
        }
        let cleared = self.clear_current();
        let pointed = self.point_to_hold(retry_after_s);
        let spec = self.spec;
        // Until now a connection may have started what had ended by itself.
        self.view = self.agent.runner.view()?;
        let held = pointed.and_then(|()| {
            let units = self.answered()?;
            self.answer_503(retry_after_s, units.into_iter())
        });
        let drain_ms_max = spec.drain_ms_max.min(HARMFUL_DRAIN_MS_MAX);
        let runs = |slot: &SlotView| !slot.instance.release.is_hold();
        let leaving: Vec<_> = self.view.slots.iter().filter(|slot| runs(slot)).cloned().collect();
        self.end_where(drain_ms_max, runs)?;
        self.bar(&leaving)?;
        held.map_err(|failure| failure.and("it was stopped all the same, and nothing answers"))?;
        marked.and(cleared).map_err(|failure| {
            failure.and("it was stopped all the same, and may come back with the next boot")
        })
    }

    /// Makes nothing start at boot.
    pub(super) fn clear_current(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        if self.agent.store.clear_current()? {
            self.changed = true;
            self.did(began, "current -> nothing".to_owned());
        }
        Ok(())
    }

    fn point_to_hold(&mut self, retry_after_s: u32) -> Result<(), Failure> {
        self.agent.runner.flips(true)?;
        self.point(Pointing::Hold { retry_after_s })
    }

    /// The units with a listener on which a hold can answer here. On the others it is only stopped: that they are set up
    /// without a hold unit is known beforehand, and no reason to leave what does harm running.
    fn answered(&mut self) -> Result<Vec<&'a UnitSpec>, Failure> {
        let flips = self.agent.runner.flips(false)?;
        let mut answered = Vec::new();
        for unit in self.spec.units.iter().filter(|unit| unit.listen.is_some()) {
            match flips.iter().find(|flip| flip.unit == unit.name) {
                Some(flip) if !flip.can_hold => {
                    if self.view.slots.iter().any(|slot| slot.instance.unit == unit.name) {
                        let what = format!("{} has no hold unit: nothing answers for it", unit.name);
                        self.did(Instant::now(), what);
                    }
                }
                _ => answered.push(unit),
            }
        }
        Ok(answered)
    }

    /// Writes down that the host is held and what it would serve otherwise. Who holds it already goes on to.
    pub(super) fn mark_held(&mut self, retry_after_s: u32) -> Result<(), Failure> {
        let began = Instant::now();
        // A mark that cannot be read is replaced.
        let present = self.agent.store.held().unwrap_or(None);
        let held = match (present, self.agent.epoch.read()?) {
            (Some(held), _) => Held { retry_after_s, ..held },
            (None, Some(record)) => {
                let slots = || self.view.slots.iter().filter(|slot| !slot.asked);
                let runs = slots().map(|slot| &slot.instance.release).find(|release| !release.is_hold());
                let release = self.agent.store.current().unwrap_or(None).or_else(|| runs.cloned());
                Held { release, retry_after_s, by: record.holder }
            }
            // Whoever asks has claimed the host, so there is a record.
            (None, None) => return Err(Failure::Refused(Refusal::NotClaimed)),
        };
        if self.agent.store.set_held(&held)? {
            self.changed = true;
            self.did(began, format!("mark as held, Retry-After {retry_after_s} s"));
        }
        Ok(())
    }

    /// Starts what answers on the units' listeners, all at once, and waits until each is ready.
    pub(super) fn answer_503<'u>(
        &mut self,
        retry_after_s: u32,
        units: impl Iterator<Item = &'u UnitSpec>,
    ) -> Result<(), Failure> {
        let hold = Release::hold();
        let units: Vec<_> = units.collect();
        self.end_draining(&hold, &units, HARMFUL_DRAIN_MS_MAX)?;
        let mut waiting = Vec::new();
        let deadline = Instant::now() + HOLD_READY_MAX;
        for unit in units {
            let slot = match self.living(unit, &hold) {
                Some(slot) if !has_ended(slot) => slot.slot,
                _ => {
                    let order = StartOrder::hold(unit, retry_after_s, self.agent.root.clone());
                    self.start(order)?
                }
            };
            waiting.push(slot);
        }
        for slot in waiting {
            self.wait_ready(slot, deadline)?;
            self.prove(slot)?;
        }
        Ok(())
    }

    /// Ends the hold of a host that serves something again, or nothing at all.
    pub(super) fn end_hold(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        if self.agent.store.clear_held()? {
            self.changed = true;
            self.did(began, "no longer held".to_owned());
        }
        Ok(())
    }
}
