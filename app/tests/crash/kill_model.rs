//! Every kill point of every scenario, on the model.

use crate::model::{ARTIFACTS, ModelSite};
use crate::points::Points;
use crate::scenario::{Recovery, Scenario, Site, kill_and_recover, points_of};
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
    for recovery in Recovery::ALL {
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
    for recovery in Recovery::ALL {
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
    let (one, two) = (
        points_of(Scenario::Deploy, &mut site.clone()).await,
        points_of(Scenario::Deploy, &mut site.clone()).await,
    );
    assert_eq!(one, two);
    // What a process does that is not killed is the same with and without points.
    let mut site = site.clone();
    let world = site.process(&Points::none()).await;
    assert!(Scenario::Deploy.run(&world).await.is_ok());
}
