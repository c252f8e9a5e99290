use super::*;
use crate::plan::RunKind;
use crate::protocol::Flip;
use crate::release::{Digest, HostName};

fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

fn plan(kind: RunKind) -> Plan {
    let host = |name: &str| name.parse::<HostName>().expect("a host");
    let flip = |name: &str| Step::Flip {
        host: host(name),
        from: Some(release("v2")),
        to: release("v1"),
        flip: Flip::Overlap,
    };
    let prove = |name: &str| Step::Prove { host: host(name), release: release("v1") };
    Plan {
        kind,
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        from: Some(release("v2")),
        to: release("v1"),
        reason: "panic loop".into(),
        steps: vec![flip("a"), prove("a"), flip("b"), prove("b"), Step::Smoke { release: release("v1") }],
    }
}

fn started(kind: RunKind) -> State {
    let holder = Holder {
        run: "r1".parse().expect("a run"),
        who: "op@desk".into(),
        since: Timestamp(0),
        what: "rollback".into(),
    };
    let event = Event::Started { holder, epoch: Epoch(1), plan: Box::new(plan(kind)), marks: vec![] };
    fold(&[Entry { seq: 0, at: Timestamp(0), event }]).expect("folds")
}

/// Walks a run to its end: `fails` says which steps and which undos fail. Returns what was tried, in order.
fn walk(kind: RunKind, fails: impl Fn(&Next) -> bool) -> (Vec<Next>, State) {
    let mut state = started(kind);
    let mut tried = Vec::new();
    for _ in 0..100 {
        let next = state.next();
        tried.push(next);
        let failed = fails(&next);
        let events = match next {
            Next::Mark => vec![],
            Next::Do { step, attempt } if failed => vec![
                Event::Intent { step, attempt },
                Event::Failed { step, error: "broken".into(), hint: None },
            ],
            Next::Do { step, attempt } => {
                vec![Event::Intent { step, attempt }, Event::Done { step, actions: vec![] }]
            }
            Next::Check { step, .. } => vec![Event::Done { step, actions: vec![] }],
            Next::Turn { .. } => vec![Event::Turned { why: "broken".into() }],
            Next::Undo { step, attempt } if failed => {
                vec![Event::UndoIntent { step, attempt }, Event::UndoFailed { step, error: "broken".into() }]
            }
            Next::Undo { step, attempt } => vec![Event::UndoIntent { step, attempt }, Event::Undone { step }],
            Next::Finish(outcome) => vec![Event::Finished { outcome }],
            Next::Nothing => return (tried, state),
        };
        for event in events {
            state.apply(&event).expect("fits");
        }
    }
    panic!("the run never ended");
}

#[test]
fn a_run_without_failures_does_every_step_once_and_completes() {
    for kind in [RunKind::Deploy, RunKind::Rollback] {
        let (tried, state) = walk(kind, |_| false);
        assert_eq!(state.outcome, Some(Outcome::Completed));
        assert_eq!(tried.len(), 5 + 2);
    }
}

#[test]
fn a_failed_deploy_goes_back_in_reverse_and_undoes_the_failed_step_too() {
    let (tried, state) = walk(RunKind::Deploy, |next| matches!(next, Next::Do { step: 2, .. }));
    assert_eq!(state.outcome, Some(Outcome::WentBack));
    let undone: Vec<Next> = tried.into_iter().filter(|next| matches!(next, Next::Undo { .. })).collect();
    assert_eq!(undone, [Next::Undo { step: 2, attempt: 1 }, Next::Undo { step: 0, attempt: 1 }]);
}

#[test]
fn a_failed_undo_is_named_and_the_others_are_still_undone() {
    let fails = |next: &Next| matches!(next, Next::Do { step: 3, .. } | Next::Undo { step: 2, .. });
    let (tried, state) = walk(RunKind::Deploy, fails);
    assert_eq!(state.outcome, Some(Outcome::WentBackPartly));
    assert!(tried.contains(&Next::Undo { step: 0, attempt: 1 }));
}

