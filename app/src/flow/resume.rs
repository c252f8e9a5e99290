//! Going on with a run that was interrupted, or taking it back.

use tokio_util::sync::CancellationToken;
use unship_core::aftercare::Notice;
use unship_core::journal::{Entry, Event, Next, Outcome, State, fold};
use unship_core::plan::{HostFacts, RunKind};
use unship_core::protocol::{Epoch, Holder};
use unship_core::release::RunId;

use super::observe::observe;
use super::run::{Run, claim, claims_of, not_overtaken};
use super::{FlowError, RunReport};
use crate::ports::{Journal, LedgerError, World};

/// The run that has begun and not ended, if there is one. Runs that ended while the ledger could not be
/// written are merged into it on the way.
pub async fn unfinished(world: &World) -> Result<Option<(Vec<Entry>, State)>, FlowError> {
    for run in world.journals.open_runs()? {
        let Some((entries, state)) = read(world, &run)? else { continue };
        if state.outcome.is_none() {
            return Ok(Some((entries, state)));
        }
        // What cannot be written or told now is, another time.
        let written = world.ledger.append(&run, &entries).await.is_ok();
        if tell(world, &state).await && written {
            world.journals.close(&run)?;
        }
    }
    Ok(None)
}

/// The entries of an open run and what they add up to; none where there is nothing to go by.
fn read(world: &World, run: &RunId) -> Result<Option<(Vec<Entry>, State)>, FlowError> {
    let broken = |why: String| FlowError::JournalBroken { run: run.clone(), why };
    let entries = match world.journals.read(run) {
        Ok(entries) => entries,
        Err(error) if world.target.break_glass => {
            world.progress.note(&format!("{error}; passed over"));
            return Ok(None);
        }
        Err(error) => return Err(broken(error.why)),
    };
    match fold(&entries) {
        Ok(state) => Ok(Some((entries, state))),
        // Before its first entry is on the disk nothing is done. It may be about to write that entry.
        Err(_) if entries.is_empty() => Ok(None),
        Err(error) if world.target.break_glass => {
            world.progress.note(&format!("the journal of run {run} cannot be used: {error}; passed over"));
            Ok(None)
        }
        Err(error) => Err(broken(error.to_string())),
    }
}

/// Tells people of an ended rollback. The journal stays open until that is done, so that it is never lost.
pub(super) async fn tell(world: &World, state: &State) -> bool {
    let (Some(aftercare), Some(notice)) = (&world.aftercare, Notice::of(state)) else {
        return true;
    };
    match aftercare.tell(&notice).await {
        Ok(()) => true,
        Err(failure) => {
            world.progress.note(&failure.message);
            false
        }
    }
}

/// The state of every host while no run is under way: what is seen in the middle of another's run is no ground
/// for a plan. Runs that ended while the ledger could not be written are merged into it first.
pub(super) async fn settled(world: &World, run: &RunId) -> Result<Vec<HostFacts>, FlowError> {
    let mut hosts = observe(world, run).await?;
    if let Some(holder) = world.ledger.holder().await? {
        return Err(LedgerError::Held { holder: Box::new(holder) }.into());
    }
    let ended = hosts.iter().filter_map(|facts| facts.state.epoch.as_ref()).all(|record| record.ended);
    // One host says by itself that nobody is at work. Several are looked at twice, because a run may have come
    // between the first and the last of them. A claim that stays without a holder was left by a process that
    // died.
    if !ended || hosts.len() > 1 {
        let seen = claims_of(&hosts);
        hosts = observe(world, run).await?;
        not_overtaken(&seen, &hosts)?;
    }
    if let Some((_, other)) = unfinished(world).await? {
        let Holder { run, what, who, .. } = other.holder;
        return Err(FlowError::Unfinished { run, what, who });
    }
    Ok(hosts)
}

