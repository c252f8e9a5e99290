//! A migration taken down as a step of a run, and applied again when the run is taken back.

use std::sync::Arc;

use unship_core::down::Program;
use unship_core::protocol::Action;
use unship_core::release::Release;
use unship_core::tools::Migration;

use super::span;
use super::step::{Attempt, StepError, StepResult};
use crate::ports::{Database, DatabaseFailure, Landed, OnConflict, StepBy};

impl Attempt<'_> {
    fn database(&self) -> Result<&Arc<dyn Database>, StepError> {
        self.world.database.as_ref().ok_or_else(|| {
            let hint = "put [database] back into unship.toml".to_owned();
            StepError::with_hint("the configuration names no database any more", Some(hint))
        })
    }

    fn by(&self, release: &Release) -> StepBy {
        StepBy {
            run: self.run.clone(),
            step: self.step,
            epoch: self.epoch,
            service: self.world.target.service.name.clone(),
            environment: self.world.target.environment.clone(),
            release: Some(release.clone()),
            reason: format!("{release} was rolled back"),
            who: self.world.target.who.clone(),
            at: self.world.clock.now(),
        }
    }

    pub(super) async fn step_down(&self, release: &Release, program: &Program) -> StepResult {
        let by = self.by(release);
        let progress = self.world.progress.as_ref();
        let done = self.database()?.step_down(program, &by, progress).await;
        let done = done.map_err(|failure| {
            // What went piece by piece is not in doubt: it is known what was done, and that it is not all well.
            let in_doubt = failure.in_doubt && program.atomic;
            StepError { in_doubt, ..failed(failure) }
        })?;
        let locked = Action { what: "tables locked".to_owned(), took_us: done.locked_us };
        let said = done.said.into_iter().map(|what| Action { what, took_us: 0 });
        Ok(said.chain([locked]).collect())
    }

    pub(super) async fn is_down(&self, program: &Program) -> Result<bool, StepError> {
        match self.database()?.landed(program).await.map_err(failed)? {
            Landed::Before => Ok(false),
            Landed::After => Ok(true),
            Landed::Neither { why } => Err(StepError::with_hint(
                format!("whether {} is taken down cannot be told: {why}", program.migration),
                Some("`unship migrate status` shows it".into()),
            )),
        }
    }

    /// Lifts the fence of the release, applies the migration again, and puts back what was salvaged. Each of these
    /// is looked at first, so that it may be asked for again.
    pub(super) async fn step_up(&self, release: &Release, program: &Program) -> StepResult {
        let database = self.database()?;
        let mut actions = Vec::new();
        if self.is_down(program).await? {
            database.lift_fences(release).await.map_err(failed)?;
            let migration = self.migration(release, program).await?;
            let live = database.look(program.tool).await.map_err(failed)?;
            database.step_up(&migration, &live).await.map_err(failed)?;
            actions.push(Action { what: format!("{} applied again", program.migration), took_us: 0 });
        }
        let salvaged = database.salvaged().await.map_err(failed)?;
        let own = |run, step| run == self.run && step == self.step;
        for salvage in salvaged.iter().filter(|one| own(&one.run, one.step) && one.restored.is_none()) {
            let progress = self.world.progress.as_ref();
            let back = database.restore(salvage, OnConflict::Keep, false, progress).await.map_err(failed)?;
            let mut what = format!("{} rows put back", back.rows);
            if back.conflicts_count > 0 {
                what = format!(
                    "{what}; {} were written since and stay as they are: `unship migrate restore {} --dry-run` \
                     lists them",
                    back.conflicts_count, self.run
                );
            }
            actions.push(Action { what, took_us: 0 });
        }
        Ok(actions)
    }

    pub(super) async fn lift_fences(&self, release: &Release) -> StepResult {
        let lifted = self.database()?.lift_fences(release).await.map_err(failed)?;
        let said = lifted.into_iter().map(|fence| Action { what: fence.migration, took_us: 0 });
        Ok(said.collect())
    }

    pub(super) async fn are_lifted(&self, release: &Release) -> Result<bool, StepError> {
        let fences = self.database()?.fences().await.map_err(failed)?;
        Ok(!fences.iter().any(|fence| fence.release.as_ref().is_some_and(|of| of.digest == release.digest)))
    }

    /// The migration as the release carries it.
    async fn migration(&self, release: &Release, program: &Program) -> Result<Migration, StepError> {
        let artifact = self
            .world
            .source
            .kept(release)
            .await
            .map_err(|error| StepError::with_hint(error.message, error.hint))?;
        let settings = self.world.shadows.as_ref().map(|shadows| shadows.settings().clone());
        let set = settings
            .ok_or_else(|| "the configuration has no [migrations] any more".to_owned())
            .and_then(|settings| span::set_of(&settings, &artifact.capsule));
        let set = set.map_err(StepError::new)?;
        set.find(&program.version)
            .cloned()
            .ok_or_else(|| StepError::new(format!("the capsule of {release} has no {}", program.migration)))
    }
}

fn failed(failure: DatabaseFailure) -> StepError {
    StepError { in_doubt: failure.in_doubt, ..StepError::with_hint(failure.message, failure.hint) }
}
