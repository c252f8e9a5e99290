use proptest::prelude::*;

use super::*;
use crate::load::sample::{RequestKind, TransportKind};

const WINDOW: Window = Window { from_us: 1_000_000, until_us: 2_000_000 };
const GOOD: &str = "v1.0.0";
const BAD: &str = "v1.1.0";

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn life(release: &str, pid: u32) -> InstanceLife {
    InstanceLife {
        release: tag(release),
        pid,
        invocation: format!("run-{pid}"),
        started_us: Some(0),
        signalled_us: None,
        ended_us: None,
    }
}

impl InstanceLife {
    fn started(mut self, at: i64) -> InstanceLife {
        self.started_us = Some(at);
        self
    }
    fn signalled(mut self, at: i64) -> InstanceLife {
        self.signalled_us = Some(at);
        self
    }
    fn ended(mut self, at: i64) -> InstanceLife {
        self.ended_us = Some(at);
        self
    }
}

fn sample(start_us: u64, end_us: u64, outcome: Outcome) -> Sample {
    Sample {
        request: 0,
        scheduled_us: start_us,
        start_us,
        end_us,
        keep_alive: false,
        reused: false,
        outcome,
        server: None,
        instance: None,
        retry_after_s: None,
    }
}

impl Sample {
    fn by(mut self, instance: &str) -> Sample {
        self.instance = Some(instance.into());
        self
    }
    fn server(mut self, server: &str) -> Sample {
        self.server = Some(server.into());
        self
    }
}

fn recording(samples: Vec<Sample>) -> Recording {
    let kind = RequestKind { name: "x".into(), method: "GET".into(), expect_status: 200, slow: false };
    Recording { requests: vec![kind], samples, unrecorded: 0, late: 0, open_at_stop: 0, began_wall_us: 0 }
}

/// The blame of the last sample.
fn blame(lives: &[InstanceLife], samples: Vec<Sample>) -> Option<Blame> {
    let recording = recording(samples);
    let bad = tag(BAD);
    let last = recording.samples.last().expect("a sample");
    Attribution::new(&recording, lives, &bad, WINDOW).blame(last)
}

const E500: Outcome = Outcome::Status(500);
const E503: Outcome = Outcome::Status(503);
const RESET: Outcome = Outcome::Transport(TransportKind::Reset);
const EOF: Outcome = Outcome::Transport(TransportKind::Eof);

#[test]
fn only_failures_that_touch_the_window_have_a_blame() {
    let lives = [life(GOOD, 1)];
    for (what, sample, expected) in [
        ("a right answer", sample(1_100_000, 1_200_000, Outcome::Status(200)), None),
        ("over before", sample(800_000, 999_999, RESET), None),
        ("due after", sample(2_000_001, 2_100_000, RESET), None),
        ("running at the first action", sample(500_000, 1_000_000, RESET), Some(Blame::Unship)),
        ("due at the last moment", sample(2_000_000, 5_000_000, RESET), Some(Blame::Unship)),
        ("a wrong status below 500", sample(1_100_000, 1_200_000, Outcome::Status(404)), Some(Blame::Unship)),
    ] {
        assert_eq!(blame(&lives, vec![sample]), expected, "{what}");
    }
}

#[test]
fn a_request_that_was_due_in_the_window_counts_however_late_it_was_sent() {
    let mut late = sample(1_900_000, 2_600_000, RESET);
    late.start_us = 2_500_000;
    assert_eq!(blame(&[life(GOOD, 1)], vec![late]), Some(Blame::Unship));
}

#[test]
fn answers_of_500_and_more() {
    let both = [life(GOOD, 1).started(1_050_000), life(BAD, 2)];
    let bad_only = [life(BAD, 2)];
    let at = |outcome| sample(1_100_000, 1_200_000, outcome);
    for (what, lives, sample, expected) in [
        ("named by its process id", &both[..], at(E500).by("2"), Blame::BadRelease),
        ("named by its invocation", &both, at(E500).by("run-2"), Blame::BadRelease),
        ("the good one named", &both, at(E500).by("1"), Blame::Unship),
        ("named by Server", &both, at(E500).server("shop/v1.1.0"), Blame::BadRelease),
        ("named by Server without v", &both, at(E500).server("shop/1.1.0 (x)"), Blame::BadRelease),
        ("the good one by Server", &both, at(E500).server("shop/1.0.0"), Blame::Unship),
        ("a Server that tells no version", &both, at(E500).server("nginx"), Blame::Unship),
        ("nobody named, both run", &both, at(E500), Blame::Unship),
        ("nobody named, only the bad one runs", &bad_only, at(E500), Blame::BadRelease),
        ("nobody runs", &[], at(E500), Blame::Unship),
        ("named is nobody we know, both run", &both, at(E500).by("77"), Blame::Unship),
        ("below 500, even if named", &both, at(Outcome::Status(400)).by("2"), Blame::Unship),
    ] {
        assert_eq!(blame(lives, vec![sample]), Some(expected), "{what}");
    }
}

