//! Going on with a run that was interrupted, or taking it back.

use tokio_util::sync::CancellationToken;
use unship_core::aftercare::Notice;
use unship_core::journal::{Entry, Event, Next, Outcome, State, fold};
use unship_core::plan::{HostFacts, MissingHost, RunKind};
use unship_core::protocol::{Epoch, Holder};
use unship_core::release::{HostName, RunId};

use super::claims::{Claims, claim, claims_of, highest_epoch, must_be_above, not_overtaken, whose};
use super::observe::{Fleet, look};
use super::run::Run;
use super::{FlowError, RunReport};
use crate::ports::{Host, Journal, LedgerError, World};

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
        if tell(world, &state, &entries).await && written {
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
pub(super) async fn tell(world: &World, state: &State, entries: &[Entry]) -> bool {
    let Some(aftercare) = &world.aftercare else { return true };
    let mut told = true;
    for notice in Notice::all(state, entries) {
        if let Err(failure) = aftercare.tell(&notice).await {
            world.progress.note(&failure.message);
            told = false;
        }
    }
    told
}

/// The state of every host while no run is under way: what is seen in the middle of another's run is no ground
/// for a plan. Runs that ended while the ledger could not be written are merged into it first.
pub(super) async fn settled(world: &World, run: &RunId) -> Result<Fleet, FlowError> {
    let mut fleet = look(world, run).await?;
    if let Some(holder) = world.ledger.holder().await? {
        return Err(LedgerError::Held { holder: Box::new(holder) }.into());
    }
    let ended = fleet.hosts.iter().filter_map(|facts| facts.state.epoch.as_ref()).all(|record| record.ended);
    // One host says by itself that nobody is at work. Several are asked again whose they are, because a run may have
    // come between the first and the last of them.
    if !ended || fleet.hosts.len() > 1 {
        let seen = claims_of(&fleet.hosts);
        // A claim that stays without a holder was left by a process that died, and its last request with it: that may
        // have come to its end only now.
        let later = if ended { None } else { Some(look(world, run).await?) };
        let (claims, missing) = match &later {
            Some(later) => (claims_of(&later.hosts), later.missing.clone()),
            None => whose(world, run).await?,
        };
        not_overtaken(&seen, &claims)?;
        let of = |claims: &Claims, name: &HostName| claims.iter().any(|(host, _)| host == name);
        // One that answered only the second time may have had a run while it was not looked at.
        let late = claims.iter().filter(|(host, _)| !of(&seen, host)).map(|(host, _)| MissingHost {
            host: host.clone(),
            why: "it answered only when it was asked again".into(),
        });
        let both = |facts: &HostFacts| of(&seen, &facts.host) && of(&claims, &facts.host);
        let hosts = later.map_or(fleet.hosts, |later| later.hosts).into_iter().filter(both).collect();
        fleet = Fleet { hosts, missing: missing.into_iter().chain(late).collect() };
        if fleet.hosts.is_empty() {
            return Err(FlowError::HostsMissing { hosts: fleet.missing });
        }
    }
    if let Some((_, other)) = unfinished(world).await? {
        let Holder { run, what, who, .. } = other.holder;
        return Err(FlowError::Unfinished { run, what, who });
    }
    Ok(fleet)
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

/// Which way an unfinished run is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To where it was going.
    On,
    /// To where it began: a rollback lets the release serve again that it took back, on the schema that it needs.
    Back,
}

/// Goes on with the unfinished run, from its journal, under a new epoch.
pub async fn resume(world: &World, way: Way, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    let (run, _) = take_over(world).await?;
    let name = run.run_id();
    given_back(world, &name, go(run, way, stop).await).await
}

async fn go(mut run: Run<'_>, way: Way, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    if way == Way::Back && run.goes_forward() {
        if !run.may_be_taken_back() {
            return Err(FlowError::NoWayBack { run: run.run_id(), what: run.title() });
        }
        // What it was to say first it says first, so that it can be taken back.
        run.mark()?;
        run.write(Event::Turned { why: "the operator takes it back".into() })?;
    }
    run.go(stop).await
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
        RunKind::Deploy | RunKind::Hold | RunKind::ReleaseHold if run.goes_forward() => {
            run.write(Event::Turned { why: "aborted".into() })?;
        }
        RunKind::Deploy | RunKind::Hold | RunKind::ReleaseHold => {}
        // What was turned off stays off, and is set back with a run of its own.
        RunKind::Rollback | RunKind::Adopt | RunKind::Flags => {
            // The release was taken for bad, however far the run came.
            run.mark()?;
            // One that only had its end to write has nothing to be left at.
            if !matches!(run.next(), Next::Finish(_)) {
                run.write(Event::Finished { outcome: Outcome::Partial, pulses: Vec::new() })?;
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
    // A host that is away is claimed when it is asked for something; its steps fail until then.
    let (claims, _) = whose(world, name).await?;
    let mut above = highest_epoch(&claims).max(run.epoch());
    let without = run.without();
    let answering = || {
        world
            .hosts
            .iter()
            .filter(|host| !without.contains(&host.name))
            .filter(|host| claims.iter().any(|(name, _)| *name == host.name))
    };
    let mut unclaimed = None;
    for _ in 0..=world.hosts.len() {
        let epoch = Epoch(above.0 + 1);
        match claim(answering(), holder, epoch).await {
            Ok(failed) => {
                unclaimed = Some((epoch, failed));
                break;
            }
            Err(error) => above = must_be_above(&error).ok_or(error)?.max(epoch),
        }
    }
    let Some((epoch, failed)) = unclaimed else { return Err(LedgerError::Lost { run: name.clone() }.into()) };
    run.write(Event::Resumed { holder: holder.clone(), epoch })?;
    let claimed = |host: &&Host| {
        answering().any(|other| other.name == host.name) && !failed.iter().any(|(name, _)| *name == host.name)
    };
    run.unclaimed = world.hosts.iter().filter(|host| !claimed(host)).map(|host| host.name.clone()).collect();
    let kind = run.kind();
    Ok((run, kind))
}
