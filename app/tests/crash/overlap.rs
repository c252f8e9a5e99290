//! Two processes at once, on the model: one stands still at a point, for every point it has, while the other
//! does its whole command.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use unship::cli::{CliError, exit};
use unship::flow::{self, FlowError};
use unship_core::decision::FailureMode;
use unship_core::journal::Outcome;

use crate::model::{ARTIFACTS, ModelSite, lock};
use crate::points::{Points, until_killed, with_points};
use crate::scenario::{Recovery, Scenario, Site, deploy, finish, rollback, serves};

async fn prepared() -> ModelSite {
    let mut site = ModelSite::new(&["a", "b"], &ARTIFACTS);
    Scenario::Rollback.prepare(&mut site).await;
    site
}

/// What the other one types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Rollback,
    Deploy,
    Resume,
    Abort,
    Status,
}

type Ended = Result<Option<Outcome>, FlowError>;

/// Does the other's command to its end, on a thread of its own: the one that stands still has this one.
fn meanwhile(site: &ModelSite, other: Other) -> Ended {
    let (world, _) = site.start_process(&Points::none());
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let stop = CancellationToken::new();
            let report = match other {
                Other::Rollback => rollback(&world, "other", FailureMode::PanicLoop, false).await?,
                Other::Deploy => deploy(&world, "v5", "other").await?,
                Other::Resume => flow::resume(&world, flow::Way::On, &stop).await?,
                Other::Abort => flow::abort(&world, &stop).await?,
                Other::Status => {
                    let run = "other".parse().expect("a run");
                    return flow::status::status(&world, run).await.map(|_| None);
                }
            };
            Ok(report.outcome)
        })
    };
    std::thread::spawn(work).join().expect("the other does not panic")
}

fn status(result: &Ended) -> ExitCode {
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => CliError::from(error.clone()).exit_code(),
    }
}

/// One stands still at a point; gives what came of both, and the name of the point.
async fn at_point(point: usize, other: Other) -> (ModelSite, Ended, Option<Ended>) {
    let site = prepared().await;
    let shared = Arc::new(site.share());
    let there = Arc::new(Mutex::new(None));
    let (keep, of) = (Arc::clone(&there), Arc::clone(&shared));
    let points = Points::visited(None, move |number, _| {
        if number == point {
            *lock(&keep) = Some(meanwhile(&of, other));
        }
    });
    let (world, _) = shared.start_process(&points);
    let world = with_points(world, &points);
    let one = rollback(&world, "one", FailureMode::PanicLoop, false).await.map(|report| report.outcome);
    let there = lock(&there).take();
    (site, one, there)
}

/// The points at which the host itself does not stand still as well.
async fn points() -> Vec<(usize, String)> {
    let mut site = prepared().await;
    let points = Points::none();
    let world = with_points(site.process(&points).await, &points);
    rollback(&world, "one", FailureMode::PanicLoop, false).await.expect("it runs");
    points.names().into_iter().enumerate().filter(|(_, name)| !name.starts_with("inside")).collect()
}

#[tokio::test]
async fn of_two_rollbacks_exactly_one_runs_and_the_other_is_told_who_has_it() {
    let points = points().await;
    let looked = points.iter().find(|(_, name)| name.starts_with("after host observe")).expect("it looks").0;
    let released = points.iter().find(|(_, name)| name == "after ledger release").expect("it gives back").0;
    let mut won = [0, 0];
    for (point, name) in points {
        let (mut site, one, other) = at_point(point, Other::Rollback).await;
        let other = other.expect("the point was reached");
        let place = format!("point {point}, {name}: {one:?} and {other:?}");
        let loser = match (&one, &other) {
            (Ok(Some(Outcome::Completed)), Err(_)) => &other,
            (Err(_), Ok(Some(Outcome::Completed))) => &one,
            _ => panic!("not exactly one ran; {place}"),
        };
        won[usize::from(one.is_err())] += 1;
        // Who first looks when all is over has nothing to go back to, which is another answer.
        let late = if one.is_err() { point < looked } else { point >= released };
        if late {
            assert_eq!(status(loser), ExitCode::from(exit::REFUSED), "{place}");
        } else {
            assert_eq!(status(loser), ExitCode::from(exit::LOCKED), "{place}");
            let error = loser.as_ref().expect_err("the loser");
            assert!(matches!(error, FlowError::Unfinished { .. }) || error.holder().is_some(), "{place}");
        }
        site.settle().await;
        let target = Site::release(&site, "v1");
        for (host, state) in site.states().await {
            assert!(serves(&state, &target), "{host} at {place}");
        }
        assert_eq!(site.violations(), Vec::<String>::new(), "{place}");
    }
    assert!(won[0] > 50 && won[1] > 3, "one side always wins: {won:?}");
}

#[tokio::test]
async fn nobody_disturbs_a_run_that_is_under_way() {
    for other in [Other::Deploy, Other::Resume, Other::Abort, Other::Status] {
        let points = points().await;
        let began = points.iter().find(|(_, name)| name == "after ledger acquire").expect("a lease").0;
        let ended = points.iter().find(|(_, name)| name == "before ledger release").expect("an end").0;
        for (point, name) in points.into_iter().filter(|(point, _)| (began..=ended).contains(point)) {
            let (mut site, one, there) = at_point(point, other).await;
            let there = there.expect("the point was reached");
            let place = format!("point {point}, {name}: {one:?} and {other:?} {there:?}");
            assert!(matches!(one, Ok(Some(Outcome::Completed))), "{place}");
            match (other, &there) {
                // A run's journal is not there yet at its beginning, and closed at its end.
                (Other::Status, Ok(None))
                | (Other::Resume | Other::Abort, Err(FlowError::NothingToResume)) => {}
                _ => assert_eq!(status(&there), ExitCode::from(exit::LOCKED), "{place}"),
            }
            assert_eq!(site.violations(), Vec::<String>::new(), "{place}");
            site.settle().await;
        }
    }
}

/// Somebody looks all the time, and then the process dies.
#[tokio::test]
async fn looking_does_not_make_a_run_unfindable() {
    for (point, name) in points().await {
        let mut site = prepared().await;
        let shared = Arc::new(site.share());
        let of = Arc::clone(&shared);
        let points = Points::visited(Some(point), move |_, name| {
            if name.contains("journal") || name.contains("append") {
                meanwhile(&of, Other::Status).expect("a status");
            }
        });
        let world = with_points(site.process(&points).await, &points);
        let ended = until_killed(Scenario::Rollback.run(&world)).await;
        assert!(ended.is_none(), "{name}");
        finish(Scenario::Rollback, Recovery::Resume, &mut site).await;
    }
}
