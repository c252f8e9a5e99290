//! Executes a plan: lease, epoch, then step by step, each intent on the disk before the act.
//!
//! The loop knows nothing of step kinds or of deploy and rollback: [`State::next`] says what may be begun now, a
//! [`Job`] does each piece of it beside the others, the journal makes intents and outcomes durable. A run that was interrupted is executed by the same
//! loop, from its journal.

use std::collections::BTreeSet;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use unship_core::decision::Decided;
use unship_core::history::Mark;
use unship_core::journal::{Direction, Entry, Event, NewMark, Next, Outcome, State, Task, Work, fold};
use unship_core::plan::{Plan, RunKind, Step};
use unship_core::protocol::{Epoch, Holder};
use unship_core::release::{HostName, Release, RunId};

use super::claims::{Claims, Unclaimed, claim, highest_epoch, must_be_above, not_overtaken, unclaim, whose};
use super::heartbeat::Heartbeat;
use super::pulse::Watch;
use super::work::{Came, End, Job};
use super::{FlowError, RunReport, resume};
use crate::ports::{Journal, LedgerError, World};

/// A plan with what has to be written down about releases when it starts.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The run's name.
    pub run: RunId,
    /// What will be done.
    pub plan: Plan,
    /// Whose every host was when it was looked at for the plan.
    pub seen: Claims,
    /// What was decided, for the record; a deploy decides nothing.
    pub decided: Option<Decided>,
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
    // Asked for while the plan was made or read: nothing is to be gone on with.
    if stop.is_cancelled() {
        return Err(FlowError::NotBegun);
    }
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
    let (claims, _) = whose(world, &prepared.run).await?;
    not_overtaken(&prepared.seen, &claims)?;
    let epoch = Epoch(highest_epoch(&claims).0 + 1);
    let without: BTreeSet<HostName> =
        prepared.plan.without.iter().map(|missing| missing.host.clone()).collect();
    let kind = prepared.plan.kind;
    // The journal before the claim, and then a look at the others': a process that was stopped for longer than its
    // lease sees who came meanwhile, or is seen by them, or is refused by the hosts.
    let mut journal = world.journals.create(&prepared.run)?;
    let marks =
        prepared.marks.into_iter().map(|(release, mark, why)| NewMark { release, mark, why }).collect();
    let decided = prepared.decided.map(Box::new);
    let event =
        Event::Started { holder: holder.clone(), epoch, plan: Box::new(prepared.plan), marks, decided };
    let first = Entry { seq: 0, at: holder.since, event };
    journal.append(&first)?;
    let of_plan = || world.hosts.iter().filter(|host| !without.contains(&host.name));
    let claimed = match resume::alone(world, &prepared.run) {
        Ok(()) => claim(of_plan(), &holder, epoch).await,
        Err(error) => Err(error),
    };
    let claimed = claimed.and_then(|unclaimed| may_begin(kind, of_plan().count(), unclaimed));
    match claimed {
        Ok(unclaimed) => {
            let mut run = Run::new(world, &prepared.run, journal, vec![first])?;
            run.unclaimed = unclaimed;
            run.go(stop).await
        }
        Err(error) => {
            // Nothing was done, and nobody is to go on with it.
            let event = Event::Finished { outcome: Outcome::WentBack, pulses: Vec::new() };
            journal.append(&Entry { seq: 1, at: world.clock.now(), event })?;
            unclaim(world, &prepared.run, epoch, &without).await;
            Err(error)
        }
    }
}

/// Whether a run may begin although some of the plan's hosts could not be claimed; those that could not. What
/// brings something out needs all of them. What contains or takes back goes on with those that are there.
fn may_begin(kind: RunKind, hosts: usize, unclaimed: Unclaimed) -> Result<BTreeSet<HostName>, FlowError> {
    let goes_on = matches!(kind, RunKind::Rollback | RunKind::Hold) && unclaimed.len() < hosts;
    let mut names = BTreeSet::new();
    for (host, error) in unclaimed {
        if !goes_on {
            return Err(error);
        }
        names.insert(host);
    }
    Ok(names)
}

