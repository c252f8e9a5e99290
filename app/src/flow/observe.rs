//! Asking hosts, and what their answers mean for a flow.

use unship_core::plan::{HostFacts, MissingHost};
use unship_core::protocol::{
    Envelope, Epoch, HostReply, HostRequest, HostState, Instance, InstanceState, PROTOCOL_VERSION, UnitSpec,
};
use unship_core::release::{Release, RunId};

use super::{FlowError, foreign};
use crate::ports::{Host, World};

/// An envelope for a question outside any run.
pub(super) fn question(run: &RunId, request: HostRequest) -> Envelope {
    Envelope { version: PROTOCOL_VERSION, run: run.clone(), step: 0, attempt: 1, epoch: Epoch(0), request }
}

/// The hosts of an environment, as far as they answered.
#[derive(Debug)]
pub(super) struct Fleet {
    /// Those that did.
    pub hosts: Vec<HostFacts>,
    /// Those that did not, and those that the operator leaves out.
    pub missing: Vec<MissingHost>,
}

/// The state of every host, asked at the same time. Fails only when not one of them answers.
pub(super) async fn look(world: &World, run: &RunId) -> Result<Fleet, FlowError> {
    let (hosts, missing) = ask_all(world, |host| observe_one(world, host, run, &[])).await?;
    Ok(Fleet { hosts, missing })
}

/// What every host answers, asked at the same time; beside that those that did not, and those that the operator
/// leaves out. Fails only when not one of them answers.
pub(super) async fn ask_all<'w, T, F: Future<Output = Result<T, FlowError>>>(
    world: &'w World,
    ask: impl Fn(&'w Host) -> F,
) -> Result<(Vec<T>, Vec<MissingHost>), FlowError> {
    let left_out = |host: &&Host| world.target.without.contains(&host.name);
    let why = "left out by the operator";
    let missing = world.hosts.iter().filter(left_out);
    let missing = missing.map(|host| MissingHost { host: host.name.clone(), why: why.to_owned() });
    let (mut answers, mut missing) = (Vec::new(), missing.collect::<Vec<_>>());
    let asked = world.hosts.iter().filter(|host| !left_out(host));
    let asked = asked.map(|host| {
        let asked = ask(host);
        async move { (host, asked.await) }
    });
    let mut first = None;
    for (host, answer) in futures_util::future::join_all(asked).await {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                let why = match &error {
                    FlowError::Transport(error) => error.why.clone(),
                    FlowError::Host { error, .. } => error.clone(),
                    error => error.to_string(),
                };
                missing.push(MissingHost { host: host.name.clone(), why });
                first = first.or(Some(error));
            }
        }
    }
    match first {
        Some(error) if answers.is_empty() => Err(error),
        _ => Ok((answers, missing)),
    }
}

/// The state of every host, all of which have to answer.
pub(super) async fn observe(world: &World, run: &RunId) -> Result<Vec<HostFacts>, FlowError> {
    look(world, run).await?.complete()
}

impl Fleet {
    /// The hosts, where all of them answered.
    pub fn complete(self) -> Result<Vec<HostFacts>, FlowError> {
        if self.missing.is_empty() {
            return Ok(self.hosts);
        }
        Err(FlowError::HostsMissing { hosts: self.missing })
    }

    /// The hosts that answered, where all others were left out by the operator: what brings something out does not
    /// pass over a host by itself.
    pub fn but_left_out(self, world: &World) -> Result<Fleet, FlowError> {
        let silent: Vec<MissingHost> =
            self.missing.iter().filter(|one| !world.target.without.contains(&one.host)).cloned().collect();
        if silent.is_empty() { Ok(self) } else { Err(FlowError::HostsMissing { hosts: silent }) }
    }
}

/// The state of one host. Where another tool brings the releases, what it serves is looked up by its digest, also
/// among `also`, which no history has yet.
pub(super) async fn observe_one(
    world: &World,
    host: &Host,
    run: &RunId,
    also: &[Release],
) -> Result<HostFacts, FlowError> {
    let state = match host.transport.call(question(run, HostRequest::Observe)).await? {
        HostReply::Observed { state } => *state,
        reply => return Err(unexpected(host, reply)),
    };
    let state = match &world.deploy {
        Some(_) => foreign::add(world, host, run, state, also).await?,
        None => state,
    };
    Ok(HostFacts { host: host.name.clone(), state })
}

