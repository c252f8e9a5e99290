//! Asks the service all the time while a run acts, as a client would, so that the report of the run shows what clients
//! felt. It decides nothing, and nothing waits for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use unship_core::journal::{Beat, Pulse};
use unship_core::release::HostName;

use crate::ports::{Prober, World};

/// The wait between an answer and the next question at first. It doubles whenever a host has as many beats as are kept.
const EVERY: Duration = Duration::from_millis(50);

/// How many beats of a host are kept: as many as a chart shows. When there are more, every second one goes.
const BEATS_MAX: usize = 240;

/// How many hosts are asked: what is felt at these is felt at the others.
const HOSTS_MAX: usize = 20;

type Shared = Arc<Mutex<Vec<Beat>>>;

/// Asks until it is stopped or dropped.
pub(super) struct Watch {
    hosts: Vec<(HostName, Shared)>,
    _tasks: JoinSet<()>,
}

impl Watch {
    pub(super) fn start(world: &World, without: &BTreeSet<HostName>) -> Watch {
        let mut tasks = JoinSet::new();
        let mut hosts = Vec::new();
        for host in world.hosts.iter().filter(|host| !without.contains(&host.name)).take(HOSTS_MAX) {
            let beats = Shared::default();
            tasks.spawn(ask(Arc::clone(&world.prober), host.name.clone(), Arc::clone(&beats)));
            hosts.push((host.name.clone(), beats));
        }
        Watch { hosts, _tasks: tasks }
    }

    /// What was felt; hosts that cannot be asked are left out.
    pub(super) fn stop(self) -> Vec<Pulse> {
        let taken = self.hosts.into_iter().map(|(host, beats)| {
            let beats = std::mem::take(&mut *beats.lock().unwrap_or_else(PoisonError::into_inner));
            Pulse { host, beats }
        });
        taken.filter(|pulse| !pulse.beats.is_empty()).collect()
    }
}

async fn ask(prober: Arc<dyn Prober>, host: HostName, beats: Shared) {
    let began = Instant::now();
    let mut every = EVERY;
    loop {
        let at_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(answered) = prober.beat(&host).await else { return };
        let took_us = answered.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if keep(&mut beats.lock().unwrap_or_else(PoisonError::into_inner), Beat { at_ms, took_us }) {
            every *= 2;
        }
        tokio::time::sleep(every).await;
    }
}

/// Adds a beat; whether there were too many, so that every second one is gone. One without an answer stays for a
/// neighbour that had one: what was missed is what matters.
fn keep(beats: &mut Vec<Beat>, beat: Beat) -> bool {
    beats.push(beat);
    if beats.len() <= BEATS_MAX {
        return false;
    }
    let thinned = beats
        .chunks(2)
        .filter_map(|pair| pair.iter().find(|beat| beat.took_us.is_none()).or(pair.first()).copied());
    *beats = thinned.collect();
    true
}

#[cfg(test)]
mod tests;
