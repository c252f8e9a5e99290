//! Hosts whose releases another tool brings: what they serve is known by the digest of what runs, not by what
//! unship stored there.

use unship_core::history;
use unship_core::protocol::{HostReply, HostRequest, HostState, Instance, InstanceState, UnitSpec};
use unship_core::release::{Release, RunId};
use unship_core::running::{KnownRelease, ProgramFile, RunningUnit, release_of, unknown_release};

use super::FlowError;
use super::observe::{question, unexpected};
use crate::ports::{Host, World};

/// What systemd calls a unit of the service.
pub(super) fn systemd_name(unit: &UnitSpec) -> String {
    unit.systemd.as_ref().map_or_else(|| format!("{}.service", unit.name), |systemd| systemd.unit.clone())
}

/// What the service's units run on a host.
pub(super) async fn look(world: &World, host: &Host, run: &RunId) -> Result<Vec<RunningUnit>, FlowError> {
    let units = world.target.service.units.iter().map(systemd_name).collect();
    match host.transport.call(question(run, HostRequest::Look { units })).await? {
        HostReply::Looked { units } => Ok(units),
        reply => Err(unexpected(host, reply)),
    }
}

/// Puts what runs into the state of a host: the releases by their digests. `also` are releases that no history
/// has yet.
pub(super) async fn add(
    world: &World,
    host: &Host,
    run: &RunId,
    mut state: HostState,
    also: &[Release],
) -> Result<HostState, FlowError> {
    let units = look(world, host, run).await?;
    let known = known(world, also).await;
    let service = &world.target.service;
    let specs = || service.units.iter().zip(&units);
    state.instances = specs().filter_map(|(spec, unit)| instance(world, spec, unit, &known)).collect();
    let mut on_disk = specs().map(|(spec, unit)| {
        let program = unit.on_disk.as_ref()?;
        named(world, spec, program, &known)
    });
    // What a reboot would bring: one release, or nothing that has a name.
    let first = on_disk.next().flatten();
    state.current = first.filter(|first| on_disk.all(|other| other.as_ref() == Some(first)));
    Ok(state)
}

/// The releases that are known here, with their files where those are kept.
async fn known(world: &World, also: &[Release]) -> Vec<KnownRelease> {
    // Without a ledger only what the plan names is known; the rest is called by its digest.
    let marks = world.ledger.marks().await.unwrap_or_default();
    let history = history::fold(&marks).releases.into_iter().map(|record| record.release);
    let mut known = Vec::new();
    for release in history.chain(also.iter().cloned()) {
        let manifest = world.source.kept(&release).await.ok().map(|artifact| artifact.manifest);
        known.push(KnownRelease { release, manifest });
    }
    known
}

fn path_of(spec: &UnitSpec) -> &str {
    spec.command.first().map_or("", String::as_str)
}

fn named(world: &World, spec: &UnitSpec, program: &ProgramFile, known: &[KnownRelease]) -> Option<Release> {
    let service = &world.target.service.name;
    let path = path_of(spec);
    release_of(program, path, service, known).or_else(|| unknown_release(program, path, service))
}

/// An instance as the rest of the flow knows them; none where nothing runs and nothing would be started.
fn instance(world: &World, spec: &UnitSpec, unit: &RunningUnit, known: &[KnownRelease]) -> Option<Instance> {
    let process = unit.process.as_ref();
    let program = process.map(|process| &process.program).or(unit.on_disk.as_ref())?;
    let release = named(world, spec, program, known)?;
    let state = match process {
        Some(_) if unit.ready => InstanceState::Ready,
        Some(_) if unit.state.starts_with("deactivating") => InstanceState::Draining,
        Some(_) => InstanceState::Starting,
        None if unit.state.starts_with("activating") => InstanceState::Restarting,
        None if unit.state.starts_with("failed") => InstanceState::Failed,
        None => return None,
    };
    Some(Instance {
        unit: spec.name.clone(),
        release,
        // Its digest is what it was named by.
        proved: process.is_some(),
        pid: process.map_or(0, |process| process.pid),
        invocation: process.map(|process| process.invocation.clone()).unwrap_or_default(),
        state,
        restarts: unit.restarts,
        started_at: process.map_or(unship_core::time::Timestamp(0), |process| process.started_at),
        ready_after_us: None,
        listening: false,
    })
}

/// What a person should know of a deploy command before it is run.
pub(super) async fn risks(world: &World, run: &RunId, target: &Release) -> Vec<String> {
    let mut risks = Vec::new();
    for host in &world.hosts {
        // A host that does not say is named by the plan.
        let Ok(units) = look(world, host, run).await else { continue };
        for unit in units {
            for command in unit.before_start.iter().filter(|command| command.contains("migrat")) {
                risks.push(format!(
                    "{}: {} runs `{command}` before every start: with {target}, that is {target}'s own, on the \
                     schema as it is now",
                    host.name, unit.unit
                ));
            }
        }
    }
    risks
}
