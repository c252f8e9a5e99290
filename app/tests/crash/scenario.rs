//! The closed suite: runs of every kind, killed at every point, gone on with or aborted, and what must be
//! true afterwards. Generic over where it happens: the model, or real agents with real processes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use unship::flow::decide::Said;
use unship::flow::flags::FlagWishes;
use unship::flow::rollback::{Aim, Request};
use unship::flow::{self, FlowError, RunReport, StepReport};
use unship::ports::{Progress, Salvaged, World};
use unship_core::decision::FailureMode;
use unship_core::history::{self, Mark, Standing};
use unship_core::journal::{Event, Halt, Outcome, fold};
use unship_core::plan::{self, HostFacts, RollbackFacts, RunKind, Step, WaveSize};
use unship_core::protocol::{
    Envelope, Epoch, Flip, HostReply, HostRequest, HostState, InstanceState, PROTOCOL_VERSION,
};
use unship_core::release::{HostName, Release, RunId};

use crate::model::database::{DatabaseState, programs};
use crate::model::lock;
use crate::points::{Points, until_killed, with_points};

/// Where runs happen. What is behind it outlives processes.
#[async_trait(?Send)]
pub trait Site {
    /// The world of a new process; the one before is dead.
    async fn process(&mut self, points: &Arc<Points>) -> World;
    /// Lets requests in flight end.
    async fn settle(&mut self);
    /// What every host says of itself.
    async fn states(&mut self) -> Vec<(HostName, HostState)>;
    /// The release of a tag: `v1` to `v6`.
    fn release(&self, name: &str) -> Release;
    /// The smoke test fails with the release from now on.
    fn fail_smoke_of(&mut self, name: &str);
    /// Processes of the release end at once from now on, on one host or on all.
    fn break_release(&mut self, name: &str, on: Option<&str>);
    /// A person sets a flag.
    fn set_flag(&mut self, name: &str, on: bool);
    /// The flags that are on.
    fn flags_on(&self) -> Vec<String>;
    /// The host does not answer from now on: at once, or when it is told to converge; or all answer again.
    fn set_away(&mut self, away: Option<(&str, Away)>);
    /// The runs of which people were told.
    fn told(&self) -> BTreeSet<RunId>;
    /// The service's database.
    fn database(&self) -> Arc<Mutex<DatabaseState>>;
    /// What was seen that must never be.
    fn violations(&self) -> Vec<String>;
}

/// When a host is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    Now,
    /// It dies when it is told to converge, before it does anything.
    AtItsFlip,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Onto hosts that serve nothing.
    FirstDeploy,
    /// From one good release to the next.
    Deploy,
    /// A release whose processes end at once: goes back from the first host.
    DeployEndsAtOnce,
    /// A release whose smoke test fails: goes back from all hosts.
    DeployFailsSmoke,
    /// Beside each other.
    Rollback,
    /// Code that does harm is stopped first.
    RollbackOfHarm,
    /// The target does not come up on one host.
    RollbackHostFails,
    /// Ctrl-C before the first step.
    RollbackPaused,
    /// A flag that the deploy turned on, and one that a person turned on since.
    RollbackFlags,
    /// One host after the other.
    RollbackInTurn,
    /// A host does not answer from the beginning.
    RollbackHostAway,
    /// A host dies when it is flipped.
    RollbackHostDies,
    /// Everything answers 503.
    Hold,
    /// What was held serves again.
    ReleaseHold,
    /// From a hold to the release before.
    RollbackFromHold,
    /// Held, two migrations down, then the code.
    RollbackDown,
    /// The same where the database refuses: the service stays held until somebody says which way.
    RollbackDownHalts,
    /// The database refuses the way back: nothing serves until it does not.
    RollbackBackHalts,
    /// The target comes up nowhere: the second host is not touched until somebody says so.
    RollbackTargetBroken,
}

