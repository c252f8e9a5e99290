use super::*;
use crate::load::sample::{Outcome, RequestKind, TransportKind};

const WINDOWS: Windows = Windows {
    deploy: Window { from_us: 1_000, until_us: 2_000 },
    rollback: Window { from_us: 3_000, until_us: 4_000 },
    unfit_us: None,
    holding: None,
};

fn sample(from: u64, until: u64, outcome: Outcome) -> Sample {
    Sample {
        request: 0,
        scheduled_us: from,
        start_us: from,
        end_us: until,
        keep_alive: true,
        reused: true,
        outcome,
        server: None,
        instance: None,
        retry_after_s: None,
    }
}

fn figures(samples: Vec<Sample>, lives: &[InstanceLife]) -> Figures {
    figures_of(samples, lives, WINDOWS)
}

fn figures_of(samples: Vec<Sample>, lives: &[InstanceLife], windows: Windows) -> Figures {
    let kind = RequestKind { name: "home".into(), method: "GET".into(), expect_status: 200, slow: false };
    let recording = Recording {
        requests: vec![kind],
        samples,
        unrecorded: 0,
        late: 0,
        open_at_stop: 0,
        began_wall_us: 0,
    };
    let tag = |text: &str| text.parse().expect("a tag");
    Figures::of(&recording, lives, (&tag("v1"), &tag("v2")), windows)
}

/// A process of the bad release that runs from the deploy on.
fn bad(signalled_us: Option<i64>) -> InstanceLife {
    InstanceLife {
        release: "v2".parse().expect("a tag"),
        pid: 5,
        invocation: "i5".into(),
        started_us: Some(1_500),
        signalled_us,
        ended_us: None,
    }
}

const OK: Outcome = Outcome::Status(200);
const E500: Outcome = Outcome::Status(500);
const RESET: Outcome = Outcome::Transport(TransportKind::Reset);

#[test]
fn a_request_belongs_to_the_phase_in_which_unship_acted_while_it_ran() {
    for (from, until, phase) in [
        (0, 999, Phase::Before),
        (0, 1_000, Phase::Deploy),
        (2_000, 2_100, Phase::Deploy),
        (2_001, 2_100, Phase::Bad),
        (2_001, 3_000, Phase::Rollback),
        (500, 9_000, Phase::Rollback),
        (4_000, 4_100, Phase::Rollback),
        (4_001, 4_100, Phase::After),
    ] {
        assert_eq!(WINDOWS.phase(&sample(from, until, OK)), phase, "{from} to {until}");
    }
}

#[test]
fn every_request_is_in_one_phase_and_every_failure_in_one_column() {
    let samples: Vec<Sample> =
        (0..50).map(|n| sample(n * 100, n * 100 + 150, if n % 3 == 0 { RESET } else { OK })).collect();
    let figures = figures(samples, &[]);
    let sum = |of: fn(&PhaseFigures) -> u64| figures.phases.iter().map(of).sum::<u64>();
    assert_eq!(sum(|phase| phase.requests), 50);
    assert_eq!(sum(|phase| phase.failed + phase.failed_by_bad_release + phase.held), 17);
    assert_eq!(sum(|phase| phase.failures.iter().map(|group| group.count).sum()), 17);
}

#[test]
fn what_fails_before_the_deploy_is_nobodys_excuse() {
    let figures = figures(vec![sample(100, 200, E500)], &[bad(None)]);
    let before = figures.phase(Phase::Before).expect("a phase");
    assert_eq!((before.failed, before.failed_by_bad_release), (1, 0));
}

#[test]
fn last_answers_of_the_bad_release_after_the_target_is_verified_are_its_own() {
    let named = |mut sample: Sample| {
        sample.instance = Some("5".into());
        sample
    };
    let lives = [bad(Some(3_500))];
    let samples = vec![named(sample(2_100, 2_200, E500)), named(sample(4_500, 4_600, E500))];
    let after = figures(samples, &lives).phase(Phase::After).cloned().expect("a phase");
    assert_eq!((after.failed, after.failed_by_bad_release), (0, 1));

    let samples = vec![sample(4_500, 4_600, RESET)];
    let after = figures(samples, &lives).phase(Phase::After).cloned().expect("a phase");
    assert_eq!((after.failed, after.failed_by_bad_release), (1, 0), "a lost connection is not");
}

