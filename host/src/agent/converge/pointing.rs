//! What comes up without the agent: `current`, and what the runner brings up by itself.

use std::path::Path;
use std::time::Instant;

use unship_core::release::Release;

use super::{Converging, Failure, Pointing};
use crate::agent::runner::RunnerError;

impl Converging<'_> {
    /// Makes the target what comes up without the agent; `at_once`, before anything is stopped. Where that fails all is
    /// as it was: what serves, what boots and `current` are one release.
    pub(super) fn make_current(&mut self, target: &Release, at_once: bool) -> Result<(), Failure> {
        let before = self.agent.store.current_target()?;
        let Err(failure) = self.point_current(target, at_once) else { return Ok(()) };
        let began = Instant::now();
        let Err(why) = self.agent.store.restore_current(before.as_deref()) else {
            let name = before.as_deref().and_then(Path::file_name).unwrap_or("nothing".as_ref());
            self.did(began, format!("current -> {} again", name.display()));
            return Err(failure);
        };
        self.changed = true;
        Err(failure.and(&format!("`current` names {target} and could not be put back: {why}")))
    }

    fn point_current(&mut self, target: &Release, at_once: bool) -> Result<(), Failure> {
        let began = Instant::now();
        let new = self.agent.store.set_current(target)?;
        if new {
            self.did(began, format!("current -> {target}"));
        }
        self.point(Pointing::Release { release: target, at_once })?;
        self.changed |= new;
        Ok(())
    }

    pub(super) fn point(&mut self, to: Pointing<'_>) -> Result<(), Failure> {
        let began = Instant::now();
        let pointed = self.agent.runner.point(to);
        self.changed |= pointed.as_ref().is_err_and(RunnerError::left_changes);
        for what in pointed? {
            self.changed = true;
            self.did(began, what);
        }
        Ok(())
    }

    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        if let Some(what) = self.agent.runner.settle()? {
            self.did(began, what);
        }
        Ok(())
    }
}
