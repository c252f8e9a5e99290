//! `adopt`: takes over an install that is there and serves. What runs is looked at on every host, known by the digest
//! of its file, stored as a release, and made the current one. Nothing that serves is touched.

use unship_core::capsule::Manifest;
use unship_core::plan::{self, AdoptFacts};
use unship_core::protocol::Adoption;
use unship_core::release::{RunId, Tag};
use unship_core::running::{ProgramFile, RunningUnit, UnitFile};

use super::FlowError;
use super::claims::claims_of;
use super::foreign::{look, systemd_name};
use super::observe::Fleet;
use super::resume::settled;
use super::run::Prepared;
use crate::ports::{Host, World};

/// What is taken over, with what a person has to see first.
#[derive(Debug, Clone)]
pub struct Takeover {
    /// What to execute.
    pub prepared: Prepared,
    /// What every unit runs on every host, in a line each.
    pub seen: Vec<String>,
    /// What will be changed besides, and what is left as it is and should be known.
    pub notes: Vec<String>,
}

/// Makes the plan of taking over what serves under `tag`; changes nothing.
pub async fn plan(world: &World, run: RunId, tag: &Tag) -> Result<Takeover, FlowError> {
    let Fleet { hosts, .. } = settled(world, &run).await?.but_left_out(world)?;
    let (mut seen, mut notes) = (Vec::new(), Vec::new());
    let mut adoptions = Vec::new();
    let mut release: Option<Manifest> = None;
    for host in &world.hosts {
        let units = look(world, host, &run).await?;
        let program = one_program(host, &units)?;
        let manifest = manifest(world, tag, program);
        match &release {
            Some(other) if other.digest() != manifest.digest() => {
                return Err(not_adopted(host, "it runs another file than the hosts before it"));
            }
            _ => release = Some(manifest.clone()),
        }
        let answer = world.prober.probe(&host.name, tag).await;
        answer.map_err(|failure| not_adopted(host, &failure.message))?;
        for unit in &units {
            let process = unit.process.as_ref().map_or(0, |process| process.pid);
            seen.push(format!("{}: {} is process {process} of {}", host.name, unit.unit, program.path));
        }
        // Where the user's own command deploys, migrations are that command's, and of its units.
        let without_start_pre: Vec<String> = match world.deploy {
            Some(_) => Vec::new(),
            None => migrating(&units).map(|unit| unit.unit.clone()).collect(),
        };
        for unit in migrating(&units) {
            notes.push(start_pre_note(world, host, unit));
        }
        let files: Vec<UnitFile> = units.into_iter().flat_map(|unit| unit.files).collect();
        let capsule = world.source.capsule_of(tag, &manifest, &files).await?;
        let adoption = Adoption { manifest, capsule, unit: first_unit(world), without_start_pre };
        adoptions.push((host.name.clone(), adoption));
    }
    let Some(manifest) = release else { return Err(FlowError::NothingServes) };
    let plan = plan::adopt(AdoptFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        release: manifest.release(),
        hosts: adoptions,
    });
    let prepared = Prepared { run, plan, seen: claims_of(&hosts), marks: Vec::new(), decided: None };
    Ok(Takeover { prepared, seen, notes })
}

/// The unit whose process the release is copied from: all run the same file.
fn first_unit(world: &World) -> String {
    world.target.service.units.first().map(systemd_name).unwrap_or_default()
}

fn not_adopted(host: &Host, why: &str) -> FlowError {
    FlowError::Host {
        host: host.name.clone(),
        error: format!("what runs here cannot be taken over: {why}"),
        hint: Some("see what runs with `systemctl status`; bring all hosts to one release first".into()),
    }
}

/// The one file that all units run and would start again.
fn one_program<'u>(host: &Host, units: &'u [RunningUnit]) -> Result<&'u ProgramFile, FlowError> {
    let mut found: Option<&ProgramFile> = None;
    for unit in units {
        let Some(process) = unit.process.as_ref().filter(|_| unit.ready) else {
            return Err(not_adopted(host, &format!("{} is {}", unit.unit, unit.state)));
        };
        let digest = process.program.sha256;
        if unit.on_disk.as_ref().map(|file| file.sha256) != Some(digest) {
            let why = format!("{} runs another file than the next start would run", unit.unit);
            return Err(not_adopted(host, &why));
        }
        if found.is_some_and(|other| other.sha256 != digest) {
            return Err(not_adopted(host, "its units run different files"));
        }
        found = Some(&process.program);
    }
    found.ok_or(FlowError::NothingServes)
}

fn manifest(world: &World, tag: &Tag, program: &ProgramFile) -> Manifest {
    let service = &world.target.service;
    let path = service.units.first().and_then(|unit| unit.command.first()).map_or("", String::as_str);
    program.manifest(&service.name, tag, path)
}

fn migrating(units: &[RunningUnit]) -> impl Iterator<Item = &RunningUnit> {
    units.iter().filter(|unit| unit.before_start.iter().any(|command| command.contains("migrat")))
}

fn start_pre_note(world: &World, host: &Host, unit: &RunningUnit) -> String {
    let what = unit.before_start.join("; ");
    match world.deploy {
        Some(_) => format!(
            "{}: {} runs `{what}` before every start: a rollback runs the older release's own, on the newer schema",
            host.name, unit.unit
        ),
        None => format!(
            "{}: {} runs `{what}` before every start, which a rollback must not: a drop-in takes it away, and unship \
             applies migrations itself, once per deploy",
            host.name, unit.unit
        ),
    }
}