#[test]
fn what_is_held_as_said_is_no_failure_of_anybody() {
    let held = |at: u64, retry_after_s: Option<u32>| {
        let mut sample = sample(at, at + 10, Outcome::Status(503));
        sample.retry_after_s = retry_after_s;
        sample
    };
    let window = Window { from_us: 3_200, until_us: 4_000 };
    let windows = Windows { holding: Some(Holding { window, retry_after_s: 30 }), ..WINDOWS };
    let samples = vec![
        held(3_500, Some(30)),
        // Before the hold began, or after the target was verified; another number, or none.
        held(3_100, Some(30)),
        held(4_100, Some(30)),
        held(3_600, Some(5)),
        held(3_700, None),
    ];
    let figures = figures_of(samples.clone(), &[], windows);
    let of = |phase| figures.phase(phase).map(|figures| (figures.failed, figures.held));
    assert_eq!(of(Phase::Rollback), Some((3, 1)));
    assert_eq!(of(Phase::After), Some((1, 0)));
    let nobody_said = figures_of(samples, &[], WINDOWS);
    assert_eq!(nobody_said.phases.iter().map(|phase| phase.held).sum::<u64>(), 0);
}

#[test]
fn what_the_good_release_cannot_answer_on_the_bad_ones_schema_is_the_bad_ones() {
    let good = InstanceLife {
        release: "v1".parse().expect("a tag"),
        pid: 4,
        invocation: "i4".into(),
        started_us: Some(0),
        // Times are known to the millisecond: whatever ends less than one before it may have been told.
        signalled_us: Some(2_600),
        ended_us: None,
    };
    let by_good = |at: u64, status: u16| {
        let mut sample = sample(at, at + 10, Outcome::Status(status));
        sample.instance = Some("4".into());
        sample
    };
    let samples = vec![
        by_good(1_300, 500),
        by_good(1_500, 502),
        // It was told to stop: its own work can still fail, but a 503 is unship's to answer for.
        by_good(1_900, 500),
        by_good(1_910, 503),
        // Before the migrations were begun; another process; below 500.
        by_good(1_100, 500),
        sample(1_600, 1_610, RESET),
        by_good(1_650, 404),
    ];
    let lives = [good, bad(None)];
    let deploy = |windows| {
        let figures = figures_of(samples.clone(), &lives, windows);
        figures.phase(Phase::Deploy).map(|figures| (figures.failed, figures.failed_by_bad_release))
    };
    assert_eq!(deploy(Windows { unfit_us: Some(1_200), ..WINDOWS }), Some((4, 3)));
    assert_eq!(deploy(WINDOWS), Some((7, 0)), "where the good release runs on that schema");
}

#[test]
fn only_what_is_older_than_the_schema_can_be_failed_by_it() {
    let good = |pid: u32, started_us: i64| InstanceLife {
        release: "v1".parse().expect("a tag"),
        pid,
        invocation: format!("i{pid}"),
        started_us: Some(started_us),
        signalled_us: None,
        ended_us: None,
    };
    let by = |at: u64, pid: u32| {
        let mut sample = sample(at, at + 10, E500);
        sample.instance = Some(pid.to_string().into());
        sample
    };
    // Process 4 finishes what it had when the bad release came; process 6 is the one that was gone back to.
    let lives = [good(4, 0), bad(None), good(6, 3_400)];
    let figures = figures_of(
        vec![by(3_500, 4), by(3_600, 6), sample(3_700, 3_710, E500)],
        &lives,
        Windows { unfit_us: Some(1_200), ..WINDOWS },
    );
    let rollback = figures.phase(Phase::Rollback).expect("a phase");
    assert_eq!((rollback.failed, rollback.failed_by_bad_release), (2, 1));
}
