//! `rollback`: every host back on the newest known-good release, or on the one that was named.

mod downs;
mod target;

use unship_core::decision::{Act, Decided, Decision, Down, Facts, HostHealth, Overruled, decide, going_back};
use unship_core::down::Program;
use unship_core::history::{self, History, Mark, Standing};
use unship_core::plan::{self, HostFacts, MissingHost, RollbackFacts};
use unship_core::release::{Release, RunId, Tag};

use super::ci::{self, CiReport};
use super::claims::claims_of;
use super::decide::{Said, contained, earlier_ms, facts as decision_facts, span};
use super::deploy::command_facts;
use super::down::Downs;
use super::flags::{self, FlagReport, FlagWishes};
use super::observe::{Fleet, serves_only, unanswered, verify};
use super::resume::settled;
use super::run::Prepared;
use super::schema::{Schema, compare};
use super::{FlowError, foreign};
use crate::ports::World;
pub use downs::Accepted;
use target::Ends;

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to go back to.
    pub to: Aim,
    /// How the release fails, and what else bears on what to do.
    pub said: Said,
    /// Why the operator goes back although the table says otherwise.
    pub overrule: Option<String>,
    /// More words on why.
    pub reason: Option<String>,
    /// The operator says that the old code runs on the schema as it is now.
    pub accept_unknown_schema: bool,
    /// The operator wants option 3, whatever the table says.
    pub step_down: bool,
    /// Digests of the loss reports that the operator accepts.
    pub accept_loss: Accepted,
    /// Migrations whose down no transaction can hold, and for which the operator accepts that.
    pub not_atomic: std::collections::BTreeSet<String>,
    /// What `Retry-After` says while the service is held for option 3, in seconds.
    pub retry_after_s: u32,
    /// The ledger cannot be read: what the hosts have stored is all that is known.
    pub break_glass: bool,
    /// What the operator said of flags.
    pub flags: FlagWishes,
}

/// What `Retry-After` says while the service is held for option 3, unless the operator says otherwise.
pub const RETRY_AFTER_S: u32 = 30;

impl Request {
    /// To the newest known-good release, with nothing accepted beforehand.
    pub fn of(said: Said) -> Request {
        Request {
            to: Aim::Newest,
            said,
            overrule: None,
            reason: None,
            accept_unknown_schema: false,
            step_down: false,
            accept_loss: Accepted::new(),
            not_atomic: std::collections::BTreeSet::new(),
            retry_after_s: RETRY_AFTER_S,
            break_glass: false,
            flags: FlagWishes::default(),
        }
    }
}

/// Where to go back to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Aim {
    /// The newest known-good release.
    #[default]
    Newest,
    /// The newest known-good release that passed CI; when none did, the newest known-good one.
    NewestGreen,
    /// The release of this tag.
    Named(Tag),
}

/// A rollback that can be executed, with what a person has to see first.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What to execute.
    pub prepared: Prepared,
    /// What is known of the schema.
    pub schema: Schema,
    /// What option 3 does to the database; none where the schema is left alone.
    pub downs: Option<Downs>,
    /// The flags, compared with those while the target served; none when no flags are configured.
    pub flags: Option<FlagReport>,
    /// What CI says of the target; none when no CI is configured.
    pub ci: Option<CiReport>,
    /// What was decided, and from what.
    pub decided: Decided,
}