impl Scenario {
    pub const ALL: [Scenario; 19] = [
        Scenario::FirstDeploy,
        Scenario::Deploy,
        Scenario::DeployEndsAtOnce,
        Scenario::DeployFailsSmoke,
        Scenario::Rollback,
        Scenario::RollbackOfHarm,
        Scenario::RollbackHostFails,
        Scenario::RollbackPaused,
        Scenario::RollbackFlags,
        Scenario::RollbackInTurn,
        Scenario::RollbackHostAway,
        Scenario::RollbackHostDies,
        Scenario::Hold,
        Scenario::ReleaseHold,
        Scenario::RollbackFromHold,
        Scenario::RollbackDown,
        Scenario::RollbackDownHalts,
        Scenario::RollbackBackHalts,
        Scenario::RollbackTargetBroken,
    ];

    /// Whether migrations are taken down.
    fn goes_down(self) -> bool {
        use Scenario::{RollbackBackHalts, RollbackDown, RollbackDownHalts};
        matches!(self, RollbackDown | RollbackDownHalts | RollbackBackHalts)
    }

    /// What may be done after the process died.
    pub fn recoveries(self) -> Vec<Recovery> {
        let all = [Recovery::Resume, Recovery::Abort, Recovery::Back];
        all.into_iter().filter(|one| self.goes_down() || *one != Recovery::Back).collect()
    }

    fn is_rollback(self) -> bool {
        use Scenario::{Deploy, DeployEndsAtOnce, DeployFailsSmoke, FirstDeploy, Hold, ReleaseHold};
        !matches!(self, FirstDeploy | Deploy | DeployEndsAtOnce | DeployFailsSmoke | Hold | ReleaseHold)
    }

    /// Whether the hosts are held before.
    fn is_from_hold(self) -> bool {
        matches!(self, Scenario::ReleaseHold | Scenario::RollbackFromHold)
    }

    /// Whether a host does not answer.
    fn loses_a_host(self) -> bool {
        matches!(self, Scenario::RollbackHostAway | Scenario::RollbackHostDies)
    }

    /// How it ends when it is gone on with to its end.
    fn promised(self) -> Outcome {
        match self {
            Scenario::DeployEndsAtOnce | Scenario::DeployFailsSmoke => Outcome::WentBack,
            Scenario::RollbackHostFails
            | Scenario::RollbackHostAway
            | Scenario::RollbackHostDies
            | Scenario::RollbackTargetBroken => Outcome::Partial,
            _ => Outcome::Completed,
        }
    }

    /// What is there before.
    pub async fn prepare(self, site: &mut impl Site) {
        let deployed: &[&str] = match self {
            Scenario::FirstDeploy => &[],
            Scenario::Deploy | Scenario::DeployEndsAtOnce | Scenario::DeployFailsSmoke => &["v1"],
            _ => &["v1", "v2"],
        };
        for name in deployed {
            let world = site.process(&Points::none()).await;
            let report = deploy(&world, name, &format!("before-{name}")).await.expect("is deployed");
            assert_eq!(report.outcome, Some(Outcome::Completed));
            site.settle().await;
        }
        match self {
            Scenario::DeployEndsAtOnce => site.break_release("v3", None),
            Scenario::DeployFailsSmoke => site.fail_smoke_of("v3"),
            Scenario::RollbackHostFails => site.break_release("v1", Some("b")),
            Scenario::RollbackFlags => {
                site.set_flag("brought", true);
                site.set_flag("a person's", true);
            }
            Scenario::RollbackDownHalts => lock(&site.database()).refuses = true,
            Scenario::RollbackBackHalts => lock(&site.database()).refuses_up = true,
            Scenario::RollbackTargetBroken => site.break_release("v1", None),
            Scenario::RollbackHostAway => site.set_away(Some(("b", Away::Now))),
            Scenario::RollbackHostDies => site.set_away(Some(("b", Away::AtItsFlip))),
            Scenario::ReleaseHold | Scenario::RollbackFromHold => {
                let world = site.process(&Points::none()).await;
                let report = hold(&world, "before-hold").await.expect("is held");
                assert_eq!(report.outcome, Some(Outcome::Completed));
                site.settle().await;
            }
            _ => {}
        }
    }

