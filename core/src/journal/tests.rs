use super::*;
use crate::history::Mark;
use crate::plan::{MissingHost, RunKind, Wave};
use crate::protocol::Flip;
use crate::release::Release;
use crate::release::{Digest, HostName};
use crate::time::Timestamp;

pub(super) fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

pub(super) fn plan(kind: RunKind) -> Plan {
    let host = |name: &str| name.parse::<HostName>().expect("a host");
    let flip = |name: &str| Step::Flip {
        host: host(name),
        from: Some(release("v2")),
        to: release("v1"),
        flip: Flip::Overlap,
        held_retry_after_s: None,
    };
    let prove = |name: &str| Step::Prove { host: host(name), release: release("v1") };
    Plan {
        kind,
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        from: Some(release("v2")),
        to: release("v1"),
        reason: "panic loop".into(),
        waves: vec![
            Wave { steps: vec![flip("a"), prove("a")] },
            Wave { steps: vec![flip("b"), prove("b")] },
            Wave::alone(Step::Smoke { release: release("v1") }),
        ],
        without: vec![],
    }
}

pub(super) fn started(kind: RunKind) -> State {
    let holder = Holder {
        run: "r1".parse().expect("a run"),
        who: "op@desk".into(),
        since: Timestamp(0),
        what: "rollback".into(),
    };
    let event =
        Event::Started { holder, epoch: Epoch(1), plan: Box::new(plan(kind)), marks: vec![], decided: None };
    fold(&[Entry { seq: 0, at: Timestamp(0), event }]).expect("folds")
}

/// The same steps, both hosts in one wave.
pub(super) fn beside(kind: RunKind) -> State {
    let mut state = started(kind);
    let [first, second, _] = state.plan.waves.as_mut_slice() else { panic!("three waves") };
    first.steps.append(&mut second.steps);
    state.plan.waves.remove(1);
    state
}

pub(super) fn on(task: Task, step: usize) -> Work {
    Work { step, attempt: 1, task }
}

/// What becomes of a piece of work.
fn events(work: Work, failed: bool) -> (Option<Event>, Event) {
    let Work { step, attempt, task } = work;
    let error = || "broken".to_owned();
    match task {
        Task::Do if failed => {
            (Some(Event::Intent { step, attempt }), Event::Failed { step, error: error(), hint: None })
        }
        Task::Do => (Some(Event::Intent { step, attempt }), Event::Done { step, actions: vec![] }),
        Task::Check => (None, Event::Done { step, actions: vec![] }),
        Task::Undo if failed => {
            (Some(Event::UndoIntent { step, attempt }), Event::UndoFailed { step, error: error() })
        }
        Task::Undo => (Some(Event::UndoIntent { step, attempt }), Event::Undone { step }),
    }
}

/// Walks a run to its end: everything that may be begun is begun, and ends in the order that `ends` chooses of
/// those under way. `fails` says what fails. Returns what was tried, in order.
pub(super) fn walk_with(
    mut state: State,
    fails: impl Fn(&Work) -> bool,
    mut ends: impl FnMut(usize) -> usize,
) -> (Vec<Work>, State) {
    let mut tried = Vec::new();
    let mut under_way: Vec<(usize, Event)> = Vec::new();
    for _ in 0..200 {
        let running = under_way.iter().map(|(step, _)| *step).collect();
        let next = state.next(&running);
        let event = match next {
            Next::Mark => panic!("nothing is to be marked"),
            Next::Begin(work) => {
                assert!(!work.is_empty(), "nothing to begin");
                for work in work {
                    let host = |step: usize| state.plan.step(step).and_then(Step::host).cloned();
                    let beside = under_way.iter().any(|(other, _)| host(*other) == host(work.step));
                    assert!(!beside, "two at one host at once: {work:?} and {under_way:?}");
                    tried.push(work);
                    let (intent, outcome) = events(work, fails(&work));
                    if let Some(intent) = &intent {
                        state.apply(intent).expect("fits");
                    }
                    under_way.push((work.step, outcome));
                }
                continue;
            }
            Next::Wait => {
                assert!(!under_way.is_empty(), "waits for nothing: {state:#?}");
                under_way.remove(ends(under_way.len())).1
            }
            Next::Turn { .. } => {
                assert!(under_way.is_empty(), "turns round in the middle of {under_way:?}");
                Event::Turned { why: "broken".into() }
            }
            Next::Finish(outcome) => {
                assert!(under_way.is_empty(), "ends in the middle of {under_way:?}");
                Event::Finished { outcome, pulses: Vec::new() }
            }
            Next::Halt => {
                assert!(under_way.is_empty(), "halts in the middle of {under_way:?}");
                state.apply(&Event::Halted).expect("fits");
                return (tried, state);
            }
            Next::Nothing => return (tried, state),
        };
        state.apply(&event).expect("fits");
    }
    panic!("the run never ended");
}

