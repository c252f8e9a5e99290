//! Asking hosts, and what their answers mean for a flow.

use unship_core::plan::HostFacts;
use unship_core::protocol::{
    Envelope, Epoch, HostReply, HostRequest, HostState, InstanceState, PROTOCOL_VERSION,
};
use unship_core::release::{Release, RunId};

use super::FlowError;
use crate::ports::{Host, World};

/// An envelope for a question outside any run.
pub(super) fn question(run: &RunId, request: HostRequest) -> Envelope {
    Envelope { version: PROTOCOL_VERSION, run: run.clone(), step: 0, attempt: 1, epoch: Epoch(0), request }
}

/// The state of every host, asked at the same time.
pub(super) async fn observe(world: &World, run: &RunId) -> Result<Vec<HostFacts>, FlowError> {
    let asked = world.hosts.iter().map(|host| observe_one(host, run));
    futures_util::future::try_join_all(asked).await
}

async fn observe_one(host: &Host, run: &RunId) -> Result<HostFacts, FlowError> {
    match host.transport.call(question(run, HostRequest::Observe)).await? {
        HostReply::Observed { state } => Ok(HostFacts { host: host.name.clone(), state: *state }),
        reply => Err(unexpected(host, reply)),
    }
}

/// Has every host that stores the release read all of its files. What was altered on disk is found out before
/// anything is changed, and the activation later needs no second reading.
pub(super) async fn verify(
    world: &World,
    run: &RunId,
    hosts: &[HostFacts],
    release: &Release,
) -> Result<(), FlowError> {
    let stored = |facts: &&HostFacts| {
        facts.state.releases.iter().any(|stored| stored.release.digest == release.digest)
    };
    let having: Vec<&HostFacts> = hosts.iter().filter(stored).collect();
    let asked = world.hosts.iter().filter(|host| having.iter().any(|facts| facts.host == host.name));
    let asked = asked.map(|host| async move {
        match host.transport.call(question(run, HostRequest::Verify { release: release.clone() })).await? {
            HostReply::Done { .. } => Ok(()),
            reply => Err(unexpected(host, reply)),
        }
    });
    futures_util::future::try_join_all(asked).await.map(|_| ())
}

/// An answer that does not fit the question.
pub(super) fn unexpected(host: &Host, reply: HostReply) -> FlowError {
    match reply {
        HostReply::Refused { refusal } => FlowError::Refused { host: host.name.clone(), refusal },
        HostReply::Failed { error, hint, .. } => FlowError::Host { host: host.name.clone(), error, hint },
        HostReply::Observed { .. } | HostReply::Staging { .. } | HostReply::Done { .. } => FlowError::Host {
            host: host.name.clone(),
            error: "it gave an answer that does not fit the question".into(),
            hint: None,
        },
    }
}

/// The releases that serve anywhere.
pub(super) fn live(hosts: &[HostFacts]) -> Vec<&Release> {
    let mut live: Vec<&Release> = Vec::new();
    for release in hosts.iter().flat_map(HostFacts::live) {
        if !live.contains(&release) {
            live.push(release);
        }
    }
    live
}

/// The release that all hosts serve, and no other beside it.
pub(super) fn serving(hosts: &[HostFacts]) -> Result<Release, FlowError> {
    match live(hosts).as_slice() {
        [] => Err(FlowError::NothingServes),
        [one] => Ok((*one).clone()),
        several => {
            Err(FlowError::HostsDiffer { releases: several.iter().map(ToString::to_string).collect() })
        }
    }
}

/// Whether a host serves the release and nothing else: booted from it, every unit ready on it, proved.
pub(super) fn serves_only(state: &HostState, release: &Release, units: usize) -> Result<(), String> {
    let current = state.current.as_ref().map(|current| current.digest);
    if current != Some(release.digest) {
        return Err(format!(
            "it would boot {}",
            state.current.as_ref().map_or("nothing", |r| r.tag.as_str())
        ));
    }
    let mut ready = 0;
    for instance in &state.instances {
        let name = format!("{} of {}", instance.unit, instance.release);
        let of_release = instance.release.digest == release.digest;
        match instance.state {
            // Last requests of an instance that takes no new ones: of the other release, or of this one from
            // before the release that is being taken back.
            InstanceState::Draining => {}
            InstanceState::Ready if of_release && instance.proved => ready += 1,
            InstanceState::Ready if of_release => {
                return Err(format!("{name} runs another file than the release's"));
            }
            _ if of_release => return Err(format!("{name} is not ready")),
            _ => return Err(format!("{name} still runs")),
        }
    }
    if ready == units { Ok(()) } else { Err(format!("{ready} of {units} units are ready")) }
}

/// Whether every host serves the release well: ready, proved, and no process of it ended by itself.
pub(super) fn serves_well(hosts: &[HostFacts], release: &Release, units: usize) -> Result<(), String> {
    for host in hosts {
        host_serves_well(&host.state, release, units).map_err(|why| format!("{}: {why}", host.host))?;
    }
    Ok(())
}

/// Whether a host serves the release and nothing else, without a process of it having ended by itself.
pub(super) fn host_serves_well(state: &HostState, release: &Release, units: usize) -> Result<(), String> {
    serves_only(state, release, units)?;
    match state.instances.iter().find(|instance| instance.restarts > 0) {
        Some(instance) => Err(format!("{} restarted {} times", instance.unit, instance.restarts)),
        None => Ok(()),
    }
}
