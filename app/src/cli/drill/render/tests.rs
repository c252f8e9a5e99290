use super::*;
use crate::flow::drill::{Compared, FailureGroup, Held, Moment};
use crate::load::summary::{Bucket, Latency};

fn phase(phase: Phase, from_ms: u64, until_ms: u64, requests: u64, p99_us: u64) -> PhaseFigures {
    let latency = Some(Latency { p50_us: p99_us / 3, p99_us, max_us: p99_us * 2 });
    PhaseFigures {
        phase,
        from_ms,
        until_ms,
        requests,
        failed: 0,
        failed_by_bad_release: 0,
        held: 0,
        latency,
        failures: Vec::new(),
    }
}

/// A report with frozen figures: 6 s, the bad release from second 2 to second 4.
fn frozen() -> DrillReport {
    let mut bad = phase(Phase::Bad, 2_200, 3_900, 340, 90_000);
    bad.failed_by_bad_release = 18;
    bad.failures = vec![FailureGroup {
        request: "slow".into(),
        outcome: "closed without an answer".into(),
        whose: Blame::BadRelease,
        on_reused_connection: 7,
        count: 18,
    }];
    let course = (0..60)
        .map(|n| {
            let p99_us = if (22..40).contains(&n) { 2_000 << (n % 6) } else { 1_500 + n * 20 };
            let latency = Latency { p50_us: 1_000, p99_us, max_us: p99_us };
            Bucket { requests: 20, failed: u64::from(n == 30), latency: (n != 35).then_some(latency) }
        })
        .collect();
    DrillReport {
        scenario: "panic-loop".into(),
        outcome: "rolled_back",
        option: Some(1),
        flag: None,
        from: "v1.1.0".parse().expect("a tag"),
        to: "v1.0.0".parse().expect("a tag"),
        good: "v1.0.0".parse().expect("a tag"),
        requests: 1_200,
        failed_requests: 0,
        failed_by_bad_release: 18,
        held_requests: 0,
        held_ms: None,
        losses: Vec::new(),
        users: None,
        ceremony_ms: 51.1,
        floor_ms: Some(11.3),
        smoke: "passed",
        seen: "3 restarts".into(),
        seen_after_ms: 1_700,
        held: vec![
            Held { what: "the rollback completes".into(), held: true, instead: None },
            Held { what: "no request fails before".into(), held: true, instead: None },
        ],
        phases: vec![
            phase(Phase::Before, 0, 2_000, 400, 2_100),
            phase(Phase::Deploy, 2_000, 2_200, 40, 8_000),
            bad,
            phase(Phase::Rollback, 3_900, 3_951, 10, 69_000),
            phase(Phase::After, 3_951, 6_000, 410, 2_900),
        ],
        timeline: vec![
            Moment { at_ms: 0, what: "v1.0.0 serves under load".into() },
            Moment { at_ms: 3_951, what: "local proved v1.0.0".into() },
        ],
        course,
        bucket_ms: 100,
        sent_late: 0,
    }
}

fn plain(lines: &[String]) -> String {
    let lines: Vec<String> =
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    lines.join("\n")
}

#[test]
fn the_report_of_a_good_drill() {
    insta::assert_snapshot!(plain(&report(&frozen(), 80)));
}

#[test]
fn the_report_of_a_drill_that_lost_requests() {
    let mut lost = frozen();
    lost.outcome = "not_held";
    lost.failed_requests = 2;
    lost.phases[3].failed = 2;
    lost.phases[3].failures = vec![FailureGroup {
        request: "star".into(),
        outcome: "connection reset".into(),
        whose: Blame::Unship,
        on_reused_connection: 0,
        count: 2,
    }];
    lost.held[1] = Held {
        what: "at most 0 requests are failed by the rollback".into(),
        held: false,
        instead: Some("2".into()),
    };
    lost.sent_late = 1_234;
    insta::assert_snapshot!(plain(&report(&lost, 80)));
}

#[test]
fn the_report_of_a_drill_that_took_migrations_down_and_lost_a_value() {
    let mut down = frozen();
    down.outcome = "not_held";
    down.option = Some(3);
    down.held_ms = Some(1_250);
    down.held_requests = 31;
    down.losses = vec!["0006_issue_status: column issues.triage_note: 2 values".into()];
    down.users =
        Some(Compared { compared: 812, differences: vec!["issues 3: title was 'a' and is 'b'".into()] });
    down.phases[3].held = 31;
    down.phases[3].failures = vec![FailureGroup {
        request: "star".into(),
        outcome: "status 503".into(),
        whose: Blame::Held,
        on_reused_connection: 0,
        count: 31,
    }];
    down.held[1] = Held {
        what: "what users wrote is there, value by value".into(),
        held: false,
        instead: Some("issues 3: title was 'a' and is 'b'".into()),
    };
    insta::assert_snapshot!(plain(&report(&down, 80)));
}

#[test]
fn the_report_of_a_drill_that_shipped_a_hotfix() {
    let mut hotfix = frozen();
    hotfix.outcome = "rolled_forward";
    hotfix.option = Some(2);
    hotfix.to = "v1.1.1".parse().expect("a tag");
    insta::assert_snapshot!(plain(&report(&hotfix, 80)));
}

#[test]
fn the_chart_fits_any_terminal() {
    let frozen = frozen();
    for width in [40, 57, 80, 200] {
        for line in chart::draw(&frozen.course, 100, &frozen.phases, width) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
    // Narrower than any terminal: still a chart, and no panic.
    assert_eq!(chart::draw(&frozen.course, 100, &frozen.phases, 0).len(), 8);
    assert_eq!(chart::draw(&[], 100, &[], 80), ["  no request got a right answer"]);
}

#[test]
fn numbers_as_people_read_them() {
    assert_eq!(
        [0, 999, 1_000, 41_022, 1_000_000].map(thousands),
        ["0", "999", "1,000", "41,022", "1,000,000"]
    );
    assert_eq!([999, 1_250, 12_345, 1_234_567].map(latency_text), ["999 us", "1.2 ms", "12 ms", "1.2 s"]);
}