#[test]
fn a_process_id_used_again_proves_nothing() {
    let lives = [life(BAD, 2).ended(1_190_000), life(GOOD, 2).started(1_150_000)];
    assert_eq!(blame(&lives, vec![sample(1_100_000, 1_200_000, E500).by("2")]), Some(Blame::Unship));
}

#[test]
fn after_the_signal_only_what_it_answered_before_is_the_bad_releases() {
    let lives = [life(BAD, 2).signalled(1_150_000)];
    let before = |outcome| sample(700_000, 800_000, outcome).by("2");
    let after = |outcome| sample(1_160_000, 1_200_000, outcome).by("2");
    assert_eq!(blame(&lives, vec![after(E503)]), Some(Blame::Unship), "shutting down");
    assert_eq!(blame(&lives, vec![before(E500), after(E503)]), Some(Blame::Unship), "another status");
    assert_eq!(blame(&lives, vec![before(E500), after(E500)]), Some(Blame::BadRelease), "as before");
    let early = sample(1_100_000, 1_120_000, E503).by("2");
    assert_eq!(blame(&lives, vec![early]), Some(Blame::BadRelease), "answered before the signal");
}

#[test]
fn lost_connections_of_nobody_we_know() {
    let in_flight = |outcome| sample(1_100_000, 1_500_000, outcome);
    let by_itself = life(BAD, 2).ended(1_490_000);
    let told = |at| life(BAD, 3).signalled(at - 10_000).ended(at);
    let of = |kind| in_flight(Outcome::Transport(kind));
    for (what, lives, sample, expected) in [
        ("the bad one ended by itself", vec![by_itself.clone()], in_flight(RESET), Blame::BadRelease),
        ("closed instead of reset", vec![by_itself.clone()], in_flight(EOF), Blame::BadRelease),
        ("its answer cut short", vec![by_itself.clone()], of(TransportKind::BadBody), Blame::BadRelease),
        ("noted a little later", vec![life(BAD, 2).ended(1_690_000)], in_flight(RESET), Blame::BadRelease),
        ("noted a little earlier", vec![life(BAD, 2).ended(1_410_000)], in_flight(RESET), Blame::BadRelease),
        ("ended long after", vec![life(BAD, 2).ended(1_710_000)], in_flight(RESET), Blame::Unship),
        ("ended long before", vec![life(BAD, 2).ended(1_390_000)], in_flight(RESET), Blame::Unship),
        (
            "ended before it was sent",
            vec![life(BAD, 2).ended(1_090_000)],
            sample(1_100_000, 1_110_000, RESET),
            Blame::Unship,
        ),
        ("nobody ended", vec![life(BAD, 2)], in_flight(RESET), Blame::Unship),
        (
            "the good one ended by itself",
            vec![life(GOOD, 1).ended(1_490_000)],
            in_flight(RESET),
            Blame::Unship,
        ),
        ("the bad one was told to end", vec![told(1_490_000)], in_flight(RESET), Blame::Unship),
        (
            "two ended, one was told to",
            vec![by_itself.clone(), told(1_480_000)],
            in_flight(RESET),
            Blame::Unship,
        ),
        (
            "another was told to end and ended before",
            vec![by_itself.clone(), told(1_300_000)],
            in_flight(RESET),
            Blame::BadRelease,
        ),
        (
            "refused is never a process's doing: the listener is ours",
            vec![by_itself.clone()],
            of(TransportKind::Refused),
            Blame::Unship,
        ),
        ("timed out", vec![by_itself.clone()], of(TransportKind::Timeout), Blame::Unship),
        ("not sent", vec![by_itself], of(TransportKind::Shed), Blame::Unship),
    ] {
        assert_eq!(blame(&lives, vec![sample]), Some(expected), "{what}");
    }
}