fn walk(kind: RunKind, fails: impl Fn(&Work) -> bool) -> (Vec<Work>, State) {
    walk_with(started(kind), fails, |_| 0)
}

#[test]
fn a_run_without_failures_does_every_step_once_and_completes() {
    for kind in [RunKind::Deploy, RunKind::Rollback] {
        let (tried, state) = walk(kind, |_| false);
        assert_eq!(state.outcome, Some(Outcome::Completed));
        assert_eq!(tried, [0, 1, 2, 3, 4].map(|step| on(Task::Do, step)));
    }
}

#[test]
fn a_failed_deploy_goes_back_in_reverse_and_undoes_the_failed_step_too() {
    let (tried, state) = walk(RunKind::Deploy, |work| *work == on(Task::Do, 2));
    assert_eq!(state.outcome, Some(Outcome::WentBack));
    let undone: Vec<Work> = tried.into_iter().filter(|work| work.task == Task::Undo).collect();
    assert_eq!(undone, [on(Task::Undo, 2), on(Task::Undo, 0)]);
}

#[test]
fn a_failed_undo_is_named_and_the_others_are_still_undone() {
    let fails = |work: &Work| *work == on(Task::Do, 3) || *work == on(Task::Undo, 2);
    let (tried, state) = walk(RunKind::Deploy, fails);
    assert_eq!(state.outcome, Some(Outcome::WentBackPartly));
    assert!(tried.contains(&on(Task::Undo, 0)));
}

#[test]
fn a_rollback_goes_on_past_a_failed_host_and_is_partial() {
    let (tried, state) = walk(RunKind::Rollback, |work| *work == on(Task::Do, 2));
    assert_eq!(state.outcome, Some(Outcome::Partial));
    assert!(!tried.contains(&on(Task::Do, 3)), "proving a host that did not flip");
    assert!(tried.contains(&on(Task::Do, 4)));
    assert_eq!(state.steps[3], StepState::NotTried);
}

#[test]
fn a_rollback_whose_smoke_test_fails_does_not_call_itself_completed() {
    let (_, state) = walk(RunKind::Rollback, |work| *work == on(Task::Do, 4));
    assert_eq!(state.outcome, Some(Outcome::Partial));
}

#[test]
fn an_intent_without_an_outcome_is_checked_and_never_repeated_blindly() {
    let mut state = started(RunKind::Rollback);
    state.apply(&Event::Intent { step: 0, attempt: 1 }).expect("fits");
    assert_eq!(state.next(&BTreeSet::new()), Next::Begin(vec![on(Task::Check, 0)]));
    assert_eq!(state.next(&BTreeSet::from([0])), Next::Wait, "this process works at it");
}

#[test]
fn hosts_of_a_wave_go_at_the_same_time_and_the_next_wave_waits_for_all_of_them() {
    let none = BTreeSet::new();
    let mut state = beside(RunKind::Deploy);
    assert_eq!(state.next(&none), Next::Begin(vec![on(Task::Do, 0), on(Task::Do, 2)]));
    for step in [0, 2] {
        state.apply(&Event::Intent { step, attempt: 1 }).expect("fits");
    }
    assert_eq!(state.next(&BTreeSet::from([0, 2])), Next::Wait);
    state.apply(&Event::Done { step: 2, actions: vec![] }).expect("fits");
    assert_eq!(
        state.next(&BTreeSet::from([0])),
        Next::Begin(vec![on(Task::Do, 3)]),
        "b needs not wait for a"
    );
    // Another process comes: both that were under way are looked at, at the same time.
    state.apply(&Event::Intent { step: 3, attempt: 1 }).expect("fits");
    assert_eq!(state.next(&none), Next::Begin(vec![on(Task::Check, 0), on(Task::Check, 3)]));
}

#[test]
fn a_failure_in_a_wave_of_a_deploy_lets_the_others_end_and_then_goes_back_everywhere() {
    for order in 0..4 {
        let fails = |work: &Work| *work == on(Task::Do, 2);
        let (tried, state) = walk_with(beside(RunKind::Deploy), fails, |count| order % count);
        assert_eq!(state.outcome, Some(Outcome::WentBack));
        assert!(!tried.contains(&on(Task::Do, 4)), "the next wave was begun");
        let undone: BTreeSet<usize> =
            tried.iter().filter(|work| work.task == Task::Undo).map(|work| work.step).collect();
        assert_eq!(undone, BTreeSet::from([0, 2]));
    }
}