/// Makes the plan of a rollback; changes nothing.
pub async fn plan(world: &World, run: RunId, request: &Request) -> Result<Proposal, FlowError> {
    // What the ledger knows of earlier rollbacks is read while the hosts are being reached.
    let looking = futures_util::future::join(settled(world, &run), earlier_ms(world));
    let (fleet, earlier_ms) = looking.await;
    let Fleet { hosts, missing } = fleet?;
    let history = history::fold(&world.ledger.marks().await?);
    let Ends { bad, target } = target::ends(world, &hosts, &history, request).await?;
    let schema = match &bad {
        Some(bad) => compare(world, bad, &target).await,
        None => Schema::Same,
    };
    let (mut decided, programs, looked) =
        option(world, &hosts, &history, &schema, &earlier_ms, (bad.as_ref(), &target), request).await?;
    let mut reason = request.said.mode.words().to_owned();
    if let Some(more) = &request.reason {
        reason = format!("{reason}: {more}");
    }
    let (flags, ci) = futures_util::future::join(
        flags::compare(world, &history, bad.as_ref(), &target, &request.flags),
        ci_of(world, &history, bad.as_ref(), &target),
    )
    .await;
    let flags = flags?;
    let units = world.target.service.units.len();
    let on_target = hosts.iter().filter(|host| serves_only(&host.state, &target, units).is_ok());
    let on_target = on_target.map(|host| host.host.clone()).collect();
    let (hosts, missing) = intact(verify(world, &run, &hosts, &target).await?, hosts, missing);
    let facts = RollbackFacts {
        service: world.target.service.name.clone(),
        environment: world.target.environment.clone(),
        bad: bad.clone(),
        target: target.clone(),
        reason: reason.clone(),
        flip: request.said.mode.flip(),
        one_host_first: schema.unknown().is_some(),
        smokes: world.target.smokes,
        command: command_facts(world, &history, &hosts, &target),
        missing,
        on_target,
        size: world.target.waves,
        downs: programs,
        left_out: world.target.without.clone(),
        retry_after_s: request.retry_after_s,
        flags_off: flags.as_ref().map(FlagReport::to_turn_off).unwrap_or_default(),
        flags_left: flags.as_ref().map(FlagReport::left).unwrap_or_default(),
        ci: ci.as_ref().map(|ci| (ci.commit.clone(), ci.proof.clone())),
        hosts,
    };
    let plan = plan::rollback(&facts)?;
    let failing = bad.as_ref().unwrap_or(&facts.target);
    decided.health = facts.hosts.iter().map(|host| health(host, failing)).collect();
    decided.risks = risks(&facts, &history, request);
    if looked.is_some() {
        decided.risks.extend(unanswered(&facts.hosts, &world.target.service.units));
    }
    // What could not be learnt of flags is told to everybody who is told of the rollback.
    decided.risks.extend(flags.iter().flat_map(|flags| flags.unknown.iter().cloned()));
    if world.deploy.is_some() {
        decided.risks.extend(foreign::risks(world, &run, &facts.target).await);
    }
    Ok(Proposal {
        schema,
        downs: looked,
        flags,
        ci,
        decided: decided.clone(),
        prepared: Prepared {
            run,
            plan,
            seen: claims_of(&facts.hosts),
            decided: Some(decided),
            marks: bad.map(|bad| (bad, Mark::Bad, reason)).into_iter().collect(),
        },
    })
}

/// What is decided, and what option 3 executes where that is it. An error where the way is another.
async fn option(
    world: &World,
    hosts: &[HostFacts],
    history: &History,
    schema: &Schema,
    earlier_ms: &[u64],
    (bad, target): (Option<&Release>, &Release),
    request: &Request,
) -> Result<(Decided, Vec<Program>, Option<Downs>), FlowError> {
    let mut known = decision_facts(world, &request.said, span(schema), contained(hosts), earlier_ms);
    let looked = match bad {
        // Only where nothing else is left: it takes time, and asks the live database.
        Some(bad) if request.step_down || schema.broken().is_some() => {
            let deployed_at = history.get(&bad.digest).and_then(|record| record.deployed_at);
            Some((bad, downs::look(world, bad, target, deployed_at, &request.not_atomic).await))
        }
        _ => None,
    };
    if let Some((_, looked)) = &looked {
        known.down = looked.fact();
    }
    let decision = decide(&known);
    let overruled = overruled(&known, &decision, looked.is_some(), request);
    let decided = Decided { decision, facts: known, overruled, health: Vec::new(), risks: Vec::new() };
    if decided.act().goes_forward() && decided.overruled.is_none() {
        let (from, target) = (bad.cloned(), target.clone());
        return Err(FlowError::GoForward { decided: Box::new(decided), from, target });
    }
    match looked {
        Some((bad, looked)) if decided.act() == Act::DownAndBack => {
            let programs = looked.programs(bad, target, request)?;
            Ok((decided, programs, looked.into_downs()))
        }
        _ => {
            allowed(schema, &decided, request, bad, target)?;
            Ok((decided, Vec::new(), None))
        }
    }
}