    /// The run itself.
    pub async fn run(self, world: &World) -> Result<RunReport, FlowError> {
        match self {
            Scenario::FirstDeploy => deploy(world, "v1", RUN).await,
            Scenario::Deploy => deploy(world, "v2", RUN).await,
            Scenario::DeployEndsAtOnce | Scenario::DeployFailsSmoke => deploy(world, "v3", RUN).await,
            Scenario::RollbackOfHarm => rollback(world, RUN, FailureMode::DataCorruption, false).await,
            Scenario::RollbackPaused => rollback(world, RUN, FailureMode::Unsure, true).await,
            Scenario::RollbackFlags => {
                let off = BTreeSet::from(["brought".parse().expect("a flag")]);
                let flags = FlagWishes { off, keep: BTreeSet::new() };
                rollback_with(world, RUN, FailureMode::Degraded, false, flags).await
            }
            Scenario::RollbackInTurn | Scenario::RollbackTargetBroken => {
                let mut world = world.clone();
                world.target.waves = WaveSize::default();
                rollback(&world, RUN, FailureMode::PanicLoop, false).await
            }
            Scenario::Hold => hold(world, RUN).await,
            Scenario::ReleaseHold => {
                let prepared = flow::hold::release(world, RUN.parse().expect("a run"), "it is good").await?;
                flow::run::execute(world, prepared, &CancellationToken::new()).await
            }
            Scenario::RollbackDown | Scenario::RollbackDownHalts | Scenario::RollbackBackHalts => {
                rollback_down(world, RUN).await
            }
            Scenario::Rollback
            | Scenario::RollbackHostFails
            | Scenario::RollbackHostAway
            | Scenario::RollbackHostDies
            | Scenario::RollbackFromHold => rollback(world, RUN, FailureMode::PanicLoop, false).await,
        }
    }
}

/// The name of the run that is killed.
const RUN: &str = "run-1";

pub async fn deploy(world: &World, name: &str, run: &str) -> Result<RunReport, FlowError> {
    let tag = name.parse().expect("a tag");
    let prepared = flow::deploy::plan(world, run.parse().expect("a run"), &tag, None).await?;
    flow::run::execute(world, prepared, &CancellationToken::new()).await
}

async fn hold(world: &World, run: &str) -> Result<RunReport, FlowError> {
    let request = flow::hold::Request { mode: FailureMode::AuthRegression, reason: None, retry_after_s: 30 };
    let proposal = flow::hold::plan(world, run.parse().expect("a run"), &request).await?;
    flow::run::execute(world, proposal.prepared, &CancellationToken::new()).await
}

pub async fn rollback(
    world: &World,
    run: &str,
    mode: FailureMode,
    stop: bool,
) -> Result<RunReport, FlowError> {
    rollback_with(world, run, mode, stop, FlagWishes::default()).await
}

