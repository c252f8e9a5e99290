use super::*;
use crate::load::sample::{Outcome, RequestKind, TransportKind};

const WINDOWS: Windows = Windows {
    deploy: Window { from_us: 1_000, until_us: 2_000 },
    rollback: Window { from_us: 3_000, until_us: 4_000 },
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
    }
}

fn figures(samples: Vec<Sample>, lives: &[InstanceLife]) -> Figures {
    let kind = RequestKind { name: "home".into(), method: "GET".into(), expect_status: 200, slow: false };
    let recording = Recording {
        requests: vec![kind],
        samples,
        unrecorded: 0,
        late: 0,
        open_at_stop: 0,
        began_wall_us: 0,
    };
    Figures::of(&recording, lives, &"v2".parse().expect("a tag"), WINDOWS)
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
    assert_eq!(sum(|phase| phase.failed + phase.failed_by_bad_release), 17);
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