/// What the operator wants instead of what the table says, and why. `can_step_down`: there is something to take down.
fn overruled(
    facts: &Facts,
    decision: &Decision,
    can_step_down: bool,
    request: &Request,
) -> Option<Overruled> {
    if request.step_down && can_step_down {
        let why = request.overrule.clone().or_else(|| request.reason.clone());
        let reason = why.unwrap_or_else(|| "option 3 was asked for".into());
        return (decision.act != Act::DownAndBack).then_some(Overruled { reason, act: Act::DownAndBack });
    }
    let reason = request.overrule.clone().filter(|_| decision.act.goes_forward())?;
    let act = match decision.act {
        // Somebody knows better whether the old code runs on the schema.
        Act::HotfixOnTop => Act::CodeBack,
        _ => going_back(facts).act,
    };
    Some(Overruled { reason, act })
}

/// What option 3 would come to. Changes nothing.
pub(super) async fn down(world: &World, bad: &Release, target: &Release) -> Down {
    let marks = world.ledger.marks().await.unwrap_or_default();
    let deployed_at = history::fold(&marks).get(&bad.digest).and_then(|record| record.deployed_at);
    downs::look(world, bad, target, deployed_at, &std::collections::BTreeSet::new()).await.fact()
}

/// Refuses what breaks, and what is not known unless somebody accepted that.
fn allowed(
    schema: &Schema,
    decided: &Decided,
    request: &Request,
    bad: Option<&Release>,
    target: &Release,
) -> Result<(), FlowError> {
    let (from, target) = (bad.unwrap_or(target).clone(), target.clone());
    match (schema.broken(), schema.unknown()) {
        (Some(why), _) if decided.act().goes_forward() => Err(FlowError::SchemaBreaks { from, target, why }),
        (None, Some(why)) if !request.accept_unknown_schema => {
            Err(FlowError::SchemaUnknown { from, target, why })
        }
        _ => Ok(()),
    }
}

/// What CI says of the target, and which release is better tested when it is not green.
async fn ci_of(
    world: &World,
    history: &History,
    bad: Option<&Release>,
    target: &Release,
) -> Option<CiReport> {
    let mut report = ci::report(world, target).await?;
    if !report.standing.is_green() {
        let not: Vec<&Release> = bad.into_iter().chain([target]).collect();
        report.better = ci::newest_green(world, history, &not).await.map(|green| green.release);
    }
    Some(report)
}

/// The hosts whose copy of the target is whole, and beside those that are missing the ones whose copy is not.
fn intact(
    damaged: Vec<MissingHost>,
    hosts: Vec<HostFacts>,
    mut missing: Vec<MissingHost>,
) -> (Vec<HostFacts>, Vec<MissingHost>) {
    let whole = |facts: &HostFacts| !damaged.iter().any(|host| host.host == facts.host);
    let hosts = hosts.into_iter().filter(whole).collect();
    missing.extend(damaged);
    (hosts, missing)
}

/// What a person should know before saying yes.
fn risks(facts: &RollbackFacts, history: &History, request: &Request) -> Vec<String> {
    let mut risks = Vec::new();
    let target = &facts.target;
    match history.get(&target.digest) {
        Some(record) if record.standing == Standing::KnownGood => {}
        Some(record) => risks.push(format!("{target} is {}: {}", record.standing.words(), record.why)),
        None if history.releases.iter().any(|record| record.release.tag == target.tag) => {
            risks.push(format!(
                "{target} was built anew and is another artifact than the one that served before ({})",
                target.digest.short()
            ));
        }
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

/// How the release does on a host.
fn health(host: &HostFacts, release: &Release) -> HostHealth {
    let of_it = || host.state.instances.iter().filter(|instance| instance.release.digest == release.digest);
    HostHealth {
        host: host.host.clone(),
        running: of_it().count(),
        restarts: of_it().map(|instance| instance.restarts).sum(),
    }
}