/// With the migrations taken down first. The plan is made from the same facts as the flow makes it from, with programs
/// that no throwaway database has to try.
async fn rollback_down(world: &World, run: &str) -> Result<RunReport, FlowError> {
    let run: RunId = run.parse().expect("a run");
    let request =
        Request { accept_unknown_schema: true, ..Request::of(Said::mode(FailureMode::DataCorruption)) };
    let mut prepared = flow::rollback::plan(world, run.clone(), &request).await?.prepared;
    let mut hosts = Vec::new();
    for host in &world.hosts {
        let envelope = Envelope {
            version: PROTOCOL_VERSION,
            run: run.clone(),
            step: 0,
            attempt: 0,
            epoch: Epoch(0),
            request: HostRequest::Observe,
        };
        match host.transport.call(envelope).await {
            Ok(HostReply::Observed { state }) => {
                hosts.push(HostFacts { host: host.name.clone(), state: *state })
            }
            other => panic!("{other:?}"),
        }
    }
    let plan = &prepared.plan;
    let facts = RollbackFacts {
        service: plan.service.clone(),
        environment: plan.environment.clone(),
        bad: plan.from.clone(),
        target: plan.to.clone(),
        reason: plan.reason.clone(),
        hosts,
        missing: Vec::new(),
        on_target: Vec::new(),
        size: world.target.waves,
        flip: Flip::StopFirst,
        one_host_first: false,
        smokes: true,
        command: None,
        downs: programs(),
        left_out: BTreeSet::new(),
        retry_after_s: 30,
        flags_off: Vec::new(),
        flags_left: Vec::new(),
        ci: None,
    };
    prepared.plan = plan::rollback(&facts).expect("a plan");
    flow::run::execute(world, prepared, &CancellationToken::new()).await
}

/// Brings a host over that was away while the others went back.
async fn rollback_again(world: &World, to: &str, run: &str) -> Result<RunReport, FlowError> {
    let request = Request {
        to: Aim::Named(to.parse().expect("a tag")),
        accept_unknown_schema: true,
        ..Request::of(Said::mode(FailureMode::Unsure))
    };
    let proposal = flow::rollback::plan(world, run.parse().expect("a run"), &request).await?;
    let flips = proposal.prepared.plan.steps().filter(|step| matches!(step, Step::Flip { .. })).count();
    assert_eq!(flips, 1, "the others are not flipped again: {:#?}", proposal.prepared.plan);
    flow::run::execute(world, proposal.prepared, &CancellationToken::new()).await
}

async fn rollback_with(
    world: &World,
    run: &str,
    mode: FailureMode,
    stop: bool,
    flags: FlagWishes,
) -> Result<RunReport, FlowError> {
    let request = Request { accept_unknown_schema: true, flags, ..Request::of(Said::mode(mode)) };
    let proposal = flow::rollback::plan(world, run.parse().expect("a run"), &request).await?;
    let token = CancellationToken::new();
    let mut world = world.clone();
    if stop {
        world.progress = Arc::new(StopsAtFirst { inner: world.progress, token: token.clone() });
    }
    flow::run::execute(&world, proposal.prepared, &token).await
}

/// An operator who says stop when the first step begins.
struct StopsAtFirst {
    inner: Arc<dyn Progress>,
    token: CancellationToken,
}

impl Progress for StopsAtFirst {
    fn started(&self, title: &str) {
        self.inner.started(title);
        self.token.cancel();
    }

    fn done(&self, title: &str, took_ms: u64) {
        self.inner.done(title, took_ms);
    }

    fn failed(&self, title: &str, error: &str) {
        self.inner.failed(title, error);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }
}

/// What is done after the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    Resume,
    Abort,
    /// All the way back, where migrations were taken down.
    Back,
}

impl Recovery {
    pub const ALL: [Recovery; 2] = [Recovery::Resume, Recovery::Abort];

    pub async fn run(self, world: &World) -> Result<RunReport, FlowError> {
        match self {
            Recovery::Resume => flow::resume(world, flow::Way::On, &CancellationToken::new()).await,
            Recovery::Back => flow::resume(world, flow::Way::Back, &CancellationToken::new()).await,
            Recovery::Abort => flow::abort(world, &CancellationToken::new()).await,
        }
    }
}

/// The points of the whole run, none of which kills.
pub async fn points_of(scenario: Scenario, site: &mut impl Site) -> Vec<String> {
    let points = Points::none();
    let world = with_points(site.process(&points).await, &points);
    let report = scenario.run(&world).await.expect("it runs");
    let expected = match scenario {
        Scenario::RollbackPaused | Scenario::RollbackDownHalts | Scenario::RollbackTargetBroken => None,
        other => Some(other.promised()),
    };
    assert_eq!(report.outcome, expected, "{scenario:?} {report:#?}");
    site.settle().await;
    check(scenario, Recovery::Resume, Ok(report), site).await;
    points.names()
}