/// Has every host that stores the release read all of its files; answers those on which it is not whole. What was
/// altered on disk is found out before anything is changed, and the activation later needs no second reading. Fails
/// when it is whole on none of them.
pub(super) async fn verify(
    world: &World,
    run: &RunId,
    hosts: &[HostFacts],
    release: &Release,
) -> Result<Vec<MissingHost>, FlowError> {
    let stored = |facts: &&HostFacts| {
        facts.state.releases.iter().any(|stored| stored.release.digest == release.digest)
    };
    let having: Vec<&HostFacts> = hosts.iter().filter(stored).collect();
    let asked = world.hosts.iter().filter(|host| having.iter().any(|facts| facts.host == host.name));
    let asked = asked.map(|host| async move {
        let request = HostRequest::Verify { release: release.clone() };
        let answered = match host.transport.call(question(run, request)).await {
            Ok(HostReply::Done { .. }) => return None,
            Ok(reply) => unexpected(host, reply),
            Err(error) => error.into(),
        };
        Some((host.name.clone(), answered))
    });
    let mut damaged = Vec::new();
    let mut first = None;
    for (host, error) in futures_util::future::join_all(asked).await.into_iter().flatten() {
        let why = match &error {
            FlowError::Host { error, .. } => error.clone(),
            FlowError::Transport(error) => error.why.clone(),
            error => error.to_string(),
        };
        damaged.push(MissingHost { host, why });
        first = first.or(Some(error));
    }
    match first {
        Some(error) if damaged.len() == having.len() => Err(error),
        _ => Ok(damaged),
    }
}

/// An answer that does not fit the question.
pub(super) fn unexpected(host: &Host, reply: HostReply) -> FlowError {
    match reply {
        HostReply::Refused { refusal } => FlowError::Refused { host: host.name.clone(), refusal },
        HostReply::Failed { error, hint, .. } => FlowError::Host { host: host.name.clone(), error, hint },
        HostReply::Observed { .. }
        | HostReply::Whose { .. }
        | HostReply::Looked { .. }
        | HostReply::Staging { .. }
        | HostReply::Done { .. } => FlowError::Host {
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
    if let Some(held) = &state.held {
        return Err(format!("it is held by {}", held.by.who));
    }
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

/// Whether a host is held: marked so, nothing of a release runs that does more than to finish its last requests,
/// and every unit with a listener is answered for, where the host is set up for that.
pub(super) fn is_held(state: &HostState, units: &[UnitSpec]) -> Result<(), String> {
    if state.held.is_none() {
        return Err("it is not held".into());
    }
    if let Some(current) = &state.current {
        return Err(format!("it would boot {current}"));
    }
    let runs = |instance: &&Instance| instance.state != InstanceState::Draining;
    if let Some(other) = state.instances.iter().filter(runs).find(|instance| !instance.release.is_hold()) {
        return Err(format!("{} of {} still runs", other.unit, other.release));
    }
    let answers = |unit: &UnitSpec| {
        state.instances.iter().any(|instance| {
            instance.unit == unit.name
                && instance.release.is_hold()
                && instance.state == InstanceState::Ready
                && instance.proved
        })
    };
    match units.iter().find(|unit| can_answer(state, unit) && !answers(unit)) {
        Some(unit) => Err(format!("nothing answers for {}", unit.name)),
        None => Ok(()),
    }
}

/// Whether something can answer for the unit while the host is held: it has a listener, and a hold unit that takes it.
fn can_answer(state: &HostState, unit: &UnitSpec) -> bool {
    let flip = state.flips.iter().find(|flip| flip.unit == unit.name);
    unit.listen.is_some() && flip.is_none_or(|flip| flip.can_hold)
}

/// The units with a listener for which nothing can answer while a host is held, in one sentence; none if there are none.
pub(super) fn unanswered(hosts: &[HostFacts], units: &[UnitSpec]) -> Option<String> {
    let silent =
        |unit: &&UnitSpec| unit.listen.is_some() && hosts.iter().any(|host| !can_answer(&host.state, unit));
    let silent: Vec<&str> = units.iter().filter(silent).map(|unit| unit.name.as_str()).collect();
    (!silent.is_empty()).then(|| {
        format!(
            "{} has no hold unit: while it is held nothing answers and connections are refused; \
             `unship init --systemd` writes one",
            silent.join(", ")
        )
    })
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
