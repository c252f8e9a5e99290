//! Every kill point of every scenario, on the model.

use unship::flow::decide::Said;
use unship::flow::rollback::Request;
use unship::flow::{self, FlowError};
use unship_core::decision::{Act, FailureMode};
use unship_core::journal::{Halt, Outcome};
use unship_core::plan::{Step, Wave};

use crate::model::{ARTIFACTS, ModelSite};
use crate::points::Points;
use crate::scenario::{Recovery, Scenario, Site, kill_and_recover, points_of, serves};
use crate::{say, silently, thorough};

async fn prepared(scenario: Scenario) -> ModelSite {
    let mut site = ModelSite::new(&["a", "b"], &ARTIFACTS);
    scenario.prepare(&mut site).await;
    site
}

async fn every_point(scenario: Scenario) {
    let site = prepared(scenario).await;
    let points = points_of(scenario, &mut site.clone()).await;
    assert!(points.len() > 30, "only {} points: the wrapping is gone", points.len());
    for recovery in scenario.recoveries() {
        for (number, name) in points.iter().enumerate() {
            let _where = crate::Where(format!("{scenario:?} {recovery:?}, point {number}: {name}"));
            kill_and_recover(scenario, recovery, number, None, &mut site.clone()).await;
        }
    }
    say(&format!("{scenario:?}: {} points, each resumed and aborted", points.len()));
}

/// A crash, and another one while going on.
async fn pairs(scenario: Scenario) {
    let site = prepared(scenario).await;
    let points = points_of(scenario, &mut site.clone()).await.len();
    // Coprime to everything that repeats in a run, so that all kinds of points meet.
    let stride = if thorough() { 1 } else { 83 };
    let mut count = 0;
    let mut turn = 0;
    for recovery in scenario.recoveries() {
        for first in 0..points {
            let length = kill_and_recover(scenario, recovery, first, None, &mut site.clone()).await;
            for second in 0..length {
                turn += 1;
                if turn % stride != 0 {
                    continue;
                }
                let _where = crate::Where(format!("{scenario:?} {recovery:?}, points {first} and {second}"));
                kill_and_recover(scenario, recovery, first, Some(second), &mut site.clone()).await;
                count += 1;
            }
        }
    }
    say(&format!("{scenario:?}: {count} pairs of points"));
}