/// Kills the run at a point, then recovers, itself killed at a point if one is given, in the end to the end.
/// Answers how many points the recovery has.
pub async fn kill_and_recover(
    scenario: Scenario,
    recovery: Recovery,
    first: usize,
    second: Option<usize>,
    site: &mut impl Site,
) -> usize {
    let points = Points::kill_at(first);
    let world = with_points(site.process(&points).await, &points);
    let ended = until_killed(scenario.run(&world)).await;
    assert!(ended.is_none() && points.is_dead(), "point {first} of {scenario:?} was not reached: {ended:?}");
    drop(world);
    if let Some(second) = second {
        let points = Points::kill_at(second);
        let world = with_points(site.process(&points).await, &points);
        // A recovery that has nothing to do has fewer points.
        let _ = until_killed(recovery.run(&world)).await;
    }
    finish(scenario, recovery, site).await
}

/// Recovers to the end and checks what is promised. Answers how many points the recovery has.
pub async fn finish(scenario: Scenario, recovery: Recovery, site: &mut impl Site) -> usize {
    let points = Points::none();
    let world = with_points(site.process(&points).await, &points);
    let mut result = recovery.run(&world).await;
    site.settle().await;
    if let Ok(RunReport { halted: Some(halt @ (Halt::FirstWave | Halt::WayBack)), .. }) = &result {
        may_be_decided(*halt, site).await;
        let world = site.process(&Points::none()).await;
        result = recovery.run(&world).await;
        site.settle().await;
    }
    check(scenario, recovery, result, site).await;
    points.names().len()
}

/// A run is halted that another word of the operator's brings to its end.
async fn may_be_decided(halt: Halt, site: &mut impl Site) {
    let states = site.states().await;
    match halt {
        Halt::Step => {}
        Halt::FirstWave => {
            let (_, second) = states.last().expect("two hosts");
            assert!(serves(second, &site.release("v2")), "nothing is begun on it: {second:#?}");
        }
        Halt::WayBack => {
            assert!(states.iter().all(|(_, state)| is_held(state)), "{states:#?}");
            lock(&site.database()).refuses_up = false;
        }
    }
}

/// What must be true when everything is over.
async fn check(
    scenario: Scenario,
    recovery: Recovery,
    result: Result<RunReport, FlowError>,
    site: &mut impl Site,
) {
    let world = site.process(&Points::none()).await;
    let violations = site.violations();
    assert!(violations.is_empty(), "{violations:#?}");
    let states = site.states().await;
    let report = match result {
        Ok(report) => report,
        Err(FlowError::NothingToResume) => {
            let entries = world.ledger.entries(&RUN.parse().expect("a run")).await.expect("entries");
            if entries.is_empty() {
                return nothing_was_done(scenario, &states, &world, site).await;
            }
            let state = fold(&entries).expect("a whole journal");
            assert!(state.outcome.is_some(), "the run has not ended and cannot be resumed");
            RunReport::of(&state, world.clock.now())
        }
        Err(error) => panic!("recovery failed: {error}"),
    };
    if report.outcome.is_none() {
        // Stopped as asked, or halted; gone on with by the next command.
        let halts = match scenario {
            Scenario::RollbackDownHalts => Some(Halt::Step),
            Scenario::RollbackTargetBroken => Some(Halt::FirstWave),
            other => {
                assert_eq!(other, Scenario::RollbackPaused, "{report:#?}");
                None
            }
        };
        assert_eq!(report.halted, halts);
        if halts == Some(Halt::Step) {
            assert!(states.iter().all(|(_, state)| is_held(state)), "{states:#?}");
            assert_eq!(lock(&site.database()).versions(), ["1", "2", "3"]);
        }
        return;
    }
    if scenario.goes_down() {
        fits(&report, &states, site);
    }
    truth(&report, &states);
    flags_are(scenario, &report, site);
    let promised = scenario.promised();
    let allowed: &[Outcome] = match (recovery, scenario.is_rollback()) {
        (Recovery::Resume, _) => &[promised],
        // It may have come to its end before.
        (Recovery::Back, _) => &[promised, Outcome::WentBack],
        // The run may have been over, or all of its steps done.
        (Recovery::Abort, true) => &[promised, Outcome::Partial],
        (Recovery::Abort, false) => &[promised, Outcome::WentBack],
    };
    assert!(report.outcome.is_some_and(|outcome| allowed.contains(&outcome)), "{report:#?}");
    kept(&report, &world).await;
    // A release that serves again was not rolled back.
    let rolled_back = report.kind == RunKind::Rollback && report.outcome != Some(Outcome::WentBack);
    assert_eq!(site.told().contains(&report.run), rolled_back, "{report:#?}");
    if scenario.loses_a_host() && report.outcome == Some(Outcome::Partial) {
        returned(&report, &world, site).await;
    }
    usable(&report, &world, site).await;
}

