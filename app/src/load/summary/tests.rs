use super::*;
use crate::load::sample::{Outcome, RequestKind};

fn sample(request: u16, scheduled_us: u64, took_us: u64, status: u16) -> Sample {
    Sample {
        request,
        scheduled_us,
        start_us: scheduled_us,
        end_us: scheduled_us + took_us,
        keep_alive: false,
        reused: false,
        outcome: Outcome::Status(status),
        server: None,
        instance: None,
        retry_after_s: None,
    }
}

fn recording(samples: Vec<Sample>) -> Recording {
    let kind = |slow| RequestKind { name: "x".into(), method: "GET".into(), expect_status: 200, slow };
    Recording {
        requests: vec![kind(false), kind(true)],
        samples,
        unrecorded: 0,
        late: 0,
        open_at_stop: 0,
        began_wall_us: 0,
    }
}

#[test]
fn percentiles_are_values_that_were_measured() {
    let values: Vec<u64> = (1..=100).collect();
    assert_eq!(percentile(&values, 500), Some(50));
    assert_eq!(percentile(&values, 990), Some(99));
    assert_eq!(percentile(&values, 1_000), Some(100));
    assert_eq!(percentile(&[7], 500), Some(7));
    assert_eq!(percentile(&[], 500), None);
}

#[test]
fn the_course_counts_every_request_once_and_slow_ones_not_as_latency() {
    let recording = recording(vec![
        sample(0, 0, 10, 200),
        sample(0, 99, 30, 200),
        sample(0, 100, 20, 500),
        sample(1, 150, 2_000_000, 200),
        sample(0, 200, 1, 200),
    ]);
    let course = course(&recording, Window { from_us: 0, until_us: 199 }, 2);
    assert_eq!((course[0].requests, course[0].failed), (2, 0));
    assert_eq!(course[0].latency, Some(Latency { p50_us: 10, p99_us: 30, max_us: 30 }));
    assert_eq!((course[1].requests, course[1].failed, course[1].latency), (2, 1, None));
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    let mut late = sample(0, 1_000, 500, 200);
    late.start_us = 1_400;
    assert_eq!(late.latency_us(), 500);
}
