use super::*;
use unship_core::release::{Digest, Release};
use unship_core::time::Timestamp;

fn report(kind: RunKind, outcome: Outcome) -> RunReport {
    let release =
        |tag: &str| Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) };
    RunReport {
        run: "20261123T031500-000-1".parse().expect("a run"),
        kind,
        from: Some(release("v1")),
        to: release("v2"),
        outcome: Some(outcome),
        halted: None,
        turned_because: None,
        steps: Vec::new(),
        gaps: Vec::new(),
        taken_down: Vec::new(),
        held_ms: None,
        without: Vec::new(),
        left: Vec::new(),
        started_at: Timestamp(0),
        ended_at: Timestamp(0),
        took_ms: 0,
    }
}

#[test]
fn what_to_run_again_brings_out_what_the_run_wanted_and_takes_nothing_good_back() {
    let says = |kind, outcome| summary(&report(kind, outcome)).pop().expect("a last line");
    let partial = |kind| says(kind, Outcome::Partial);
    assert!(partial(RunKind::Deploy).contains("`unship deploy v2`"), "{}", partial(RunKind::Deploy));
    assert!(partial(RunKind::Adopt).contains("`unship adopt --tag v2`"), "{}", partial(RunKind::Adopt));
    assert!(partial(RunKind::Flags).contains("`unship flags`"), "{}", partial(RunKind::Flags));
    assert!(partial(RunKind::Rollback).contains("`unship rollback --to v2`"));
    // A deploy that turned round wanted what was there before.
    assert!(says(RunKind::Deploy, Outcome::WentBackPartly).contains("`unship rollback --to v1`"));
    for kind in [RunKind::Deploy, RunKind::Rollback, RunKind::Flags] {
        assert!(!says(kind, Outcome::Completed).contains("mend"), "{kind:?}");
    }
}