/// A host is back that was away while its release was taken back: it is seen, and brought over by itself.
async fn returned(report: &RunReport, world: &World, site: &mut impl Site) {
    site.set_away(None);
    let back = |state: &HostState| serves(state, &report.to);
    let behind: Vec<HostName> =
        site.states().await.into_iter().filter(|(_, state)| !back(state)).map(|(host, _)| host).collect();
    let others_came_over = behind.len() == 1;
    if !others_came_over {
        // It was aborted before anything came over.
        return;
    }
    let status = flow::status::status(world, "look".parse().expect("a run")).await.expect("a status");
    for host in &status.hosts {
        let trouble = host.trouble.as_deref().unwrap_or_default();
        assert_eq!(behind.contains(&host.host), trouble.contains("which is bad"), "{}: {trouble}", host.host);
    }
    let again = rollback_again(world, report.to.tag.as_str(), "run-back").await;
    let again = again.unwrap_or_else(|error| panic!("after {report:#?}: {error}"));
    assert_eq!(again.outcome, Some(Outcome::Completed), "{again:#?}");
    site.settle().await;
    for (host, state) in site.states().await {
        assert!(serves(&state, &report.to), "{host} {state:#?}");
    }
}

/// A flag that the run was to turn off is off when the run says so; nobody else's flag was touched.
fn flags_are(scenario: Scenario, report: &RunReport, site: &impl Site) {
    if scenario != Scenario::RollbackFlags {
        return;
    }
    let on = site.flags_on();
    assert!(on.contains(&"a person's".to_owned()), "{on:?}");
    let done = report.steps.iter().any(|step| step.title.starts_with("turn off") && step.state == "done");
    assert!(!done || on.len() == 1, "{on:?} {report:#?}");
    assert!(done || report.outcome != Some(Outcome::Completed), "{report:#?}");
}

/// The run never began: everything is as it was.
async fn nothing_was_done(
    scenario: Scenario,
    states: &[(HostName, HostState)],
    world: &World,
    site: &impl Site,
) {
    for (host, state) in states {
        match scenario {
            _ if scenario.is_from_hold() => assert!(is_held(state), "{host} {state:#?}"),
            Scenario::FirstDeploy => assert!(state.instances.is_empty(), "{host} {state:#?}"),
            _ => {
                let on_v2 = scenario.is_rollback() || scenario == Scenario::Hold;
                let name = if on_v2 { "v2" } else { "v1" };
                assert!(serves(state, &site.release(name)), "{host} {state:#?}");
            }
        }
        assert!(state.quarantined.is_empty(), "{host}");
    }
    let marks = world.ledger.marks().await.expect("marks");
    let bad = marks.iter().filter(|mark| mark.mark == Mark::Bad).count();
    assert_eq!(bad, usize::from(scenario.is_from_hold()), "{marks:#?}");
}