#[test]
fn lost_connections_of_a_process_that_an_earlier_answer_named() {
    let lost = |by: &str| sample(1_100_000, 1_500_000, EOF).by(by);
    let both = |bad: InstanceLife| vec![life(GOOD, 1).signalled(1_000_000).ended(1_495_000), bad];
    let by_itself = || life(BAD, 2).ended(1_490_000);
    for (what, lives, sample, expected) in [
        ("it ended by itself, whoever else ended", both(by_itself()), lost("2"), Blame::BadRelease),
        ("it was the good one", both(by_itself()), lost("1"), Blame::Unship),
        ("it was told to", both(by_itself().signalled(1_200_000)), lost("2"), Blame::Unship),
        ("it runs on and closed it", both(life(BAD, 2)), lost("2"), Blame::Unship),
        ("it ended long after", both(life(BAD, 2).ended(1_800_000)), lost("2"), Blame::Unship),
    ] {
        assert_eq!(blame(&lives, vec![sample]), Some(expected), "{what}");
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        prop_oneof![Just(200), Just(404), Just(500), Just(503)].prop_map(Outcome::Status),
        prop_oneof![
            Just(TransportKind::Refused),
            Just(TransportKind::Reset),
            Just(TransportKind::Eof),
            Just(TransportKind::Timeout),
            Just(TransportKind::Shed),
        ]
        .prop_map(Outcome::Transport),
    ]
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (0_u64..3_000_000, 0_u64..500_000, any_outcome(), proptest::option::of(1_u32..5)).prop_map(
        |(start, took, outcome, by)| {
            let sample = sample(start, start + took, outcome);
            match (outcome, by) {
                (Outcome::Status(_), Some(pid)) => sample.by(&pid.to_string()),
                _ => sample,
            }
        },
    )
}

fn any_life() -> impl Strategy<Value = InstanceLife> {
    (
        prop_oneof![Just(GOOD), Just(BAD)],
        1_u32..5,
        -1_000_000_i64..3_000_000,
        proptest::option::of(0_i64..1_000_000),
        proptest::option::of(0_i64..1_000_000),
    )
        .prop_map(|(release, pid, start, signal, end)| {
            let mut life = life(release, pid).started(start);
            life.signalled_us = signal.map(|after| start + after);
            life.ended_us = end.map(|after| start + signal.unwrap_or(0) + after);
            life
        })
}

proptest! {
    /// A failure in the window has exactly one blame; nothing else has any.
    #[test]
    fn every_failure_of_the_window_is_counted_once(
        samples in prop::collection::vec(any_sample(), 1..40),
        lives in prop::collection::vec(any_life(), 0..6),
    ) {
        let (recording, bad) = (recording(samples), tag(BAD));
        let attribution = Attribution::new(&recording, &lives, &bad, WINDOW);
        for sample in &recording.samples {
            let counted = recording.failed(sample) && WINDOW.touches(sample);
            prop_assert_eq!(attribution.blame(sample).is_some(), counted);
        }
    }

    /// Without a process of the bad release nothing is the bad release's.
    #[test]
    fn nobody_else_is_blamed_on_the_bad_release(
        samples in prop::collection::vec(any_sample(), 1..40),
        mut lives in prop::collection::vec(any_life(), 0..6),
    ) {
        for life in &mut lives {
            life.release = tag(GOOD);
        }
        let (recording, bad) = (recording(samples), tag(BAD));
        let attribution = Attribution::new(&recording, &lives, &bad, WINDOW);
        for sample in &recording.samples {
            prop_assert_ne!(attribution.blame(sample), Some(Blame::BadRelease));
        }
    }

    /// One more signal by unship never takes a lost connection off unship's account.
    #[test]
    fn acting_more_never_excuses_more(
        samples in prop::collection::vec(any_sample(), 1..40),
        lives in prop::collection::vec(any_life(), 1..6),
        which in any::<prop::sample::Index>(),
    ) {
        let (recording, bad) = (recording(samples), tag(BAD));
        let before = Attribution::new(&recording, &lives, &bad, WINDOW);
        let mut more = lives.clone();
        let life = &mut more[which.index(lives.len())];
        life.signalled_us = Some(life.signalled_us.unwrap_or(i64::MAX).min(life.started_us.unwrap_or(0)));
        let after = Attribution::new(&recording, &more, &bad, WINDOW);
        for sample in &recording.samples {
            if before.blame(sample) == Some(Blame::Unship) {
                prop_assert_eq!(after.blame(sample), Some(Blame::Unship));
            }
        }
    }
}
