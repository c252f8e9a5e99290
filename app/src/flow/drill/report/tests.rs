use super::*;
use unship_core::decision::FailureMode;
use unship_core::plan::RunKind;
use unship_core::release::{Digest, Release};
use unship_core::time::Timestamp;

use super::super::{RunReport, Seen, Windows};
use crate::load::sample::{Outcome as SampleOutcome, RequestKind, Sample, TransportKind};

fn scenario() -> Scenario {
    Scenario {
        name: "tried".into(),
        good: "v1".parse().expect("a tag"),
        bad: "v2".parse().expect("a tag"),
        mode: FailureMode::PanicLoop,
        way: Way::Back,
        accept_unknown_schema: false,
        steady_ms: 1,
        seen: Seen::Restarts { count: 3 },
        seen_within_ms: 1,
        settle_ms: 1,
        failed_requests_max: 0,
    }
}

fn course(outcome: Option<Outcome>) -> Course {
    let release =
        |tag: &str| Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) };
    Course {
        windows: Windows {
            deploy: Window { from_us: 100_000, until_us: 200_000 },
            rollback: Window { from_us: 300_000, until_us: 400_000 },
            unfit_us: None,
            holding: None,
        },
        seen: "3 restarts".into(),
        seen_after_ms: 100,
        run: RunReport {
            run: "run-1".parse().expect("a run"),
            kind: RunKind::Rollback,
            from: Some(release("v2")),
            to: release("v1"),
            outcome,
            halted: None,
            taken_down: Vec::new(),
            held_ms: None,
            turned_because: None,
            steps: Vec::new(),
            gaps: Vec::new(),
            without: Vec::new(),
            left: Vec::new(),
            started_at: Timestamp(0),
            ended_at: Timestamp(100),
            took_ms: 100,
        },
        option: Some(1),
        losses: Vec::new(),
        ceremony: Duration::from_millis(100),
        gone: None,
    }
}

/// 50 requests, 10 ms apart, of which the one due at `fails_at_us` is lost.
fn report_of(
    fails_at_us: Option<u64>,
    outcome: Option<Outcome>,
    smoke: Option<Result<(), String>>,
) -> DrillReport {
    let sample = |at: u64| Sample {
        request: 0,
        scheduled_us: at,
        start_us: at,
        end_us: at + 1_000,
        keep_alive: false,
        reused: false,
        outcome: if fails_at_us == Some(at) {
            SampleOutcome::Transport(TransportKind::Eof)
        } else {
            SampleOutcome::Status(200)
        },
        server: None,
        instance: None,
        retry_after_s: None,
    };
    let kind = RequestKind { name: "home".into(), method: "GET".into(), expect_status: 200, slow: false };
    let recording = Recording {
        requests: vec![kind],
        samples: (0..50).map(|n| sample(n * 10_000)).collect(),
        unrecorded: 0,
        late: 0,
        open_at_stop: 0,
        began_wall_us: 0,
    };
    let (scenario, course) = (scenario(), course(outcome));
    let figures = Figures::of(&recording, &[], (&scenario.good, &scenario.bad), course.windows);
    let found = Found { smoke, serves: Ok(()), users: None, floor: Some(Duration::from_millis(80)) };
    DrillReport::new(&scenario, &course, &recording, &figures, found, Vec::new())
}

fn broken(report: &DrillReport) -> Vec<&str> {
    report.held.iter().filter(|held| !held.held).map(|held| held.what.as_str()).collect()
}

#[test]
fn nothing_failed_is_rolled_back() {
    let report = report_of(None, Some(Outcome::Completed), Some(Ok(())));
    assert_eq!((report.outcome, report.smoke, report.failed_requests), ("rolled_back", "passed", 0));
    assert!(report.all_held());
}

