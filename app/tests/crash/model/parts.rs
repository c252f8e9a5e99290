//! Source, prober, commands, clock and progress of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use unship::ports::*;
use unship_core::aftercare::Notice;
use unship_core::capsule::Capsule;
use unship_core::capsule::Manifest;
use unship_core::flags::{FlagName, FlagState, FlagValue};
use unship_core::protocol::InstanceState;
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::running::{ProgramFile, RunningProcess, RunningUnit, UnitFile};
use unship_core::time::Timestamp;

use super::host::ModelHost;
use super::lock;
use crate::points::Points;

pub struct ModelProber {
    pub hosts: Vec<Arc<Mutex<ModelHost>>>,
    pub artifacts: BTreeMap<Tag, Artifact>,
}

#[async_trait]
impl Prober for ModelProber {
    async fn probe(&self, host: &HostName, tag: &Tag) -> Result<String, CheckFailure> {
        let host = self.hosts.iter().find(|known| lock(known).name == *host);
        let state = host.map(|host| lock(host).state());
        let answers = state.is_some_and(|state| {
            let mut of_tag = state.instances.iter().filter(|instance| instance.release.tag == *tag);
            of_tag.any(|instance| instance.unit == "web" && instance.state == InstanceState::Ready)
        });
        let file = self.artifacts.get(tag).map(|artifact| &artifact.manifest.files);
        let file = file.and_then(|files| files.iter().find(|file| file.path == "bin/app"));
        let foreign = host.is_some_and(|host| {
            lock(host).foreign.iter().any(|unit| {
                let program = unit.process.as_ref().map(|process| process.program.sha256);
                unit.unit == "web.service" && program.is_some() && program == file.map(|file| file.sha256)
            })
        });
        let answers = answers || foreign;
        let failure = || CheckFailure { message: format!("it does not answer as {tag}"), hint: None };
        answers.then(|| format!("it says {tag}")).ok_or_else(failure)
    }
}

pub struct ModelCommands {
    pub fails_smoke: BTreeSet<Tag>,
}

#[async_trait]
impl ServiceCommands for ModelCommands {
    async fn migrate_up(&self, _: &Release) -> Result<String, CheckFailure> {
        Ok("nothing to apply".into())
    }

    async fn smoke(&self, release: &Release) -> Result<String, CheckFailure> {
        if self.fails_smoke.contains(&release.tag) {
            return Err(CheckFailure { message: "it smokes".into(), hint: None });
        }
        Ok("passed".into())
    }
}

/// What the deploy command of a model does, wherever it is run from: it goes on when the process that started it
/// dies.
#[derive(Debug, Clone, Default)]
pub struct CommandState {
    /// Hosts that it has still to reach.
    pending: Vec<usize>,
    release: Option<Release>,
    invocations: u64,
    /// Runs of it that began while another was under way.
    pub doubled: usize,
    /// It ends well without restarting anything.
    pub restarts_nothing: bool,
}

/// The user's own deploy command: puts a release's program onto one host after the other.
pub struct ModelCommand {
    pub state: Arc<Mutex<CommandState>>,
    pub hosts: Vec<Arc<Mutex<ModelHost>>>,
    pub artifacts: BTreeMap<Tag, Artifact>,
    pub points: Arc<Points>,
}

impl ModelCommand {
    /// The next host; whether there was one.
    fn reach_next(&self) -> bool {
        let mut state = lock(&self.state);
        let (Some(index), Some(release)) = (state.pending.pop(), state.release.clone()) else { return false };
        let Some(artifact) = self.artifacts.get(&release.tag) else { return false };
        let Some(file) = artifact.manifest.files.iter().find(|file| file.path == "bin/app") else {
            return false;
        };
        let program = ProgramFile { path: "/usr/local/bin/app".into(), size: file.size, sha256: file.sha256 };
        let mut host = lock(&self.hosts[index]);
        for name in ["web.service", "worker.service"] {
            state.invocations += 1;
            let process = RunningProcess {
                pid: 7,
                invocation: format!("command-{}", state.invocations),
                started_at: Timestamp(0),
                program: program.clone(),
            };
            let before = host.foreign.iter().find(|unit| unit.unit == name).cloned();
            host.foreign.retain(|unit| unit.unit != name);
            let before = before.and_then(|unit| unit.process).filter(|_| state.restarts_nothing);
            host.foreign.push(RunningUnit {
                unit: name.into(),
                state: "active (running)".into(),
                ready: true,
                process: Some(before.unwrap_or(process)),
                restarts: 0,
                on_disk: Some(program.clone()),
                user: "app".into(),
                before_start: Vec::new(),
                files: Vec::new(),
            });
        }
        true
    }
}

#[async_trait]
impl DeployCommand for ModelCommand {
    async fn prepare(&self, tag: &Tag, _: &dyn Progress) -> Result<Artifact, SourceError> {
        if !lock(&self.state).pending.is_empty() {
            return Err(SourceError { message: "the deploy command still runs".into(), hint: None });
        }
        let unknown = || SourceError { message: format!("no tag {tag}"), hint: None };
        self.artifacts.get(tag).cloned().ok_or_else(unknown)
    }

