//! The closed suite: runs of every kind, killed at every point, gone on with or aborted, and what must be
//! true afterwards. Generic over where it happens: the model, or real agents with real processes.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use unship::flow::rollback::{Mode, Request};
use unship::flow::{self, FlowError, RunReport, StepReport};
use unship::ports::World;
use unship_core::history::{self, Mark, Standing};
use unship_core::journal::{Event, Outcome, fold};
use unship_core::plan::{RunKind, Step};
use unship_core::protocol::{HostState, InstanceState};
use unship_core::release::{HostName, Release, RunId};

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
    /// The runs of which people were told.
    fn told(&self) -> BTreeSet<RunId>;
    /// What was seen that must never be.
    fn violations(&self) -> Vec<String>;
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
}

impl Scenario {
    pub const ALL: [Scenario; 8] = [
        Scenario::FirstDeploy,
        Scenario::Deploy,
        Scenario::DeployEndsAtOnce,
        Scenario::DeployFailsSmoke,
        Scenario::Rollback,
        Scenario::RollbackOfHarm,
        Scenario::RollbackHostFails,
        Scenario::RollbackPaused,
    ];

    fn is_rollback(self) -> bool {
        use Scenario::{Rollback, RollbackHostFails, RollbackOfHarm, RollbackPaused};
        matches!(self, Rollback | RollbackOfHarm | RollbackHostFails | RollbackPaused)
    }

    /// How it ends when it is gone on with to its end.
    fn promised(self) -> Outcome {
        match self {
            Scenario::DeployEndsAtOnce | Scenario::DeployFailsSmoke => Outcome::WentBack,
            Scenario::RollbackHostFails => Outcome::Partial,
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
            _ => {}
        }
    }

    /// The run itself.
    pub async fn run(self, world: &World) -> Result<RunReport, FlowError> {
        match self {
            Scenario::FirstDeploy => deploy(world, "v1", RUN).await,
            Scenario::Deploy => deploy(world, "v2", RUN).await,
            Scenario::DeployEndsAtOnce | Scenario::DeployFailsSmoke => deploy(world, "v3", RUN).await,
            Scenario::RollbackOfHarm => rollback(world, RUN, Mode::DataCorruption, false).await,
            Scenario::RollbackPaused => rollback(world, RUN, Mode::Unsure, true).await,
            Scenario::Rollback | Scenario::RollbackHostFails => {
                rollback(world, RUN, Mode::PanicLoop, false).await
            }
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

pub async fn rollback(world: &World, run: &str, mode: Mode, stop: bool) -> Result<RunReport, FlowError> {
    let request = Request { to: None, mode, reason: None, accept_unknown_schema: true, break_glass: false };
    let proposal = flow::rollback::plan(world, run.parse().expect("a run"), &request).await?;
    let token = CancellationToken::new();
    if stop {
        token.cancel();
    }
    flow::run::execute(world, proposal.prepared, &token).await
}

/// What is done after the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    Resume,
    Abort,
}

impl Recovery {
    pub const ALL: [Recovery; 2] = [Recovery::Resume, Recovery::Abort];

    pub async fn run(self, world: &World) -> Result<RunReport, FlowError> {
        match self {
            Recovery::Resume => flow::resume(world, &CancellationToken::new()).await,
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
        Scenario::RollbackPaused => None,
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
    let result = recovery.run(&world).await;
    site.settle().await;
    check(scenario, recovery, result, site).await;
    points.names().len()
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
        // Stopped as asked; gone on with by the next command.
        assert_eq!(scenario, Scenario::RollbackPaused);
        return;
    }
    truth(&report, &states);
    let promised = scenario.promised();
    let allowed: &[Outcome] = match (recovery, scenario.is_rollback()) {
        (Recovery::Resume, _) => &[promised],
        // The run may have been over, or all of its steps done.
        (Recovery::Abort, true) => &[promised, Outcome::Partial],
        (Recovery::Abort, false) => &[promised, Outcome::WentBack],
    };
    assert!(report.outcome.is_some_and(|outcome| allowed.contains(&outcome)), "{report:#?}");
    kept(&report, &world).await;
    assert_eq!(site.told().contains(&report.run), report.kind == RunKind::Rollback, "{report:#?}");
    usable(&report, &world, site).await;
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
            Scenario::FirstDeploy => assert!(state.instances.is_empty(), "{host} {state:#?}"),
            _ => {
                let name = if scenario.is_rollback() { "v2" } else { "v1" };
                assert!(serves(state, &site.release(name)), "{host} {state:#?}");
            }
        }
        assert!(state.quarantined.is_empty(), "{host}");
    }
    let marks = world.ledger.marks().await.expect("marks");
    assert!(marks.iter().all(|mark| mark.mark != Mark::Bad), "{marks:#?}");
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
        assert!(!all_done, "it calls itself half done and names nothing: {report:#?}");
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
        let on_target = serves(state, &report.to);
        let as_before = match &report.from {
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
    for (index, step) in state.plan.steps.iter().enumerate() {
        // An outcome without an intent is refused by the fold; an act needs both.
        let intents =
            entries.iter().filter(|entry| matches!(entry.event, Event::Intent { step, .. } if step == index));
        let done =
            entries.iter().any(|entry| matches!(entry.event, Event::Done { step, .. } if step == index));
        assert!(!done || intents.count() > 0, "{}", Step::title(step));
    }
    let history = history::fold(&world.ledger.marks().await.expect("marks"));
    match (report.kind, report.outcome) {
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
        (RunKind::Deploy, _) => {}
    }
}

/// The environment is not stuck: the next deploy works.
async fn usable(report: &RunReport, world: &World, site: &mut impl Site) {
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
