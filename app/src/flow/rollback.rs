//! `rollback`: every host back on the newest known-good release, or on the one that was named.

use unship_core::history::{self, History, Mark};
use unship_core::plan::{self, HostFacts, RollbackFacts};
use unship_core::protocol::Flip;
use unship_core::release::{Release, RunId, Tag};

use super::FlowError;
use super::deploy::highest_epoch;
use super::observe::{observe, serving};
use super::run::Prepared;
use super::schema::{Schema, compare};
use crate::ports::World;

/// How the release fails. It chooses the order of the flip: code that does harm while it runs is stopped
/// before the target is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It keeps ending by itself.
    PanicLoop,
    /// It lets in whom it must not.
    AuthRegression,
    /// It writes what is wrong.
    DataCorruption,
    /// It is slow or answers with errors.
    Degraded,
    /// Not known.
    Unsure,
}

impl Mode {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Mode::PanicLoop => "panic loop",
            Mode::AuthRegression => "auth regression",
            Mode::DataCorruption => "data corruption",
            Mode::Degraded => "degraded",
            Mode::Unsure => "not known",
        }
    }

    /// A panic loop too is overlapped: the listener is shared, so the target takes the requests that the
    /// looping release would drop, before it is stopped.
    fn flip(self) -> Flip {
        match self {
            Mode::AuthRegression | Mode::DataCorruption => Flip::StopFirst,
            Mode::PanicLoop | Mode::Degraded | Mode::Unsure => Flip::Overlap,
        }
    }
}

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The target, if it was named.
    pub to: Option<Tag>,
    /// How the release fails.
    pub mode: Mode,
    /// More words on why.
    pub reason: Option<String>,
    /// The operator says that the old code runs on the schema as it is now.
    pub accept_unknown_schema: bool,
}

/// A rollback that can be executed, with what a person has to see first.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What to execute.
    pub prepared: Prepared,
    /// The release to take back.
    pub bad: Release,
    /// How the hosts are.
    pub failure: Vec<String>,
    /// What is known of the schema.
    pub schema: Schema,
}

/// Makes the plan of a rollback; changes nothing.
pub async fn plan(world: &World, run: RunId, request: &Request) -> Result<Proposal, FlowError> {
    let hosts = observe(world, &run).await?;
    let history = history::fold(&world.ledger.marks().await?);
    let bad = serving(&hosts)?;
    let target = choose(&hosts, &history, &bad, request)?;
    let schema = compare(world, &bad, &target).await;
    if let (Schema::Unknown { why, .. }, false) = (&schema, request.accept_unknown_schema) {
        return Err(FlowError::SchemaUnknown { from: bad, target, why: why.clone() });
    }
    let mut reason = request.mode.words().to_owned();
    if let Some(more) = &request.reason {
        reason = format!("{reason}: {more}");
    }
    let facts = RollbackFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        bad: bad.clone(),
        target,
        reason: reason.clone(),
        flip: request.mode.flip(),
        smokes: world.target.smokes,
        hosts,
    };
    let plan = plan::rollback(&facts)?;
    let prepared = Prepared {
        run,
        plan,
        epoch_seen: highest_epoch(&facts.hosts),
        marks: vec![(bad.clone(), Mark::Bad, reason)],
    };
    let failure = facts.hosts.iter().map(|host| health(host, &bad)).collect();
    Ok(Proposal { prepared, bad, failure, schema })
}

fn choose(
    hosts: &[HostFacts],
    history: &History,
    bad: &Release,
    request: &Request,
) -> Result<Release, FlowError> {
    let Some(tag) = &request.to else {
        return Ok(history.target(bad)?);
    };
    // The hosts know what is stored under a tag; the ledger knows what ever was.
    let stored =
        hosts.iter().flat_map(|host| &host.state.releases).map(|stored| &stored.release).collect::<Vec<_>>();
    let known = history.releases.iter().map(|record| &record.release);
    let target = stored.iter().copied().chain(known).find(|release| release.tag == *tag).cloned();
    let Some(target) = target else {
        let mut known: Vec<Tag> = stored.iter().map(|release| release.tag.clone()).collect();
        known.sort();
        known.dedup();
        return Err(FlowError::UnknownRelease { tag: tag.clone(), known });
    };
    history.check_target(&target, bad)?;
    Ok(target)
}

/// How the bad release does on a host, in one line.
fn health(host: &HostFacts, bad: &Release) -> String {
    let of_bad = || host.state.instances.iter().filter(|instance| instance.release.digest == bad.digest);
    let restarts: u32 = of_bad().map(|instance| instance.restarts).sum();
    match (of_bad().count(), restarts) {
        (0, _) => format!("{}: no instance of {bad} runs", host.host),
        (count, 0) => format!("{}: {count} running, none restarted", host.host),
        (count, restarts) => format!("{}: {count} running, restarted {restarts} times", host.host),
    }
}
