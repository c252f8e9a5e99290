//! Downs that are no inverse by themselves, but are one together with their neighbours': the down of one step
//! undoes part of the next, or leaves something to the one before.

use std::collections::VecDeque;
use std::sync::Arc;

use unship_core::schema::{Catalog, Change, diff};
use unship_core::tools::Migration;
use unship_core::verdict::{DownClass, StepReport};

use crate::ports::{Shadow, ShadowFailure};

/// Most steps that are tried together.
const STEPS_MAX: usize = 3;

/// The last steps, with the catalog before each.
#[derive(Default)]
pub(super) struct Groups {
    last: VecDeque<(Arc<Migration>, Catalog)>,
}

impl Groups {
    pub fn add(&mut self, migration: Arc<Migration>, step: &StepReport, before: Catalog) {
        if step.up.class.is_none() {
            // Nothing reaches back over a step that did not run.
            self.last.clear();
            return;
        }
        self.last.push_back((migration, before));
        if self.last.len() > STEPS_MAX {
            self.last.pop_front();
        }
    }

    /// Tries groups that end with the newest step, if one of their downs is wrong by itself.
    pub async fn settle(
        &self,
        shadow: &mut dyn Shadow,
        steps: &mut [StepReport],
    ) -> Result<(), ShadowFailure> {
        for size in 2..=self.last.len() {
            let group = || self.last.iter().rev().take(size);
            let start = steps.len().saturating_sub(size);
            let open = |step: &StepReport| is_wrong(step) && step.down.exact_only_as_group.is_empty();
            // The outermost steps must matter: a group around a smaller group says nothing new.
            if !steps[start..].iter().any(open)
                || !group().all(|(migration, _)| migration.down.script().is_some())
            {
                continue;
            }
            let newest_first: Vec<&Migration> = group().map(|(migration, _)| &**migration).collect();
            let Some(undone) = shadow.undo_together(&newest_first).await? else { continue };
            let Some((_, before)) = self.last.get(self.last.len() - size) else { continue };
            if diff(before, &undone).iter().all(Change::is_reordered) {
                let ids: Vec<String> = steps[start..].iter().map(|step| step.id.clone()).collect();
                for step in steps[start..].iter_mut().filter(|step| open(step)) {
                    step.down.exact_only_as_group.clone_from(&ids);
                }
            }
        }
        Ok(())
    }
}

fn is_wrong(step: &StepReport) -> bool {
    matches!(step.down.class, DownClass::Inexact | DownClass::Fails)
}