    fn shown(&self, release: &Release) -> Vec<String> {
        vec![format!("make deploy of {release}")]
    }

    async fn wait_for_earlier(&self, _: &dyn Progress) -> Result<(), CheckFailure> {
        while self.reach_next() {}
        Ok(())
    }

    async fn run(&self, _: &RunId, release: &Release, _: &dyn Progress) -> Result<String, CheckFailure> {
        {
            let mut state = lock(&self.state);
            state.doubled += usize::from(!state.pending.is_empty());
            state.pending = (0..self.hosts.len()).rev().collect();
            state.release = Some(release.clone());
        }
        self.points.pass("inside, the deploy command has begun");
        while self.reach_next() {
            self.points.pass("inside, the deploy command reached a host");
        }
        Ok("it ended well".into())
    }
}

/// Artifacts in a list.
pub struct Kept {
    pub artifacts: BTreeMap<Tag, Artifact>,
}

#[async_trait]
impl Source for Kept {
    async fn build(&self, tag: &Tag, _: &dyn Progress) -> Result<Artifact, SourceError> {
        let unknown = || SourceError { message: format!("no tag {tag}"), hint: None };
        self.artifacts.get(tag).cloned().ok_or_else(unknown)
    }

    async fn capsule_of(&self, tag: &Tag, _: &Manifest, _: &[UnitFile]) -> Result<Capsule, SourceError> {
        Ok(self.build(tag, &Silent).await?.capsule)
    }

    async fn keep_papers(&self, _: &Manifest, _: &Capsule) -> Result<(), SourceError> {
        Ok(())
    }

    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError> {
        self.build(&release.tag, &Silent).await
    }

    async fn refresh(&self, _: &Release) -> Result<(), SourceError> {
        Ok(())
    }

    async fn keep_capsule(&self, _: &Capsule) -> Result<(), SourceError> {
        Ok(())
    }

    async fn introduced(
        &self,
        _: &Release,
        _: Option<&Release>,
        _: &[FlagName],
    ) -> Result<Vec<FlagName>, SourceError> {
        Ok(Vec::new())
    }
}

/// Remembers what people were told; whoever is told twice notes it once.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub runs: Arc<Mutex<BTreeSet<RunId>>>,
}

#[async_trait]
impl Aftercare for Told {
    async fn tell(&self, notice: &Notice) -> Result<(), CheckFailure> {
        lock(&self.runs).insert(notice.run.clone());
        Ok(())
    }
}

/// Flags that outlive processes. They are on or off, and whoever set them last is not known.
#[derive(Debug, Clone, Default)]
pub struct ModelFlags {
    pub on: Arc<Mutex<BTreeMap<FlagName, bool>>>,
}

impl ModelFlags {
    pub fn person_sets(&self, name: &str, on: bool) {
        lock(&self.on).insert(name.parse().expect("a flag"), on);
    }

    /// Nothing is configured until there is a flag.
    pub fn port(&self) -> Option<Arc<dyn FlagSource>> {
        let some = !lock(&self.on).is_empty();
        some.then(|| Arc::new(self.clone()) as Arc<dyn FlagSource>)
    }

    pub fn all_on(&self) -> Vec<String> {
        let on = lock(&self.on);
        on.iter().filter(|(_, on)| **on).map(|(name, _)| name.to_string()).collect()
    }
}

#[async_trait]
impl FlagSource for ModelFlags {
    fn name(&self) -> String {
        "the model's flags".into()
    }

    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure> {
        let state = |(name, on): (&FlagName, &bool)| FlagState {
            name: name.clone(),
            value: FlagValue { on: *on, raw: None },
            changed_at: None,
            changed_by: None,
        };
        Ok(lock(&self.on).iter().map(state).collect())
    }

    async fn set(&self, flag: &FlagName, to: &FlagValue, _: &Acting) -> Result<(), CheckFailure> {
        lock(&self.on).insert(flag.clone(), to.on);
        Ok(())
    }

    async fn install(&self, _: &str, _: Option<&str>, _: &Acting) -> Result<(), CheckFailure> {
        Err(CheckFailure { message: "the model has no file of flags".into(), hint: None })
    }
}

/// Believes what hosts say.
pub struct Trusting;

#[async_trait]
impl Prober for Trusting {
    async fn probe(&self, _: &HostName, tag: &Tag) -> Result<String, CheckFailure> {
        Ok(format!("it says {tag}"))
    }
}

/// A clock that says another time at every look.
#[derive(Clone)]
pub struct ModelClock {
    pub ms: Arc<AtomicI64>,
}

impl Clock for ModelClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.ms.fetch_add(1, Ordering::SeqCst))
    }
}

pub struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

/// A repository that nobody asks.
pub struct NoRepository;

#[async_trait]
impl Repository for NoRepository {
    async fn tags(&self) -> Result<BTreeSet<Tag>, SourceError> {
        Ok(BTreeSet::new())
    }

    async fn branch(&self, _: &str, _: &Tag) -> Result<(), SourceError> {
        Ok(())
    }

    async fn is_on_top(&self, _: &Tag, _: &Tag) -> Result<bool, SourceError> {
        Ok(true)
    }
}