macro_rules! each_scenario {
    ($($name:ident = $scenario:ident;)*) => {
        mod every_point { $(#[tokio::test] async fn $name() { super::every_point(super::Scenario::$scenario).await; })* }
        mod pairs { $(#[tokio::test] async fn $name() { super::pairs(super::Scenario::$scenario).await; })* }
        #[test]
        fn every_scenario_has_its_tests() {
            assert_eq!(Scenario::ALL, [$(Scenario::$scenario),*]);
        }
    };
}

each_scenario! {
    first_deploy = FirstDeploy;
    deploy = Deploy;
    deploy_ends_at_once = DeployEndsAtOnce;
    deploy_fails_smoke = DeployFailsSmoke;
    rollback = Rollback;
    rollback_of_harm = RollbackOfHarm;
    rollback_host_fails = RollbackHostFails;
    rollback_paused = RollbackPaused;
    rollback_flags = RollbackFlags;
    rollback_in_turn = RollbackInTurn;
    rollback_host_away = RollbackHostAway;
    rollback_host_dies = RollbackHostDies;
    hold = Hold;
    release_hold = ReleaseHold;
    rollback_from_hold = RollbackFromHold;
    rollback_down = RollbackDown;
    rollback_down_halts = RollbackDownHalts;
    rollback_back_halts = RollbackBackHalts;
    rollback_target_broken = RollbackTargetBroken;
}

/// What nobody knows of the schema is accepted by a person, and tried on one host alone.
#[tokio::test]
async fn on_a_schema_that_is_not_known_one_host_goes_first() {
    let mut site = ModelSite::new(&["a", "b", "c"], &ARTIFACTS);
    Scenario::Rollback.prepare(&mut site).await;
    let world = site.process(&Points::none()).await;
    let refused = Request::of(Said::mode(FailureMode::PanicLoop));
    let plan = flow::rollback::plan(&world, "run-1".parse().expect("a run"), &refused).await;
    assert!(matches!(plan, Err(FlowError::SchemaUnknown { .. })), "{plan:?}");
    let accepted = Request { accept_unknown_schema: true, ..refused };
    let proposal = flow::rollback::plan(&world, "run-1".parse().expect("a run"), &accepted).await;
    let proposal = proposal.expect("a plan");
    assert_eq!(proposal.decided.decision.act, Act::OneHostFirst);
    let flips = |wave: &Wave| wave.steps.iter().filter(|step| matches!(step, Step::Flip { .. })).count();
    let waves: Vec<usize> =
        proposal.prepared.plan.waves.iter().map(flips).filter(|count| *count > 0).collect();
    assert_eq!(waves, [1, 2], "a wave would be all of them");
}

/// Whoever was told that the target came up nowhere may take all of it back: the release that is left serves on.
#[tokio::test]
async fn a_rollback_whose_first_wave_failed_can_be_taken_back() {
    let scenario = Scenario::RollbackTargetBroken;
    let mut site = prepared(scenario).await;
    let world = site.process(&Points::none()).await;
    let halted = scenario.run(&world).await.expect("it runs");
    assert_eq!(halted.halted, Some(Halt::FirstWave), "{halted:#?}");
    let back = Recovery::Back.run(&world).await.expect("it goes back");
    assert_eq!(back.outcome, Some(Outcome::WentBack), "{back:#?}");
    for (host, state) in site.states().await {
        assert!(serves(&state, &site.release("v2")) && state.quarantined.is_empty(), "{host}: {state:#?}");
    }
    assert_eq!(site.violations(), Vec::<String>::new());
}

/// The same over the user's own deploy command, which lives on when the process dies.
mod command {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::lock;
    use crate::model::parts::CommandState;
    use crate::scenario::{deploy, rollback};

    fn site() -> (ModelSite, Arc<Mutex<CommandState>>) {
        let mut site = ModelSite::new(&["a", "b"], &ARTIFACTS);
        let state = Arc::default();
        site.command = Some(Arc::clone(&state));
        (site, state)
    }

    #[tokio::test]
    async fn every_point_of_every_run() {
        for scenario in [
            Scenario::FirstDeploy,
            Scenario::Deploy,
            Scenario::DeployFailsSmoke,
            Scenario::Rollback,
            Scenario::RollbackPaused,
        ] {
            let (mut site, _) = site();
            scenario.prepare(&mut site).await;
            let points = points_of(scenario, &mut site.clone()).await;
            if scenario != Scenario::RollbackPaused {
                let inside =
                    points.iter().filter(|name| name.starts_with("inside, the deploy command")).count();
                assert!(inside >= 3, "{points:#?}");
            }
            // Before the first deploy nothing served that has a tag, so there is no way back to it.
            let back = scenario != Scenario::FirstDeploy;
            for recovery in Recovery::ALL.into_iter().filter(|recovery| back || *recovery == Recovery::Resume)
            {
                for (number, name) in points.iter().enumerate() {
                    let _where =
                        crate::Where(format!("command {scenario:?} {recovery:?}, point {number}: {name}"));
                    kill_and_recover(scenario, recovery, number, None, &mut site.clone()).await;
                }
            }
            say(&format!("command, {scenario:?}: {} points, each resumed and aborted", points.len()));
        }
    }

    #[tokio::test]
    async fn one_that_ends_well_and_restarts_nothing_is_found_out() {
        let (mut site, state) = site();
        for name in ["v1", "v2"] {
            let world = site.process(&Points::none()).await;
            let report = deploy(&world, name, &format!("before-{name}")).await.expect("is deployed");
            assert_eq!(report.outcome, Some(Outcome::Completed));
        }
        lock(&state).restarts_nothing = true;
        let world = site.process(&Points::none()).await;
        let report = rollback(&world, "run-1", unship_core::decision::FailureMode::PanicLoop, false).await;
        let report = report.expect("it runs");
        assert_eq!(report.outcome, Some(Outcome::Partial));
        let proofs: Vec<_> = report.steps.iter().filter(|step| step.title.starts_with("prove")).collect();
        assert_eq!(proofs.len(), 2);
        for proof in proofs {
            let error = proof.error.as_deref().unwrap_or_default();
            assert!(error.contains("is still process 7 of v2, started "), "{error}");
            assert!(error.ends_with("the deploy command replaced the file and restarted nothing"), "{error}");
            let hint = proof.hint.as_deref().unwrap_or_default();
            assert!(hint.contains("sudo systemctl restart web.service"), "{hint}");
        }
    }
}

/// The suite sees what it must: with a disk that loses what it said it had, or hosts that serve anybody,
/// something must come out.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_lies_is_found() {
    let site = prepared(Scenario::Rollback).await;
    site.journals.lock().loses_last = true;
    let points = points_of(Scenario::Rollback, &mut site.clone()).await.len();
    let mut found = 0;
    for point in 0..points {
        let mut site = site.clone();
        let test = kill_and_recover(Scenario::Rollback, Recovery::Resume, point, None, &mut site);
        let runtime = tokio::runtime::Handle::current();
        let caught = silently(|| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                tokio::task::block_in_place(|| runtime.block_on(test))
            }))
        });
        found += usize::from(caught.is_err());
    }
    assert!(found > 0, "{points} points and nothing was seen");
}

#[tokio::test]
async fn points_are_the_same_every_time() {
    let site = prepared(Scenario::Deploy).await;
    let (mut one, mut two) = (
        points_of(Scenario::Deploy, &mut site.clone()).await,
        points_of(Scenario::Deploy, &mut site.clone()).await,
    );
    // Hosts of one wave answer in whatever order.
    one.sort();
    two.sort();
    assert_eq!(one, two);
    // What a process does that is not killed is the same with and without points.
    let mut site = site.clone();
    let world = site.process(&Points::none()).await;
    assert!(Scenario::Deploy.run(&world).await.is_ok());
}