/// Whether the host answers 503, and does nothing else.
fn is_held(state: &HostState) -> bool {
    let answers = |one: &unship_core::protocol::Instance| {
        one.unit == "web" && one.release.is_hold() && one.state == InstanceState::Ready && one.proved
    };
    state.held.is_some()
        && state.current.is_none()
        && state.instances.len() == 1
        && state.instances.iter().all(answers)
}

/// Whether the host serves this release on both units, and runs nothing else.
pub fn serves(state: &HostState, release: &Release) -> bool {
    let ready = |unit: &str| {
        state.instances.iter().any(|instance| {
            instance.unit == unit
                && instance.release == *release
                && instance.state == InstanceState::Ready
                && instance.proved
        })
    };
    state.current.as_ref() == Some(release)
        && state.instances.iter().all(|instance| instance.release == *release)
        && ready("web")
        && ready("worker")
        && state.instances.len() == 2
}

/// What the report says is so.
fn truth(report: &RunReport, states: &[(HostName, HostState)]) {
    let outcome = report.outcome.expect("it ended");
    if outcome == Outcome::Partial {
        let all_done = report.steps.iter().all(|step| step.state == "done");
        assert!(
            !all_done || !report.without.is_empty(),
            "it calls itself half done and names nothing: {report:#?}"
        );
    }
    if matches!(outcome, Outcome::WentBack | Outcome::WentBackPartly) {
        let begun =
            |step: &&StepReport| step.title.starts_with("apply the migrations") && step.state != "not_tried";
        for step in report.steps.iter().filter(begun) {
            assert!(report.left.iter().any(|left| left.contains(&step.title)), "{report:#?}");
        }
    }
    for (host, state) in states {
        let named = report.steps.iter().any(|step| {
            step.title.contains(host.as_str())
                && matches!(step.state, "failed" | "not_tried" | "unknown" | "undo_failed")
        });
        let named = named || report.without.iter().any(|missing| missing.host == *host);
        let on_target = match report.kind {
            RunKind::Hold => is_held(state),
            _ => serves(state, &report.to),
        };
        let as_before = match &report.from {
            Some(_) if report.kind == RunKind::ReleaseHold => is_held(state),
            Some(from) => serves(state, from),
            None => state.instances.is_empty() && state.current.is_none(),
        };
        let holds = match outcome {
            Outcome::Completed => on_target,
            Outcome::WentBack => as_before,
            Outcome::Partial => on_target || named,
            Outcome::WentBackPartly => as_before || named,
        };
        assert!(holds, "{host}: {state:#?}\n{report:#?}");
        if report.kind == RunKind::Rollback && report.outcome == Some(Outcome::Completed) {
            let bad = report.from.as_ref().expect("a bad release");
            assert!(state.quarantined.iter().any(|mark| mark.release == *bad), "{host} may start {bad}");
        }
    }
}

/// What serves runs on the schema that it knows, and whatever was taken down is there again or salvaged.
fn fits(report: &RunReport, states: &[(HostName, HostState)], site: &impl Site) {
    let database = site.database();
    let database = lock(&database);
    let whole = ["1", "2", "3"];
    match report.outcome {
        Some(Outcome::Completed) => assert_eq!(database.versions(), ["1"]),
        Some(Outcome::WentBack) => assert_eq!(database.versions(), whole),
        _ => assert!(whole.starts_with(&database.versions()), "{database:#?}"),
    }
    for (host, state) in states {
        let old = serves(state, &site.release("v1"));
        assert!(!old || database.versions() == ["1"], "{host} serves v1 on {database:#?}");
        let new = serves(state, &site.release("v2"));
        assert!(!new || database.versions() == whole, "{host} serves v2 on {database:#?}");
    }
    for version in ["2", "3"] {
        let salvaged = |one: &Salvaged| one.version == version && one.restored.is_none();
        let kept: u64 =
            database.salvaged.iter().filter(|one| salvaged(one)).map(|one| one.stores[0].rows).sum();
        let live = database.applied.get(version).copied().unwrap_or_default();
        assert_eq!(kept + u64::from(live), 7, "rows of {version}: {database:#?}");
        let fenced = database.fences.iter().any(|fence| fence.version == version);
        assert_eq!(fenced, !database.applied.contains_key(version), "{version}: {database:#?}");
    }
}

