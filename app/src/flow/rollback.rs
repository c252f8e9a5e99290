//! `rollback`: every host back on the newest known-good release, or on the one that was named.

use unship_core::history::{self, History, Mark, Standing, TargetError};
use unship_core::plan::{self, HostFacts, PlanError, RollbackFacts};
use unship_core::protocol::Flip;
use unship_core::release::{Release, RunId, Tag};

use super::FlowError;
use super::observe::{live, serves_well, serving, verify};
use super::resume::settled;
use super::run::{Prepared, claims_of};
use super::schema::{Schema, compare};
use crate::ports::World;

/// How the release fails. It chooses the order of the flip: code that does harm while it runs is stopped
/// before the target is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
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
            Mode::Unsure => "mode not given",
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
    /// The ledger cannot be read: what the hosts have stored is all that is known.
    pub break_glass: bool,
}

/// A rollback that can be executed, with what a person has to see first.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What to execute.
    pub prepared: Prepared,
    /// How the hosts are.
    pub failure: Vec<String>,
    /// What is known of the schema.
    pub schema: Schema,
    /// What speaks against it, or is not known and could.
    pub risks: Vec<String>,
}

/// Makes the plan of a rollback; changes nothing.
pub async fn plan(world: &World, run: RunId, request: &Request) -> Result<Proposal, FlowError> {
    let hosts = settled(world, &run).await?;
    let history = history::fold(&world.ledger.marks().await?);
    let named = request.to.as_ref().map(|tag| find(&hosts, &history, tag)).transpose()?;
    let bad = bad(world, &hosts, named.as_ref())?;
    let target = match (named, &bad) {
        (Some(target), _) => {
            history.check_target(&target, bad.as_ref().unwrap_or(&target))?;
            target
        }
        (None, Some(bad)) if request.break_glass => stored_before(&hosts, bad)?,
        (None, Some(bad)) => history.target(bad)?,
        (None, None) => return Err(FlowError::NothingServes),
    };
    let schema = match &bad {
        Some(bad) => compare(world, bad, &target).await,
        None => Schema::Same,
    };
    if let (Schema::Unknown { why, .. }, false) = (&schema, request.accept_unknown_schema) {
        let from = bad.unwrap_or_else(|| target.clone());
        return Err(FlowError::SchemaUnknown { from, target, why: why.clone() });
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
    verify(world, &run, &facts.hosts, &facts.target).await?;
    let failing = bad.as_ref().unwrap_or(&facts.target);
    Ok(Proposal {
        failure: facts.hosts.iter().map(|host| health(host, failing)).collect(),
        risks: risks(&facts, &history, request),
        schema,
        prepared: Prepared {
            run,
            plan,
            seen: claims_of(&facts.hosts),
            marks: bad.map(|bad| (bad, Mark::Bad, reason)).into_iter().collect(),
        },
    })
}

/// The release to take back: what the hosts serve and is not the target. None when all that is wrong is that
/// a host does not serve the target well: an earlier run did not get through there.
fn bad(world: &World, hosts: &[HostFacts], target: Option<&Release>) -> Result<Option<Release>, FlowError> {
    let Some(target) = target else {
        return serving(hosts).map(Some);
    };
    let others: Vec<&Release> =
        live(hosts).into_iter().filter(|served| served.digest != target.digest).collect();
    match others.as_slice() {
        [] if serves_well(hosts, target, world.target.service.units.len()).is_ok() => {
            Err(PlanError::SameRelease { target: target.clone() }.into())
        }
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        several => {
            Err(FlowError::HostsDiffer { releases: several.iter().map(ToString::to_string).collect() })
        }
    }
}

/// The release of a tag. The hosts know what is stored under it; the ledger knows what ever was.
fn find(hosts: &[HostFacts], history: &History, tag: &Tag) -> Result<Release, FlowError> {
    let stored =
        hosts.iter().flat_map(|host| &host.state.releases).map(|stored| &stored.release).collect::<Vec<_>>();
    let known = history.releases.iter().map(|record| &record.release);
    stored.iter().copied().chain(known).find(|release| release.tag == *tag).cloned().ok_or_else(|| {
        let mut known: Vec<Tag> = stored.iter().map(|release| release.tag.clone()).collect();
        known.sort();
        known.dedup();
        FlowError::UnknownRelease { tag: tag.clone(), known }
    })
}

/// Without a ledger: the newest release that the first host stored before the bad one and that is not in
/// quarantine there. Whether it was ever good is not known, and is said.
fn stored_before(hosts: &[HostFacts], bad: &Release) -> Result<Release, FlowError> {
    let none = || TargetError::NoneKnownGood { unproven: Vec::new() };
    let state = &hosts.first().ok_or_else(none)?.state;
    let older = state.releases.iter().take_while(|stored| stored.release.digest != bad.digest);
    let marked =
        |release: &Release| state.quarantined.iter().any(|mark| mark.release.digest == release.digest);
    let target = older.map(|stored| &stored.release).filter(|release| !marked(release)).last();
    Ok(target.ok_or_else(none)?.clone())
}

/// What a person should know before saying yes.
fn risks(facts: &RollbackFacts, history: &History, request: &Request) -> Vec<String> {
    let mut risks = Vec::new();
    let target = &facts.target;
    match history.get(&target.digest) {
        Some(record) if record.standing == Standing::KnownGood => {}
        Some(record) => risks.push(format!("{target} is {}: {}", record.standing.words(), record.why)),
        None => risks.push(format!("nothing is recorded of {target}: whether it was ever good is not known")),
    }
    if request.break_glass {
        risks.push("the ledger is not asked: another run may be under way; the hosts alone decide".into());
    }
    for host in &facts.hosts {
        let unproved = host.state.instances.iter().filter(|instance| !instance.proved && instance.pid != 0);
        for instance in unproved {
            let (name, unit, release) = (&host.host, &instance.unit, &instance.release);
            risks.push(format!("{name}: {unit} runs another file than {release} stored; it is replaced"));
        }
    }
    risks
}

/// How the release does on a host, in one line.
fn health(host: &HostFacts, release: &Release) -> String {
    let of_it = || host.state.instances.iter().filter(|instance| instance.release.digest == release.digest);
    let restarts: u32 = of_it().map(|instance| instance.restarts).sum();
    match (of_it().count(), restarts) {
        (0, _) => format!("{}: no instance of {release} runs", host.host),
        (count, 0) => format!("{}: {count} running, none restarted", host.host),
        (count, restarts) => format!("{}: {count} running, restarted {restarts} times", host.host),
    }
}
