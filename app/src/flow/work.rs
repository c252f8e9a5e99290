//! One piece of work of a run, as a task of its own: it owns all that it needs, so that whatever becomes of the
//! loop that began it, it comes to its end.

use std::time::Instant;

use unship_core::journal::{Task, Work};
use unship_core::plan::{RunKind, Step, Undo};
use unship_core::protocol::{Action, Epoch, Holder};

use super::FlowError;
use super::claims::{claim_one, must_be_above};
use super::step::{Attempt, StepError};
use crate::ports::World;

/// What is to be done, with all that it takes.
pub(super) struct Job {
    pub world: World,
    pub holder: Holder,
    pub epoch: Epoch,
    pub kind: RunKind,
    /// The invocations that a deploy command has to have replaced.
    pub replaced: Vec<String>,
    pub work: Work,
    pub step: Step,
    /// What taking the step back means, where that is the work.
    pub undo: Option<Undo>,
    /// The step's host could not be claimed yet.
    pub unclaimed: bool,
}

/// What came of a piece of work.
pub(super) struct Came {
    pub work: Work,
    pub step: Step,
    pub took_ms: u64,
    /// The host was claimed on the way.
    pub claimed: bool,
    pub end: End,
}

/// How a piece of work ended.
pub(super) enum End {
    /// The step, or its undo, is done, or was found done.
    Done(Vec<Action>),
    /// It was looked at and is not done.
    NotDone,
    Failed(StepError),
    /// The host has seen a higher epoch than the run's.
    Behind(Epoch),
    /// The run cannot go on.
    Fatal(FlowError),
}

impl Job {
    pub async fn run(self) -> Came {
        let began = Instant::now();
        let (claimed, end) = self.carry_out().await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Came { work: self.work, step: self.step, took_ms, claimed, end }
    }

    async fn carry_out(&self) -> (bool, End) {
        let mut claimed = false;
        if self.unclaimed && self.work.task != Task::Check {
            match self.claim().await {
                Ok(now) => claimed = now,
                Err(error) => {
                    return (false, must_be_above(&error).map_or(End::Fatal(error), End::Behind));
                }
            }
        }
        let attempt = Attempt {
            world: &self.world,
            run: &self.holder.run,
            epoch: self.epoch,
            step: self.work.step,
            number: self.work.attempt,
            kind: self.kind,
            replaced: &self.replaced,
        };
        let end = match self.work.task {
            Task::Do => match attempt.act(&self.step).await {
                Ok(actions) => End::Done(actions),
                // Without an answer it may have been carried out all the same, which is looked at.
                Err(failed) if failed.in_doubt && attempt.is_done(&self.step).await == Ok(true) => {
                    End::Done(Vec::new())
                }
                Err(failed) => End::Failed(failed),
            },
            Task::Check => match attempt.is_done(&self.step).await {
                Ok(true) => End::Done(Vec::new()),
                Ok(false) => End::NotDone,
                Err(failed) => End::Failed(failed),
            },
            Task::Undo => {
                let undone = match &self.undo {
                    Some(undo) => attempt.undo(undo).await,
                    None => Ok(Vec::new()),
                };
                undone.map_or_else(End::Failed, End::Done)
            }
        };
        (claimed, end)
    }

    /// Claims the step's host, which could not be claimed before. When it fails again the step will say so.
    async fn claim(&self) -> Result<bool, FlowError> {
        let named = self.world.hosts.iter().find(|host| Some(&host.name) == self.step.host());
        let Some(host) = named else { return Ok(false) };
        match claim_one(host, &self.holder, self.epoch).await {
            Ok(()) => Ok(true),
            Err(error @ FlowError::Refused { .. }) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