/// How many pieces of work are under way at the same time, whatever the plan's waves say.
const PARALLEL_MAX: usize = 64;

/// A run that is being executed.
pub(super) struct Run<'a> {
    world: &'a World,
    journal: Box<dyn Journal>,
    state: State,
    /// Entries that are on the disk here and not yet in the ledger.
    unsent: Vec<Entry>,
    seq: u64,
    /// Hosts that could not be claimed with the present epoch yet.
    pub(super) unclaimed: BTreeSet<HostName>,
    /// The steps that this process works at.
    running: BTreeSet<usize>,
    /// A host has seen this epoch: the run needs a higher one, as soon as nothing is under way.
    behind: Option<Epoch>,
    /// Asks the service meanwhile; none for runs that flip nothing.
    watch: Option<Watch>,
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
        let (unclaimed, running) = (BTreeSet::new(), BTreeSet::new());
        Ok(Run { world, journal, state, unsent: entries, seq, unclaimed, running, behind: None, watch: None })
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

    /// The hosts that the plan goes on without.
    pub(super) fn without(&self) -> BTreeSet<HostName> {
        self.state.plan.without.iter().map(|missing| missing.host.clone()).collect()
    }

    pub(super) fn next(&self) -> Next {
        self.state.next(&self.running)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state.outcome.is_some()
    }

    pub(super) fn may_be_taken_back(&self) -> bool {
        self.state.may_be_taken_back()
    }

    pub(super) fn goes_forward(&self) -> bool {
        self.state.direction == Direction::Forward
    }

    /// Makes an event durable, then counts it.
    pub(super) fn write(&mut self, event: Event) -> Result<(), FlowError> {
        let entry = Entry { seq: self.seq, at: self.world.clock.now(), event };
        self.journal.append(&entry)?;
        self.state
            .add(&entry)
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
        if matches!(self.kind(), RunKind::Rollback | RunKind::Deploy) {
            self.watch = Some(Watch::start(self.world, &self.without()));
        }
        let mut jobs = JoinSet::new();
        let driven = self.until_end(&heartbeat, &mut jobs, stop).await;
        // Whatever keeps the run from going on: what is under way comes to its end and is never dropped.
        while let Some(ended) = jobs.join_next().await {
            came_of(ended).await;
        }
        driven?;
        // Giving everything back is no part of it: what is said here is what the journal says.
        let ended_at = self.world.clock.now();
        self.end().await?;
        Ok(RunReport::of(&self.state, ended_at))
    }

    /// Goes on until nothing is left to do, or until it was asked to stop and nothing is under way.
    async fn until_end(
        &mut self,
        heartbeat: &Heartbeat,
        jobs: &mut JoinSet<Came>,
        stop: &CancellationToken,
    ) -> Result<(), FlowError> {
        loop {
            heartbeat.check()?;
            let next = match self.behind {
                Some(_) if !self.running.is_empty() => Next::Wait,
                Some(above) => {
                    self.new_epoch(above).await?;
                    continue;
                }
                None => self.next(),
            };
            let stopping = stop.is_cancelled();
            match next {
                Next::Mark => self.mark()?,
                Next::Begin(_) if stopping && self.running.is_empty() => {
                    return self.write(Event::Paused);
                }
                Next::Begin(work) if !stopping && self.running.len() < PARALLEL_MAX => {
                    for work in work.into_iter().take(PARALLEL_MAX - self.running.len()) {
                        self.begin(work, jobs)?;
                    }
                }
                Next::Begin(_) | Next::Wait => {
                    if let Some(ended) = jobs.join_next().await {
                        let came = came_of(ended).await;
                        self.came(came, jobs, stopping)?;
                    }
                }
                Next::Turn { step } => {
                    let why = self.state.plan.step(step).map(Step::title).unwrap_or_default();
                    self.world.progress.note(&format!("going back, because this failed: {why}"));
                    self.write(Event::Turned { why })?;
                    // A request that arrives late or twice must not arrive after its undo.
                    self.new_epoch(self.state.epoch).await?;
                }
                Next::Finish(outcome) => self.finish(outcome)?,
                // Whoever goes on says which way.
                Next::Halt => return self.write(Event::Halted),
                Next::Nothing => return Ok(()),
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

    /// Writes the intent, where the work is more than a look, and begins.
    fn begin(&mut self, work: Work, jobs: &mut JoinSet<Came>) -> Result<(), FlowError> {
        let Work { step: index, attempt, task } = work;
        let step = self.step(index)?;
        match task {
            Task::Do => {
                self.world.progress.started(&title_of(&step, task));
                self.write(Event::Intent { step: index, attempt })?;
            }
            Task::Check => {}
            Task::Undo => {
                self.world.progress.started(&title_of(&step, task));
                self.write(Event::UndoIntent { step: index, attempt })?;
            }
        }
        let job = Job {
            world: self.world.clone(),
            holder: self.state.holder.clone(),
            epoch: self.state.epoch,
            kind: self.state.plan.kind,
            replaced: replaced(&self.state.plan).to_vec(),
            work,
            undo: self.state.undo_of(index),
            unclaimed: step.host().is_some_and(|host| self.unclaimed.contains(host)),
            step,
        };
        self.running.insert(index);
        jobs.spawn(job.run());
        Ok(())
    }

    /// Writes down what came of a piece of work.
    fn came(&mut self, came: Came, jobs: &mut JoinSet<Came>, stopping: bool) -> Result<(), FlowError> {
        let Came { work: Work { step, attempt, task }, step: what, took_ms, claimed, end } = came;
        self.running.remove(&step);
        if let (true, Some(host)) = (claimed, what.host()) {
            self.unclaimed.remove(host);
        }
        let title = title_of(&what, task);
        match (end, task) {
            (End::Done(_), Task::Undo) => {
                self.write(Event::Undone { step })?;
                self.world.progress.done(&title, took_ms);
            }
            (End::Done(actions), _) => {
                self.write(Event::Done { step, actions })?;
                self.world.progress.done(&title, took_ms);
            }
            (End::Failed(failed), Task::Undo) => {
                self.world.progress.failed(&title, &failed.error);
                self.write(Event::UndoFailed { step, error: failed.error })?;
            }
            (End::Failed(failed), _) => {
                self.world.progress.failed(&title, &failed.error);
                self.write(Event::Failed { step, error: failed.error, hint: failed.hint })?;
            }
            // It is done again, unless something came between for which nothing more may be begun.
            (End::NotDone, _) => {
                let wanted = |next| match next {
                    Next::Begin(work) => work.iter().any(|work| work.step == step),
                    _ => false,
                };
                if !stopping && wanted(self.next()) {
                    self.begin(Work { step, attempt: attempt + 1, task: Task::Do }, jobs)?;
                }
            }
            (End::Behind(epoch), _) => self.behind = self.behind.max(Some(epoch)),
            (End::Fatal(error), _) => return Err(error),
        }
        Ok(())
    }

    /// Claims every host anew, with an epoch above the run's and `above`: what was sent before and has not arrived
    /// yet is shut out.
    async fn new_epoch(&mut self, above: Epoch) -> Result<(), FlowError> {
        let mut above = above.max(self.state.epoch);
        let holder = self.state.holder.clone();
        let without = self.without();
        // Every host can be behind which another one was.
        for _ in 0..=self.world.hosts.len() {
            let epoch = Epoch(above.0 + 1);
            // The journal first: if another process has gone on with this run, that epoch is not ours to take.
            self.write(Event::Resumed { holder: holder.clone(), epoch })?;
            let hosts = self.world.hosts.iter().filter(|host| !without.contains(&host.name));
            match claim(hosts, &holder, epoch).await {
                // Those are claimed before they are asked for anything again.
                Ok(unclaimed) => {
                    self.unclaimed = unclaimed.into_iter().map(|(host, _)| host).collect();
                    self.behind = None;
                    return Ok(());
                }
                Err(error) => above = must_be_above(&error).ok_or(error)?.max(epoch),
            }
        }
        Err(LedgerError::Lost { run: self.run_id() }.into())
    }

    fn finish(&mut self, outcome: Outcome) -> Result<(), FlowError> {
        let release = self.state.plan.to.clone();
        let went_forward = matches!(outcome, Outcome::Completed | Outcome::Partial);
        match self.state.plan.kind {
            RunKind::Deploy if went_forward && self.state.all_done() => {
                let without = &self.state.plan.without;
                let without: Vec<&str> = without.iter().map(|missing| missing.host.as_str()).collect();
                let why = match without.as_slice() {
                    [] => "every host proved it".to_owned(),
                    some => format!("every host proved it but {}", some.join(", ")),
                };
                self.write(Event::Marked { release, mark: Mark::Deployed, why })?;
            }
            RunKind::Adopt if outcome == Outcome::Completed => {
                let release = self.state.plan.to.clone();
                let why = "it served when it was taken over, and every host proved it".to_owned();
                self.write(Event::Marked { release, mark: Mark::Deployed, why })?;
            }
            // What serves again, or was never kept from it, is not bad for having been held.
            RunKind::ReleaseHold if went_forward => {
                let why = format!("released from its hold: {}", self.state.plan.reason);
                self.write(Event::Marked { release, mark: Mark::Lifted, why })?;
            }
            // Somebody may have taken the release from the hold back when it was said to be over.
            RunKind::ReleaseHold => {
                let why = "held again".to_owned();
                self.write(Event::Marked { release, mark: Mark::Bad, why })?;
            }
            RunKind::Rollback if !went_forward => {
                let why = "its rollback was taken back".to_owned();
                if let Some(release) = self.state.plan.from.clone() {
                    self.write(Event::Marked { release, mark: Mark::Lifted, why })?;
                }
            }
            RunKind::Hold if !went_forward => {
                let why = "its hold was taken back".to_owned();
                self.write(Event::Marked { release, mark: Mark::Lifted, why })?;
            }
            _ => {}
        }
        let pulses = self.watch.take().map(Watch::stop).unwrap_or_default();
        self.write(Event::Finished { outcome, pulses })
    }

    /// Gives hosts and environment back. The journal is on the disk: what the ledger lacks after a failure
    /// here is merged by the next command.
    async fn end(&mut self) -> Result<(), FlowError> {
        let passed_over = self.without().union(&self.unclaimed).cloned().collect();
        let run = self.run_id();
        let given_back = unclaim(self.world, &run, self.state.epoch, &passed_over);
        let told = self.world.ledger.append(&run, &self.unsent);
        let ((), told) = futures_util::future::join(given_back, told).await;
        let noticed = resume::tell(self.world, &self.state, &self.unsent).await;
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
        self.state.plan.step(step).cloned().ok_or_else(|| FlowError::JournalBroken {
            run: self.run_id(),
            why: format!("it names step {step}, which the plan does not have"),
        })
    }
}

/// What came of a task; what it panicked with goes on here.
async fn came_of(ended: Result<Came, JoinError>) -> Came {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(came) => came,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Only the end of the whole process cancels a task, and then nobody waits for this any more.
        Err(Err(_)) => std::future::pending().await,
    }
}

fn title_of(step: &Step, task: Task) -> String {
    match task {
        Task::Do | Task::Check => step.title(),
        Task::Undo => format!("undo: {}", step.title()),
    }
}

/// What a deploy command of the plan has to have replaced.
fn replaced(plan: &Plan) -> &[String] {
    let replaces = plan.steps().find_map(|step| match step {
        Step::Command { replaces, .. } => Some(replaces.as_slice()),
        _ => None,
    });
    replaces.unwrap_or_default()
}
