//! Executes a plan: lease, epoch, then step by step, each intent on the disk before the act.
//!
//! The loop knows nothing of step kinds or of deploy and rollback: [`State::next`] says what comes next,
//! [`Attempt`] does it, the journal makes it durable. A run that was interrupted is executed by the same
//! loop, from its journal.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use unship_core::history::Mark;
use unship_core::journal::{Direction, Entry, Event, NewMark, Next, Outcome, State, fold};
use unship_core::plan::{HostFacts, Plan, RunKind, Step};
use unship_core::protocol::{Epoch, EpochRecord, Holder, HostReply, HostRequest};
use unship_core::release::{HostName, Release, RunId};

use super::heartbeat::Heartbeat;
use super::observe::{observe, question, unexpected};
use super::step::{Attempt, StepError};
use super::{FlowError, RunReport, resume};
use crate::ports::{Host, Journal, World};

/// A plan with what has to be written down about releases when it starts.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The run's name.
    pub run: RunId,
    /// What will be done.
    pub plan: Plan,
    /// Whose every host was when it was looked at for the plan.
    pub seen: Claims,
    /// Marks to set as soon as the run has the environment.
    pub marks: Vec<(Release, Mark, String)>,
}

/// Executes a new plan. `stop` is looked at between steps: a run that is asked to stop says so in its journal
/// and can be resumed.
pub async fn execute(
    world: &World,
    prepared: Prepared,
    stop: &CancellationToken,
) -> Result<RunReport, FlowError> {
    let holder = Holder {
        run: prepared.run.clone(),
        who: world.target.who.clone(),
        since: world.clock.now(),
        what: prepared.plan.title(),
    };
    world.ledger.acquire(&holder).await?;
    let result = start(world, prepared, holder.clone(), stop).await;
    if result.is_err() {
        // The error is what counts; a lease that cannot be given back expires.
        let _ = world.ledger.release(&holder.run).await;
    }
    result
}

async fn start(
    world: &World,
    prepared: Prepared,
    holder: Holder,
    stop: &CancellationToken,
) -> Result<RunReport, FlowError> {
    // Under the lease, an unfinished run is one that nobody executes.
    if let Some((_, other)) = resume::unfinished(world).await? {
        let Holder { run, what, who, .. } = other.holder;
        return Err(FlowError::Unfinished { run, what, who });
    }
    resume::put_empty_aside(world)?;
    let hosts = observe(world, &prepared.run).await?;
    not_overtaken(&prepared.seen, &hosts)?;
    let epoch = Epoch(highest_epoch(&hosts).0 + 1);
    // The journal before the claim, and then a look at the others': a process that was stopped for longer than its
    // lease sees who came meanwhile, or is seen by them, or is refused by the hosts.
    let mut journal = world.journals.create(&prepared.run)?;
    let marks =
        prepared.marks.into_iter().map(|(release, mark, why)| NewMark { release, mark, why }).collect();
    let event = Event::Started { holder: holder.clone(), epoch, plan: Box::new(prepared.plan), marks };
    let first = Entry { seq: 0, at: holder.since, event };
    journal.append(&first)?;
    let held = match resume::alone(world, &prepared.run) {
        Ok(()) => claim(world, &holder, epoch).await,
        Err(error) => Err(error),
    };
    if let Err(error) = held {
        // Nothing was done, and nobody is to go on with it.
        let event = Event::Finished { outcome: Outcome::WentBack };
        journal.append(&Entry { seq: 1, at: world.clock.now(), event })?;
        unclaim(world, &prepared.run, epoch).await;
        return Err(error);
    }
    Run::new(world, &prepared.run, journal, vec![first])?.go(stop).await
}

/// The epoch records of hosts.
pub type Claims = Vec<(HostName, Option<EpochRecord>)>;

/// Whose every host is.
pub(super) fn claims_of(hosts: &[HostFacts]) -> Claims {
    hosts.iter().map(|facts| (facts.host.clone(), facts.state.epoch.clone())).collect()
}

/// Fails when another run was at a host since it was seen. Whoever waits while another rolls back, and then
/// executes what was planned before, would take a second release back.
pub(super) fn not_overtaken(seen: &Claims, hosts: &[HostFacts]) -> Result<(), FlowError> {
    let changed = claims_of(hosts).into_iter().find(|claim| !seen.contains(claim));
    match changed {
        Some((host, Some(record))) => Err(FlowError::Overtaken { host, holder: Box::new(record.holder) }),
        Some((_, None)) | None => Ok(()),
    }
}

/// The highest epoch that any host knows.
pub(super) fn highest_epoch(hosts: &[HostFacts]) -> Epoch {
    let epochs = hosts.iter().filter_map(|host| host.state.epoch.as_ref()).map(|record| record.epoch);
    epochs.max().unwrap_or(Epoch(0))
}

/// Claims every host for the run. A host that another run claimed meanwhile refuses.
pub(super) async fn claim(world: &World, holder: &Holder, epoch: Epoch) -> Result<(), FlowError> {
    let claims = world.hosts.iter().map(|host| claim_one(host, holder, epoch));
    futures_util::future::try_join_all(claims).await.map(|_| ())
}