/// Puts the files of runs aside that died before their first entry. Only under the lease: nobody else is
/// about to write one.
pub(super) fn put_empty_aside(world: &World) -> Result<(), FlowError> {
    for run in world.journals.open_runs()? {
        if world.journals.open(&run)?.1.is_empty() {
            world.journals.close(&run)?;
        }
    }
    Ok(())
}

/// Fails when another run than this one is unfinished, or when this one's journal was put aside: somebody else had
/// the lease since.
pub(super) fn alone(world: &World, own: &RunId) -> Result<(), FlowError> {
    let open = world.journals.open_runs()?;
    for run in open.iter().filter(|run| *run != own) {
        let entries = world.journals.read(run)?;
        let state = fold(&entries);
        if let Ok(State { outcome: None, holder: Holder { run, what, who, .. }, .. }) = state {
            return Err(FlowError::Unfinished { run, what, who });
        }
    }
    if open.contains(own) { Ok(()) } else { Err(LedgerError::Lost { run: own.clone() }.into()) }
}

/// Goes on with the unfinished run, from its journal, under a new epoch.
pub async fn resume(world: &World, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    let (run, _) = take_over(world).await?;
    let name = run.run_id();
    given_back(world, &name, run.go(stop).await).await
}

/// Ends the unfinished run: a deploy is taken back; a rollback is left where it is, because the way back
/// would lead to the bad release.
pub async fn abort(world: &World, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    let (run, kind) = take_over(world).await?;
    let name = run.run_id();
    given_back(world, &name, end(run, kind, stop).await).await
}

async fn end(mut run: Run<'_>, kind: RunKind, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    match kind {
        RunKind::Deploy if run.goes_forward() => run.write(Event::Turned { why: "aborted".into() })?,
        RunKind::Deploy => {}
        RunKind::Rollback => {
            // The release was taken for bad, however far the run came.
            run.mark()?;
            // One that only had its end to write has nothing to be left at.
            if !matches!(run.next(), Next::Finish(_)) {
                run.write(Event::Finished { outcome: Outcome::Partial })?;
            }
        }
    }
    run.go(stop).await
}

/// Gives the lease back after an error; a run that ended did so itself.
async fn given_back<T>(world: &World, run: &RunId, result: Result<T, FlowError>) -> Result<T, FlowError> {
    if result.is_err() {
        // The error is what counts; a lease that cannot be given back expires.
        let _ = world.ledger.release(run).await;
    }
    result
}

async fn take_over(world: &World) -> Result<(Run<'_>, RunKind), FlowError> {
    let name = match unfinished(world).await? {
        Some((_, state)) => state.holder.run,
        None => return Err(FlowError::NothingToResume),
    };
    let mut holder = Holder {
        run: name.clone(),
        who: world.target.who.clone(),
        since: world.clock.now(),
        what: "resume".into(),
    };
    world.ledger.acquire(&holder).await?;
    given_back(world, &name, reopen(world, &name, &mut holder).await).await
}

async fn reopen<'a>(
    world: &'a World,
    name: &RunId,
    holder: &mut Holder,
) -> Result<(Run<'a>, RunKind), FlowError> {
    // Read again under the lease: whoever had it may have gone on, or ended the run.
    let (journal, entries): (Box<dyn Journal>, Vec<Entry>) = world.journals.open(name)?;
    let mut run = Run::new(world, name, journal, entries)?;
    if run.has_ended() {
        return Err(FlowError::NothingToResume);
    }
    holder.what = run.title();
    let hosts = observe(world, name).await?;
    let seen = hosts.iter().filter_map(|host| host.state.epoch.as_ref()).map(|record| record.epoch).max();
    let epoch = Epoch(seen.unwrap_or(Epoch(0)).max(run.epoch()).0 + 1);
    claim(world, holder, epoch).await?;
    run.write(Event::Resumed { holder: holder.clone(), epoch })?;
    let kind = run.kind();
    Ok((run, kind))
}