#[test]
fn a_rollback_goes_on_past_a_failed_host_and_is_partial() {
    let (tried, state) = walk(RunKind::Rollback, |next| matches!(next, Next::Do { step: 0, .. }));
    assert_eq!(state.outcome, Some(Outcome::Partial));
    assert!(!tried.contains(&Next::Do { step: 1, attempt: 1 }), "proving a host that did not flip");
    assert!(tried.contains(&Next::Do { step: 2, attempt: 1 }));
    assert_eq!(state.steps[1], StepState::NotTried);
}

#[test]
fn a_rollback_whose_smoke_test_fails_does_not_call_itself_completed() {
    let (_, state) = walk(RunKind::Rollback, |next| matches!(next, Next::Do { step: 4, .. }));
    assert_eq!(state.outcome, Some(Outcome::Partial));
}

#[test]
fn an_intent_without_an_outcome_is_checked_and_never_repeated_blindly() {
    let mut state = started(RunKind::Rollback);
    state.apply(&Event::Intent { step: 0, attempt: 1 }).expect("fits");
    assert_eq!(state.next(), Next::Check { step: 0, attempt: 1 });
}

#[test]
fn an_undo_without_an_outcome_is_tried_again() {
    let mut state = started(RunKind::Deploy);
    for event in [
        Event::Intent { step: 0, attempt: 1 },
        Event::Turned { why: "asked".into() },
        Event::UndoIntent { step: 0, attempt: 1 },
    ] {
        state.apply(&event).expect("fits");
    }
    assert_eq!(state.next(), Next::Undo { step: 0, attempt: 2 });
}

#[test]
fn events_that_cannot_follow_are_named_with_their_position() {
    let start = || Entry {
        seq: 0,
        at: Timestamp(0),
        event: Event::Started {
            holder: started(RunKind::Deploy).holder,
            epoch: Epoch(1),
            plan: Box::new(plan(RunKind::Deploy)),
            marks: vec![],
        },
    };
    let at = |seq, event| Entry { seq, at: Timestamp(0), event };
    let misplaced = [
        Event::Done { step: 0, actions: vec![] },
        Event::Intent { step: 9, attempt: 1 },
        Event::Undone { step: 0 },
    ];
    for event in misplaced {
        assert!(matches!(fold(&[start(), at(1, event)]), Err(JournalError::Misplaced { seq: 1, .. })));
    }
    assert_eq!(fold(&[]), Err(JournalError::NoStart));
    let after_end = [start(), at(1, Event::Finished { outcome: Outcome::Completed }), at(2, Event::Paused)];
    assert!(matches!(fold(&after_end), Err(JournalError::Misplaced { seq: 2, .. })));
}

#[test]
fn what_a_run_says_of_releases_outlives_a_crash_right_after_its_start() {
    let bad = release("v2");
    let mark = NewMark { release: bad.clone(), mark: Mark::Bad, why: "panic loop".into() };
    let mut state = State { unmarked: vec![mark], ..started(RunKind::Rollback) };
    assert_eq!(state.next(), Next::Mark, "before the first step");
    state.apply(&Event::Resumed { holder: state.holder.clone(), epoch: Epoch(2) }).expect("fits");
    assert_eq!(state.next(), Next::Mark, "and not forgotten by who goes on");
    state.apply(&Event::Marked { release: bad, mark: Mark::Bad, why: "panic loop".into() }).expect("fits");
    assert_eq!(state.next(), Next::Do { step: 0, attempt: 1 });
    let old =
        r#"{"event":"started","holder":{"run":"r","who":"w","since":0,"what":""},"epoch":1,"plan":PLAN}"#;
    let old = old.replace("PLAN", &serde_json::to_string(&state.plan).expect("writes"));
    let old: Event = serde_json::from_str(&old).expect("a journal from before marks were part of the start");
    assert!(matches!(old, Event::Started { marks, .. } if marks.is_empty()));
}

#[test]
fn events_read_back_as_they_were_written() {
    let entry = Entry { seq: 3, at: Timestamp(42), event: Event::Intent { step: 1, attempt: 2 } };
    let text = serde_json::to_string(&entry).expect("writes");
    assert_eq!(text, r#"{"seq":3,"at":42,"event":"intent","step":1,"attempt":2}"#);
    assert_eq!(serde_json::from_str::<Entry>(&text).expect("reads"), entry);
}