/// The ledger has the whole run, nobody holds the environment, no journal is left open.
async fn kept(report: &RunReport, world: &World) {
    let entries = world.ledger.entries(&report.run).await.expect("entries");
    let state = fold(&entries).expect("the ledger's entries make sense");
    assert_eq!(state.outcome, report.outcome);
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.seq, index as u64);
    }
    assert_eq!(world.journals.open_runs().expect("journals"), []);
    assert_eq!(world.ledger.holder().await.expect("a holder"), None);
    for (index, step) in state.plan.steps().enumerate() {
        // An outcome without an intent is refused by the fold; an act needs both.
        let intents =
            entries.iter().filter(|entry| matches!(entry.event, Event::Intent { step, .. } if step == index));
        let done =
            entries.iter().any(|entry| matches!(entry.event, Event::Done { step, .. } if step == index));
        assert!(!done || intents.count() > 0, "{}", Step::title(step));
    }
    let history = history::fold(&world.ledger.marks().await.expect("marks"));
    match (report.kind, report.outcome) {
        (RunKind::Rollback, Some(Outcome::WentBack)) => {
            let release = report.from.as_ref().expect("a release");
            let record = history.get(&release.digest).expect("the release is known");
            assert_eq!(record.standing, Standing::Unproven, "{release} serves again: {history:#?}");
        }
        (RunKind::Rollback, _) => {
            let bad = report.from.as_ref().expect("a bad release");
            let record = history.get(&bad.digest).expect("the bad release is known");
            assert_eq!(record.standing, Standing::Bad, "{bad} was taken back: {history:#?}");
        }
        (RunKind::Deploy, Some(Outcome::Completed)) => {
            let record = history.get(&report.to.digest).expect("the release is known");
            assert!(record.deployed_at.is_some(), "{history:#?}");
            if let Some(from) = &report.from {
                let record = history.get(&from.digest).expect("what served before is known");
                assert_eq!(
                    record.standing,
                    Standing::KnownGood,
                    "{from} was superseded while it served well"
                );
            }
        }
        (RunKind::Hold | RunKind::ReleaseHold, outcome) => {
            let held = (report.kind == RunKind::Hold) == (outcome == Some(Outcome::Completed));
            let record = history.get(&report.to.digest).expect("the release is known");
            assert_eq!(record.standing == Standing::Bad, held, "{history:#?}");
        }
        (RunKind::Deploy | RunKind::Adopt | RunKind::Flags, _) => {}
    }
}

/// The environment is not stuck: the next deploy works.
async fn usable(report: &RunReport, world: &World, site: &mut impl Site) {
    site.set_away(None);
    if lock(&site.database()).fences.iter().any(|fence| fence.version == "2") {
        // What has it too does not bring it back.
        let again = deploy(world, "v3", "run-fenced").await;
        assert!(matches!(again, Err(FlowError::Fenced { .. })), "{again:?}");
    }
    let next =
        deploy(world, "v5", "run-2").await.unwrap_or_else(|error| panic!("after {report:#?}: {error}"));
    assert_eq!(next.outcome, Some(Outcome::Completed), "{next:#?}");
    site.settle().await;
    let release = site.release("v5");
    for (host, state) in site.states().await {
        assert!(serves(&state, &release), "{host} {state:#?}");
    }
    assert_eq!(site.violations(), Vec::<String>::new());
}
