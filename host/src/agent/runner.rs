//! What runs instances, as the agent sees it: the child runner, or systemd. Another service manager joins
//! here and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use unship_core::capsule::CapsuleFile;
use unship_core::protocol::{InstanceExit, UnitFlip, UnitSpec};
use unship_core::release::Release;

use super::words::Log;
use crate::supervise::{Client, SlotView, StartOrder, SuperviseError, View};
use crate::systemd::{Systemd, SystemdError};

/// Why a runner could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunnerError {
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    #[error(transparent)]
    Systemd(#[from] SystemdError),
}

impl RunnerError {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            RunnerError::Supervise(error) => error.hint(),
            RunnerError::Systemd(error) => error.hint(),
        }
    }

    /// Whether something is not as it was before.
    pub(super) fn left_changes(&self) -> bool {
        matches!(self, RunnerError::Systemd(SystemdError::HalfPointed { .. }))
    }
}

/// What comes up without the agent: at boot, on a connection, at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pointing<'a> {
    /// This release.
    Release {
        release: &'a Release,
        /// Before anything is stopped, and not as soon as nobody waits for it.
        at_once: bool,
    },
    /// What answers for a held host.
    Hold { retry_after_s: u32 },
    /// Nothing.
    Nothing,
}

/// Starts and stops instances and says how they are.
pub(super) trait Runner {
    /// The slots and the latest exits.
    fn status(&mut self) -> Result<(View, Vec<InstanceExit>), RunnerError>;
    /// The slots.
    fn view(&mut self) -> Result<View, RunnerError>;
    /// Refuses a release that could not be started: what serves must not be stopped for it. Changes nothing.
    fn check(&mut self, target: &Release) -> Result<(), RunnerError>;
    /// Starts an instance unless it is there; answers its slot, whether that is new, and all slots.
    fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), RunnerError>;
    /// Tells an instance to stop and returns; the runner drains and, at the limit, kills it.
    fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, RunnerError>;
    /// The slots as soon as they differ from `after`, or at the limit.
    fn wait(&mut self, after: u64, limit: Duration) -> Result<View, RunnerError>;
    /// What a slot wrote since `from`.
    fn log(&mut self, slot: &SlotView, from: u64) -> Log;
    /// Reads how units can be flipped; empty where every unit with a listener overlaps.
    fn flips(&mut self, anew: bool) -> Result<Vec<UnitFlip>, RunnerError>;
    /// The unit files of the service as they are on this host.
    fn unit_files(&mut self) -> Result<Vec<CapsuleFile>, RunnerError>;
    /// Whether two releases of a unit can serve beside each other.
    fn overlaps(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError>;
    /// Whether an instance that was told to stop must have ended before its release can be started again.
    fn has_one_instance(&self) -> bool;
    /// Whether a unit's process takes up the current release when it is told to, and is told.
    fn take_up(&mut self, unit: &UnitSpec, limit: Duration) -> Result<bool, RunnerError>;
    /// Whether a unit is held by what answers 503 while its releases take turns, one stopped first.
    fn holds_while_stopped(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError>;
    /// Sets what comes up without the agent. Answers what was changed. To a release either wholly or not at all, but for
    /// what an error with [`RunnerError::left_changes`] names.
    fn point(&mut self, to: Pointing<'_>) -> Result<Vec<String>, RunnerError>;
    /// Has what was pointed take effect, where it has not. Answers what was done.
    fn settle(&mut self) -> Result<Option<String>, RunnerError>;
    /// Keeps an ended instance from being started by anything but the agent. Answers what was done.
    fn bar(&mut self, slot: &SlotView) -> Result<Option<String>, RunnerError>;
}

/// The child runner of a runtime folder. Connects when it is asked first, and again when a question failed,
/// so that an agent outlives a child runner that was started anew.
#[derive(Debug)]
pub(super) struct Children {
    runtime: PathBuf,
    client: Option<Client>,
}

impl Children {
    pub(super) fn new(runtime: PathBuf) -> Children {
        Children { runtime, client: None }
    }

    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut Client) -> Result<T, SuperviseError>,
    ) -> Result<T, RunnerError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.runtime)?,
        };
        let answered = question(&mut client);
        if matches!(answered, Ok(_) | Err(SuperviseError::Refused { .. })) {
            self.client = Some(client);
        }
        Ok(answered?)
    }

    /// For questions without effect, which may be asked twice: the kept connection may be to a child runner
    /// that has ended.
    fn ask_again<T>(
        &mut self,
        question: impl Fn(&mut Client) -> Result<T, SuperviseError>,
    ) -> Result<T, RunnerError> {
        if self.client.is_some() {
            match self.ask(&question) {
                Err(RunnerError::Supervise(SuperviseError::NotRunning { .. })) => {}
                answered => return answered,
            }
        }
        self.ask(&question)
    }
}

