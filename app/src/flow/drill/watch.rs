//! Looks at the host all the time, and waits until the failure shows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use unship_core::protocol::{HostReply, HostRequest};
use unship_core::release::{Release, RunId};
use unship_core::time::Timestamp;

use super::{Drill, DrillError, LOOK_EVERY, Lives, Seen};
use crate::flow::observe::question;
use crate::load::{Load, Outcome};
use crate::ports::World;
use crate::ports::{Clock, Host};

/// A status has to be seen over this time.
const RECENT: Duration = Duration::from_secs(1);
/// And on at least so many requests.
const RECENT_MIN: usize = 10;

/// Asks a host what it runs, again and again, until it is stopped.
pub(super) struct Watch {
    lives: Arc<Mutex<Lives>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(host: Host, world: &World) -> Watch {
        let clock = Arc::clone(&world.clock);
        let lives = Arc::new(Mutex::new(Lives::default()));
        let stop = CancellationToken::new();
        let (seen, stopped) = (Arc::clone(&lives), stop.clone());
        let task = tokio::spawn(async move {
            let run: RunId = "drill-watch".parse().expect("a run's name");
            while !stopped.is_cancelled() {
                look(&host, &run, clock.as_ref(), &seen).await;
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            // The last look comes after the last request: an end that it missed would be ours to explain.
            look(&host, &run, clock.as_ref(), &seen).await;
        });
        Watch { lives, stop, task }
    }

    /// What was seen so far.
    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once more, and hands out everything.
    pub(super) async fn stop(self) -> Lives {
        self.stop.cancel();
        let _ = self.task.await;
        std::mem::take(&mut *self.lives.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One look. A host that does not answer is asked again soon; what was missed is nobody's excuse.
async fn look(host: &Host, run: &RunId, clock: &dyn Clock, lives: &Mutex<Lives>) {
    let asked_at = clock.now();
    if let Ok(HostReply::Observed { state }) = host.transport.call(question(run, HostRequest::Observe)).await
    {
        lives.lock().unwrap_or_else(PoisonError::into_inner).see(asked_at, &state);
    }
}

/// Waits until the scenario's failure shows, its time is up, or the operator stops the drill. What was seen.
pub(super) async fn wait(
    drill: &Drill<'_>,
    watch: &Watch,
    load: &Load,
    bad: &Release,
    deployed_at: Timestamp,
) -> Result<String, DrillError> {
    let scenario = drill.scenario;
    let until = Instant::now() + Duration::from_millis(scenario.seen_within_ms);
    loop {
        let look = look_for(drill, watch, load, bad, deployed_at).await;
        let instead = match look {
            Ok(seen) => return Ok(seen),
            Err(instead) => instead,
        };
        if Instant::now() >= until {
            return Err(DrillError::NotSeen {
                what: scenario.seen.words(),
                within_ms: scenario.seen_within_ms,
                instead,
            });
        }
        tokio::select! {
            () = drill.stop.cancelled() => return Err(DrillError::Stopped),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Waits until the failure shows no more: not once over the time that it was seen over.
pub(super) async fn gone(
    drill: &Drill<'_>,
    load: &Load,
    bad: &Release,
) -> Result<Result<(), String>, DrillError> {
    let until = Instant::now() + Duration::from_millis(drill.scenario.seen_within_ms);
    loop {
        let found = match &drill.scenario.seen {
            Seen::Status { status, .. } => {
                let (all, with) = recent(load, *status);
                if all >= RECENT_MIN && with == 0 {
                    Ok(())
                } else {
                    Err(format!("status {status} for {with} of the last {all} requests"))
                }
            }
            Seen::SmokeFails => {
                drill.world.commands.smoke(bad).await.map(|_| ()).map_err(|error| error.message)
            }
            Seen::CheckFails { command } => match drill.stage.complaint(command, bad).await {
                Ok(None) => Ok(()),
                Ok(Some(complaint)) => Err(complaint),
                Err(error) => Err(error.message),
            },
            // What has ended cannot be undone; the configuration refuses it.
            Seen::Restarts { .. } => Err("restarts cannot be seen to be gone".into()),
        };
        if found.is_ok() || Instant::now() >= until {
            return Ok(found);
        }
        tokio::select! {
            () = drill.stop.cancelled() => return Err(DrillError::Stopped),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Of the last second's requests: how many there were, and how many had the status.
fn recent(load: &Load, status: u16) -> (usize, usize) {
    let since = load.now_us().saturating_sub(u64::try_from(RECENT.as_micros()).unwrap_or(u64::MAX));
    let (mut all, mut with) = (0, 0);
    for sample in load.samples_since(since) {
        all += 1;
        with += usize::from(sample.outcome == Outcome::Status(status));
    }
    (all, with)
}

/// The failure as it shows, or what shows instead.
async fn look_for(
    drill: &Drill<'_>,
    watch: &Watch,
    load: &Load,
    bad: &Release,
    deployed_at: Timestamp,
) -> Result<String, String> {
    match &drill.scenario.seen {
        Seen::Restarts { count } => {
            let restarts = watch.lives().ended_by_themselves(&bad.digest, deployed_at);
            let words = format!("{restarts} restarts");
            if restarts >= *count { Ok(words) } else { Err(words) }
        }
        Seen::Status { status, share } => {
            let (all, with) = recent(load, *status);
            // A service of a few thousand requests a second: far from where doubles lose count.
            #[allow(clippy::cast_precision_loss)]
            let part = with as f64 / all.max(1) as f64;
            let words = format!("status {status} for {with} of the last {all} requests");
            if all >= RECENT_MIN && part >= *share { Ok(words) } else { Err(words) }
        }
        Seen::SmokeFails => match drill.world.commands.smoke(bad).await {
            Ok(_) => Err("the smoke test passes".into()),
            Err(error) => Ok(error.message),
        },
        Seen::CheckFails { command } => match drill.stage.complaint(command, bad).await {
            Ok(Some(complaint)) => Ok(complaint),
            Ok(None) => Err("it passes".into()),
            Err(error) => Err(error.message),
        },
    }
}