#[test]
fn one_lost_request_in_any_phase_but_the_bad_releases_own_is_not_held() {
    for (at, what) in [
        (50_000, Some("no request fails before")),
        (150_000, Some("no request is failed by the deploy")),
        (250_000, None),
        (350_000, Some("at most 0 requests are failed by the rollback")),
        (450_000, Some("no request fails afterwards")),
    ] {
        let report = report_of(Some(at), Some(Outcome::Completed), None);
        assert_eq!(broken(&report), Vec::from_iter(what), "lost at {at} us");
        assert_eq!(report.all_held(), what.is_none());
        assert_eq!(report.failed_requests, u64::from(at == 350_000));
        assert_eq!(report.failed_by_bad_release, u64::from(at == 250_000));
    }
}

#[test]
fn a_rollback_that_did_not_complete_or_a_failed_smoke_test_is_never_good() {
    let report = report_of(None, Some(Outcome::Partial), None);
    assert_eq!((report.outcome, report.smoke, report.all_held()), ("incomplete", "none", false));
    let report = report_of(None, Some(Outcome::Completed), Some(Err("no".into())));
    assert_eq!((report.outcome, report.smoke, report.all_held()), ("not_held", "failed", false));
}

#[test]
fn the_json_has_every_key_that_is_promised() {
    let json = serde_json::to_value(report_of(None, Some(Outcome::Completed), None)).expect("JSON");
    for key in [
        "scenario",
        "outcome",
        "option",
        "from",
        "to",
        "requests",
        "failed_requests",
        "failed_by_bad_release",
        "held_requests",
        "held_ms",
        "losses",
        "users",
        "ceremony_ms",
        "floor_ms",
        "smoke",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["ceremony_ms"], 100.0);
    assert_eq!(json["floor_ms"], 80.0);
}

/// A report without a lost request, of a scenario and a course that were changed.
fn changed(change: impl FnOnce(&mut Scenario, &mut Course), users: Option<Compared>) -> DrillReport {
    let (mut scenario, mut course) = (scenario(), course(Some(Outcome::Completed)));
    change(&mut scenario, &mut course);
    let recording = Recording {
        requests: Vec::new(),
        samples: Vec::new(),
        unrecorded: 0,
        late: 0,
        open_at_stop: 0,
        began_wall_us: 0,
    };
    let figures = Figures::of(&recording, &[], (&scenario.good, &scenario.bad), course.windows);
    let found = Found { smoke: None, serves: Ok(()), users, floor: Some(Duration::from_millis(80)) };
    DrillReport::new(&scenario, &course, &recording, &figures, found, Vec::new())
}

#[test]
fn a_hotfix_is_forward_and_a_way_that_was_not_gone_is_not_held() {
    let hotfix = |option| {
        changed(
            |scenario, course| {
                scenario.way = Way::Hotfix("v2.1".parse().expect("a tag"));
                course.option = Some(option);
            },
            None,
        )
    };
    assert_eq!(
        (hotfix(2).outcome, hotfix(2).option, hotfix(2).all_held()),
        ("rolled_forward", Some(2), true)
    );
    assert_eq!(broken(&hotfix(1)), ["it is option 2"]);
    let down = changed(|scenario, _| scenario.way = Way::Down, None);
    assert_eq!((broken(&down), down.option), (vec!["it is option 3"], Some(1)));
}

#[test]
fn one_value_that_users_wrote_and_that_is_not_there_is_not_held() {
    let compared = |differences: &[&str]| Compared {
        compared: 9,
        differences: differences.iter().map(ToString::to_string).collect(),
    };
    assert!(changed(|_, _| (), Some(compared(&[]))).all_held());
    let lost = changed(|_, _| (), Some(compared(&["issue 1 is gone"])));
    assert_eq!(broken(&lost), ["what users wrote is there, value by value"]);
}

#[test]
fn a_flag_that_mends_nothing_is_not_held() {
    let flagged = |gone: Result<(), String>| {
        changed(
            |scenario, course| {
                scenario.way = Way::Flag("greeting".parse().expect("a flag"));
                course.option = None;
                course.gone = Some(gone);
            },
            None,
        )
    };
    let mended = flagged(Ok(()));
    assert_eq!((mended.outcome, mended.option, mended.all_held()), ("flag_off", None, true));
    assert_eq!(broken(&flagged(Err("status 500".into()))), ["the failure is gone"]);
}