#[test]
fn a_failure_in_a_wave_of_a_rollback_stops_that_host_alone() {
    for order in 0..4 {
        let fails = |work: &Work| *work == on(Task::Do, 0);
        let (tried, state) = walk_with(beside(RunKind::Rollback), fails, |count| order % count);
        assert_eq!(state.outcome, Some(Outcome::Partial));
        assert_eq!(state.steps[1], StepState::NotTried);
        assert_eq!(tried.last(), Some(&on(Task::Do, 4)), "the others go on to the end");
    }
}

#[test]
fn a_run_that_leaves_a_host_out_is_never_complete() {
    let mut state = started(RunKind::Rollback);
    state.plan.without.push(MissingHost { host: "c".parse().expect("a host"), why: "it is off".into() });
    let (_, state) = walk_with(state, |_| false, |_| 0);
    assert_eq!(state.outcome, Some(Outcome::Partial));
    assert!(state.all_done());
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
    let again = Work { step: 0, attempt: 2, task: Task::Undo };
    assert_eq!(state.next(&BTreeSet::new()), Next::Begin(vec![again]));
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
            decided: None,
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
    let after_end = [
        start(),
        at(1, Event::Finished { outcome: Outcome::Completed, pulses: Vec::new() }),
        at(2, Event::Paused),
    ];
    assert!(matches!(fold(&after_end), Err(JournalError::Misplaced { seq: 2, .. })));
}

#[test]
fn what_a_run_says_of_releases_outlives_a_crash_right_after_its_start() {
    let bad = release("v2");
    let mark = NewMark { release: bad.clone(), mark: Mark::Bad, why: "panic loop".into() };
    let mut state = State { unmarked: vec![mark], ..started(RunKind::Rollback) };
    assert_eq!(state.next(&BTreeSet::new()), Next::Mark, "before the first step");
    state.apply(&Event::Resumed { holder: state.holder.clone(), epoch: Epoch(2) }).expect("fits");
    assert_eq!(state.next(&BTreeSet::new()), Next::Mark, "and not forgotten by who goes on");
    state.apply(&Event::Marked { release: bad, mark: Mark::Bad, why: "panic loop".into() }).expect("fits");
    assert_eq!(state.next(&BTreeSet::new()), Next::Begin(vec![on(Task::Do, 0)]));
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

/// A rollback that holds a host, which fails, and goes on with it.
#[test]
fn what_halted_is_looked_at_when_somebody_goes_on_and_undone_when_it_turns_round() {
    let mut state = started(RunKind::Rollback);
    let hold = Step::Hold { host: "a".parse().expect("a host"), from: None, retry_after_s: 1 };
    state.plan.waves.insert(0, crate::plan::Wave::alone(hold));
    state.steps.insert(0, StepState::NotTried);
    let (tried, mut state) = walk_with(state, |work| work.step == 0, |_| 0);
    assert_eq!(tried, [on(Task::Do, 0)], "nothing comes after it");
    assert!(state.halt() == Some(Halt::Step) && state.outcome.is_none());
    let mut back = state.clone();
    state.apply(&Event::Resumed { holder: state.holder.clone(), epoch: Epoch(2) }).expect("fits");
    assert_eq!(state.next(&BTreeSet::new()), Next::Begin(vec![on(Task::Check, 0)]));
    back.apply(&Event::Turned { why: "asked".into() }).expect("fits");
    assert_eq!(back.next(&BTreeSet::new()), Next::Begin(vec![on(Task::Undo, 0)]));
}

#[test]
fn a_pulse_says_how_many_had_no_answer_and_how_long_the_others_took() {
    let beat = |at_ms, took_us| Beat { at_ms, took_us };
    let host: crate::release::HostName = "web-01".parse().expect("a host");
    let beats = vec![beat(0, Some(900)), beat(50, None), beat(100, Some(4_000)), beat(150, Some(1_000))];
    let pulse = Pulse { host: host.clone(), beats };
    assert_eq!((pulse.missed(), pulse.middle_and_longest_us()), (1, Some((1_000, 4_000))));
    let silent = Pulse { host, beats: vec![beat(0, None)] };
    assert_eq!((silent.missed(), silent.middle_and_longest_us()), (1, None));
    // A journal of a run that asked nobody is read as before.
    let text = r#"{"event": "finished", "outcome": "completed"}"#;
    let event: Event = serde_json::from_str(text).expect("reads");
    assert_eq!(event, Event::Finished { outcome: Outcome::Completed, pulses: Vec::new() });
}