async fn claim_one(host: &Host, holder: &Holder, epoch: Epoch) -> Result<(), FlowError> {
    let mut envelope = question(&holder.run, HostRequest::Claim { holder: holder.clone() });
    envelope.epoch = epoch;
    match host.transport.call(envelope).await? {
        HostReply::Done { .. } => Ok(()),
        reply => Err(unexpected(host, reply)),
    }
}

/// Gives the hosts back.
async fn unclaim(world: &World, run: &RunId, epoch: Epoch) {
    for host in &world.hosts {
        let mut envelope = question(run, HostRequest::Unclaim);
        envelope.epoch = epoch;
        if let Err(error) = host.transport.call(envelope).await {
            world.progress.note(&format!("{error}; its claim ends with the next run"));
        }
    }
}

/// A run that is being executed.
pub(super) struct Run<'a> {
    world: &'a World,
    journal: Box<dyn Journal>,
    state: State,
    /// Entries that are on the disk here and not yet in the ledger.
    unsent: Vec<Entry>,
    seq: u64,
    /// Hosts that could not be claimed with the present epoch yet.
    unclaimed: BTreeSet<HostName>,
}

impl<'a> Run<'a> {
    /// A run from its entries so far, all of which are in `journal`.
    pub(super) fn new(
        world: &'a World,
        run: &RunId,
        journal: Box<dyn Journal>,
        entries: Vec<Entry>,
    ) -> Result<Run<'a>, FlowError> {
        let state = fold(&entries)
            .map_err(|error| FlowError::JournalBroken { run: run.clone(), why: error.to_string() })?;
        let seq = entries.last().map_or(0, |entry| entry.seq + 1);
        Ok(Run { world, journal, state, unsent: entries, seq, unclaimed: BTreeSet::new() })
    }

    pub(super) fn run_id(&self) -> RunId {
        self.state.holder.run.clone()
    }

    pub(super) fn title(&self) -> String {
        self.state.plan.title()
    }

    pub(super) fn kind(&self) -> RunKind {
        self.state.plan.kind
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    pub(super) fn next(&self) -> Next {
        self.state.next()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.outcome.is_some()
    }

    pub(super) fn goes_forward(&self) -> bool {
        self.state.direction == Direction::Forward
    }

    /// Makes an event durable, then counts it.
    pub(super) fn write(&mut self, event: Event) -> Result<(), FlowError> {
        let entry = Entry { seq: self.seq, at: self.world.clock.now(), event };
        self.journal.append(&entry)?;
        self.state
            .apply(&entry.event)
            .map_err(|why| FlowError::JournalBroken { run: self.run_id(), why: why.to_owned() })?;
        self.seq += 1;
        self.unsent.push(entry);
        Ok(())
    }

    /// Goes on until the end, a stop, or an error that leaves the run unfinished.
    pub(super) async fn go(self, stop: &CancellationToken) -> Result<RunReport, FlowError> {
        let run = self.run_id();
        self.drive(stop).await.map_err(|why| FlowError::Interrupted { run, why: Box::new(why) })
    }

    async fn drive(mut self, stop: &CancellationToken) -> Result<RunReport, FlowError> {
        let heartbeat = Heartbeat::start(self.world, &self.run_id());
        loop {
            heartbeat.check()?;
            let next = self.state.next();
            if stop.is_cancelled() && matches!(next, Next::Do { .. } | Next::Undo { .. }) {
                self.write(Event::Paused)?;
                self.end().await?;
                return Ok(RunReport::of(&self.state, self.world.clock.now()));
            }
            match next {
                Next::Mark => self.mark()?,
                Next::Do { step, attempt } => self.act(step, attempt).await?,
                Next::Check { step, attempt } => self.check(step, attempt).await?,
                Next::Turn { step } => {
                    let why = self.state.plan.steps.get(step).map(Step::title).unwrap_or_default();
                    self.world.progress.note(&format!("going back, because this failed: {why}"));
                    self.write(Event::Turned { why })?;
                    // A request that arrives late or twice must not arrive after its undo.
                    self.new_epoch().await?;
                }
                Next::Undo { step, attempt } => self.undo(step, attempt).await?,
                Next::Finish(outcome) => self.finish(outcome)?,
                Next::Nothing => {
                    self.end().await?;
                    return Ok(RunReport::of(&self.state, self.world.clock.now()));
                }
            }
        }
    }

    /// Writes down what is still to be said of releases.
    pub(super) fn mark(&mut self) -> Result<(), FlowError> {
        for NewMark { release, mark, why } in self.state.unmarked.clone() {
            self.write(Event::Marked { release, mark, why })?;
        }
        Ok(())
    }

    async fn act(&mut self, step: usize, attempt: u32) -> Result<(), FlowError> {
        let what = self.step(step)?;
        let title = what.title();
        self.world.progress.started(&title);
        self.write(Event::Intent { step, attempt })?;
        let began = Instant::now();
        self.claim_again(&what).await?;
        let mut result = self.attempt(step, attempt).act(&what).await;
        // Without an answer it may have been carried out all the same, which is looked at.
        if matches!(&result, Err(StepError { in_doubt: true, .. }))
            && self.attempt(step, attempt).is_done(&what).await == Ok(true)
        {
            result = Ok(Vec::new());
        }
        match result {
            Ok(actions) => {
                self.write(Event::Done { step, actions })?;
                self.world.progress.done(&title, elapsed_ms(began));
            }
            Err(failed) => {
                self.world.progress.failed(&title, &failed.error);
                self.write(Event::Failed { step, error: failed.error, hint: failed.hint })?;
            }
        }
        Ok(())
    }

    /// An intent without an outcome: looks first, and does the step again only when it is not done.
    async fn check(&mut self, step: usize, attempt: u32) -> Result<(), FlowError> {
        let what = self.step(step)?;
        match self.attempt(step, attempt).is_done(&what).await {
            Ok(true) => {
                self.world.progress.done(&what.title(), 0);
                self.write(Event::Done { step, actions: Vec::new() })
            }
            Ok(false) => self.act(step, attempt + 1).await,
            Err(failed) => {
                self.world.progress.failed(&what.title(), &failed.error);
                self.write(Event::Failed { step, error: failed.error, hint: failed.hint })
            }
        }
    }

    /// Claims every host anew: what was sent before and has not arrived yet is shut out.
    async fn new_epoch(&mut self) -> Result<(), FlowError> {
        let epoch = Epoch(self.state.epoch.0 + 1);
        let holder = self.state.holder.clone();
        // The journal first: if another process has gone on with this run, that epoch is not ours to take.
        self.write(Event::Resumed { holder: holder.clone(), epoch })?;
        for host in &self.world.hosts {
            match claim_one(host, &holder, epoch).await {
                Ok(()) => {
                    self.unclaimed.remove(&host.name);
                }
                Err(error @ FlowError::Refused { .. }) => return Err(error),
                // It is claimed before it is asked for anything again.
                Err(_) => {
                    self.unclaimed.insert(host.name.clone());
                }
            }
        }
        Ok(())
    }

    /// Claims the step's host if that failed before. When it fails again the step will say so.
    async fn claim_again(&mut self, step: &Step) -> Result<(), FlowError> {
        let named = |host: &&Host| Some(&host.name) == step.host() && self.unclaimed.contains(&host.name);
        let Some(host) = self.world.hosts.iter().find(named) else { return Ok(()) };
        match claim_one(host, &self.state.holder, self.state.epoch).await {
            Ok(()) => {
                self.unclaimed.remove(&host.name);
                Ok(())
            }
            Err(error @ FlowError::Refused { .. }) => Err(error),
            Err(_) => Ok(()),
        }
    }

    async fn undo(&mut self, step: usize, attempt: u32) -> Result<(), FlowError> {
        let what = self.step(step)?;
        let title = format!("undo: {}", what.title());
        let Some(undo) = self.state.undo_of(step) else {
            return Ok(());
        };
        self.world.progress.started(&title);
        self.write(Event::UndoIntent { step, attempt })?;
        let began = Instant::now();
        self.claim_again(&what).await?;
        match self.attempt(step, attempt).undo(&undo).await {
            Ok(_) => {
                self.write(Event::Undone { step })?;
                self.world.progress.done(&title, elapsed_ms(began));
            }
            Err(failed) => {
                self.world.progress.failed(&title, &failed.error);
                self.write(Event::UndoFailed { step, error: failed.error })?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), FlowError> {
        if outcome == Outcome::Completed && self.state.plan.kind == RunKind::Deploy {
            let release = self.state.plan.to.clone();
            let why = "every host proved it".to_owned();
            self.write(Event::Marked { release, mark: Mark::Deployed, why })?;
        }
        self.write(Event::Finished { outcome })
    }

    /// Gives hosts and environment back. The journal is on the disk: what the ledger lacks after a failure
    /// here is merged by the next command.
    async fn end(&mut self) -> Result<(), FlowError> {
        unclaim(self.world, &self.run_id(), self.state.epoch).await;
        let run = self.run_id();
        let told = self.world.ledger.append(&run, &self.unsent).await;
        let noticed = resume::tell(self.world, &self.state).await;
        if told.is_ok() && noticed && self.state.outcome.is_some() {
            self.world.journals.close(&run)?;
        }
        let released = self.world.ledger.release(&run).await;
        for error in [told, released].into_iter().filter_map(Result::err) {
            self.world.progress.note(&format!("{error}; this run is in its journal and is merged later"));
        }
        Ok(())
    }

    fn step(&self, step: usize) -> Result<Step, FlowError> {
        self.state.plan.steps.get(step).cloned().ok_or_else(|| FlowError::JournalBroken {
            run: self.run_id(),
            why: format!("it names step {step}, which the plan does not have"),
        })
    }

    fn attempt(&self, step: usize, attempt: u32) -> Attempt<'_> {
        Attempt {
            world: self.world,
            run: &self.state.holder.run,
            epoch: self.state.epoch,
            step,
            number: attempt,
            kind: self.state.plan.kind,
        }
    }
}

fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
