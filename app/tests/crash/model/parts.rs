//! Source, prober, commands, clock and progress of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use unship::ports::*;
use unship_core::aftercare::Notice;
use unship_core::protocol::InstanceState;
use unship_core::release::{HostName, Release, RunId, Tag};
use unship_core::time::Timestamp;

use super::host::ModelHost;
use super::lock;

pub struct ModelProber {
    pub hosts: Vec<Arc<Mutex<ModelHost>>>,
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

    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError> {
        self.build(&release.tag, &Silent).await
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