impl Runner for Children {
    fn status(&mut self) -> Result<(View, Vec<InstanceExit>), RunnerError> {
        self.ask_again(Client::status)
    }

    fn view(&mut self) -> Result<View, RunnerError> {
        self.ask_again(Client::view)
    }

    /// It starts what the release's own files are.
    fn check(&mut self, _target: &Release) -> Result<(), RunnerError> {
        Ok(())
    }

    fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), RunnerError> {
        self.ask(|client| client.start(order))
    }

    fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, RunnerError> {
        self.ask(|client| client.stop(slot, drain_ms_max))
    }

    fn wait(&mut self, after: u64, limit: Duration) -> Result<View, RunnerError> {
        self.ask(|client| client.wait(after, limit))
    }

    fn log(&mut self, slot: &SlotView, from: u64) -> Log {
        Log::file(&slot.log, from)
    }

    fn flips(&mut self, _anew: bool) -> Result<Vec<UnitFlip>, RunnerError> {
        Ok(Vec::new())
    }

    fn unit_files(&mut self) -> Result<Vec<CapsuleFile>, RunnerError> {
        Ok(Vec::new())
    }

    fn overlaps(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError> {
        Ok(unit.listen.is_some())
    }

    fn has_one_instance(&self) -> bool {
        false
    }

    fn take_up(&mut self, _unit: &UnitSpec, _limit: Duration) -> Result<bool, RunnerError> {
        Ok(false)
    }

    /// New connections wait in the listener, which the child runner has open.
    fn holds_while_stopped(&mut self, _unit: &UnitSpec) -> Result<bool, RunnerError> {
        Ok(false)
    }

    /// What comes up is what `current` names, or the hold's mark.
    fn point(&mut self, _to: Pointing<'_>) -> Result<Vec<String>, RunnerError> {
        Ok(Vec::new())
    }

    fn settle(&mut self) -> Result<Option<String>, RunnerError> {
        Ok(None)
    }

    /// Nothing but the agent starts anything.
    fn bar(&mut self, _slot: &SlotView) -> Result<Option<String>, RunnerError> {
        Ok(None)
    }
}

impl Runner for Systemd {
    fn status(&mut self) -> Result<(View, Vec<InstanceExit>), RunnerError> {
        Ok(self.with_bus(Systemd::read_status)?)
    }

    fn view(&mut self) -> Result<View, RunnerError> {
        Ok(self.with_bus(Systemd::read_view)?)
    }

    fn check(&mut self, target: &Release) -> Result<(), RunnerError> {
        Ok(self.with_bus(|systemd| systemd.check_fit(target))?)
    }

    fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), RunnerError> {
        Ok(self.with_bus(|systemd| systemd.start_unit(&order))?)
    }

    fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, RunnerError> {
        Ok(self.with_bus(|systemd| systemd.stop_slot(slot, drain_ms_max))?)
    }

    fn wait(&mut self, after: u64, limit: Duration) -> Result<View, RunnerError> {
        Ok(self.with_bus(|systemd| systemd.wait_slots(after, limit))?)
    }

    fn log(&mut self, slot: &SlotView, from: u64) -> Log {
        Log::of_unit(&slot.log.display().to_string(), &Systemd::log_of(slot, from))
    }

    fn flips(&mut self, anew: bool) -> Result<Vec<UnitFlip>, RunnerError> {
        Ok(self.with_bus(|systemd| if anew { systemd.read_flips() } else { systemd.known_flips() })?)
    }

    fn unit_files(&mut self) -> Result<Vec<CapsuleFile>, RunnerError> {
        Ok(self.with_bus(Systemd::unit_files)?)
    }

    fn overlaps(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError> {
        Ok(self.with_bus(|systemd| systemd.is_overlapping(&unit.name))?)
    }

    /// An instance is called by its release.
    fn has_one_instance(&self) -> bool {
        true
    }

    fn take_up(&mut self, unit: &UnitSpec, limit: Duration) -> Result<bool, RunnerError> {
        Ok(self.with_bus(|systemd| systemd.reload_unit(&unit.name, limit))?)
    }

    fn holds_while_stopped(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError> {
        Ok(self.with_bus(|systemd| systemd.can_hold(&unit.name))?)
    }

    fn point(&mut self, to: Pointing<'_>) -> Result<Vec<String>, RunnerError> {
        Ok(self.with_bus(|systemd| match to {
            Pointing::Release { release, at_once } => systemd.point_to(release, at_once),
            Pointing::Hold { retry_after_s } => systemd.point_to_hold(retry_after_s),
            Pointing::Nothing => systemd.point_to_nothing(),
        })?)
    }

    fn settle(&mut self) -> Result<Option<String>, RunnerError> {
        Ok(self.with_bus(Systemd::reload_if_stale)?)
    }

    fn bar(&mut self, slot: &SlotView) -> Result<Option<String>, RunnerError> {
        Ok(self.with_bus(|systemd| systemd.mask(slot))?)
    }
}
