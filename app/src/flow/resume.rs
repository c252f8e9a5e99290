//! Going on with a run that was interrupted, or taking it back.

use tokio_util::sync::CancellationToken;
use unship_core::journal::{Entry, Event, Outcome, State, fold};
use unship_core::plan::RunKind;
use unship_core::protocol::{Epoch, Holder};
use unship_core::release::RunId;

use super::observe::observe;
use super::run::{Run, claim};
use super::{FlowError, RunReport};
use crate::ports::{Journal, World};

/// The run that has begun and not ended, if there is one. Runs that ended while the ledger could not be
/// written are merged into it on the way.
pub async fn unfinished(world: &World) -> Result<Option<(Vec<Entry>, State)>, FlowError> {
    for run in world.journals.open_runs()? {
        let (_, entries) = world.journals.open(&run)?;
        let state = match fold(&entries) {
            Ok(state) => state,
            // Died before its first entry was on the disk: nothing was done.
            Err(_) if entries.is_empty() => {
                world.journals.close(&run)?;
                continue;
            }
            Err(error) => return Err(FlowError::JournalBroken { run, why: error.to_string() }),
        };
        if state.outcome.is_none() {
            return Ok(Some((entries, state)));
        }
        // A ledger that cannot be written gets it another time.
        if world.ledger.append(&run, &entries).await.is_ok() {
            world.journals.close(&run)?;
        }
    }
    Ok(None)
}

/// Goes on with the unfinished run, from its journal, under a new epoch.
pub async fn resume(world: &World, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    let (run, _) = take_over(world).await?;
    run.go(stop).await
}

/// Ends the unfinished run: a deploy is taken back; a rollback is left where it is, because the way back
/// would lead to the bad release.
pub async fn abort(world: &World, stop: &CancellationToken) -> Result<RunReport, FlowError> {
    let (mut run, kind) = take_over(world).await?;
    match kind {
        RunKind::Deploy if run.goes_forward() => run.write(Event::Turned { why: "aborted".into() })?,
        RunKind::Deploy => {}
        RunKind::Rollback => {
            // The release was taken for bad, however far the run came.
            run.mark()?;
            run.write(Event::Finished { outcome: Outcome::Partial })?;
        }
    }
    run.go(stop).await
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
    let result = reopen(world, &name, &mut holder).await;
    if result.is_err() {
        // The error is what counts; a lease that cannot be given back expires.
        let _ = world.ledger.release(&name).await;
    }
    result
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
