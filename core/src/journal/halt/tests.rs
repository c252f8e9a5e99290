use std::collections::BTreeSet;

use super::*;
use crate::journal::tests::{beside, on, release, started, walk_with};
use crate::journal::{Event, Next, Outcome, Task, Work};
use crate::plan::Wave;
use crate::plan::tests::downs::program;
use crate::protocol::Epoch;

/// Somebody goes on with the run.
fn resume(state: &mut State) {
    let (holder, epoch) = (state.holder.clone(), Epoch(state.epoch.0 + 1));
    state.apply(&Event::Resumed { holder, epoch }).expect("fits");
}

fn turn(state: &mut State) {
    state.apply(&Event::Turned { why: "asked".into() }).expect("fits");
}

/// The flip of the first host fails, or its proof.
fn first_fails(step: usize) -> impl Fn(&Work) -> bool {
    move |work| work.task != Task::Undo && work.step == step
}

#[test]
fn a_first_wave_that_fails_wholly_halts_a_rollback_before_the_next_host_is_touched() {
    for step in [0, 1] {
        let (tried, state) = walk_with(started(RunKind::Rollback), first_fails(step), |_| 0);
        assert_eq!((state.halt(), state.outcome), (Some(Halt::FirstWave), None));
        assert!(tried.iter().all(|work| work.step <= step), "{tried:?}");
        assert!(state.may_be_taken_back() == state.past_first_wave, "only by who was told");
    }
}

#[test]
fn who_was_told_that_the_first_wave_failed_goes_on_past_it() {
    let (_, mut state) = walk_with(started(RunKind::Rollback), first_fails(0), |_| 0);
    resume(&mut state);
    assert_eq!(state.next(&BTreeSet::new()), Next::Begin(vec![on(Task::Check, 0)]), "it is looked at again");
    // It fails again.
    state.apply(&Event::Failed { step: 0, error: "broken".into(), hint: None }).expect("fits");
    let (tried, state) = walk_with(state, |_| false, |_| 0);
    assert_eq!(tried, [2, 3, 4].map(|step| on(Task::Do, step)));
    assert_eq!(state.outcome, Some(Outcome::Partial));
}

#[test]
fn a_process_that_died_before_it_said_so_halts_again() {
    let (_, mut state) = walk_with(started(RunKind::Rollback), first_fails(0), |_| 0);
    state.told_halted = false;
    resume(&mut state);
    state.apply(&Event::Failed { step: 0, error: "broken".into(), hint: None }).expect("fits");
    assert_eq!(state.next(&BTreeSet::new()), Next::Halt);
}

#[test]
fn a_rollback_that_halted_at_its_first_wave_is_taken_back_quarantine_first() {
    let mut state = started(RunKind::Rollback);
    let host = |name: &str| name.parse().expect("a host");
    let mark =
        |name| Step::Quarantine { host: host(name), release: release("v2"), reason: "panic loop".into() };
    state.plan.waves.insert(0, Wave { steps: vec![mark("a"), mark("b")] });
    state.steps = vec![StepState::NotTried; state.plan.steps().count()];
    let (_, mut state) = walk_with(state, first_fails(2), |_| 0);
    assert_eq!(state.halt(), Some(Halt::FirstWave));
    resume(&mut state);
    assert!(state.may_be_taken_back());
    let mut on_b = state.clone();
    on_b.steps[4] = StepState::Done;
    assert!(!on_b.may_be_taken_back(), "the target serves somewhere");
    turn(&mut state);
    let (tried, state) = walk_with(state, |_| false, |_| 0);
    assert_eq!(tried, [1, 0, 2].map(|step| on(Task::Undo, step)));
    assert_eq!(state.outcome, Some(Outcome::WentBack));
}

#[test]
fn nothing_is_halted_where_a_host_came_over_or_what_does_harm_is_stopped_or_nothing_is_left_to_lose() {
    // One host of the first wave serves the target.
    let mut state = beside(RunKind::Rollback);
    let third = Step::Flip {
        host: "c".parse().expect("a host"),
        from: Some(release("v2")),
        to: release("v1"),
        flip: Flip::Overlap,
        held_retry_after_s: None,
    };
    state.plan.waves.insert(1, Wave::alone(third));
    state.steps.push(StepState::NotTried);
    let both = |work: &Work| work.step == 0 || work.step == 3;
    let (_, one) = walk_with(state.clone(), |work| work.step == 0, |_| 0);
    assert_eq!((one.halt(), one.outcome), (None, Some(Outcome::Partial)));
    let (_, none) = walk_with(state, both, |_| 0);
    assert_eq!(none.halt(), Some(Halt::FirstWave), "one failed its flip, one its proof");
    // Containing comes first.
    let mut harm = started(RunKind::Rollback);
    for step in harm.plan.waves.iter_mut().flat_map(|wave| &mut wave.steps) {
        if let Step::Flip { flip, .. } = step {
            *flip = Flip::StopFirst;
        }
    }
    let (tried, harm) = walk_with(harm, first_fails(0), |_| 0);
    assert_eq!(harm.outcome, Some(Outcome::Partial));
    assert!(tried.contains(&on(Task::Do, 2)));
    // All hosts in one wave: there is no next one.
    let (_, all) = walk_with(beside(RunKind::Rollback), |work| work.step == 0 || work.step == 2, |_| 0);
    assert_eq!(all.outcome, Some(Outcome::Partial));
}

/// Two migrations were taken down; going back, the older one cannot be applied again.
#[test]
fn a_migration_that_cannot_be_applied_again_halts_the_way_back_until_it_can() {
    let mut state = started(RunKind::Rollback);
    let hold = |name: &str| Step::Hold {
        host: name.parse().expect("a host"),
        from: Some(release("v2")),
        retry_after_s: 30,
    };
    let down = |name| Step::StepDown { release: release("v2"), program: Box::new(program(name)) };
    let before = [Wave { steps: vec![hold("a"), hold("b")] }, Wave::alone(down("3")), Wave::alone(down("2"))];
    state.plan.waves.splice(0..0, before);
    state.steps = vec![StepState::NotTried; state.plan.steps().count()];
    for step in 0..4 {
        state.apply(&Event::Intent { step, attempt: 1 }).expect("fits");
        state.apply(&Event::Done { step, actions: vec![] }).expect("fits");
    }
    turn(&mut state);
    let (tried, mut state) = walk_with(state, |work| work.step == 3, |_| 0);
    assert_eq!(tried, [on(Task::Undo, 3)], "neither the other one nor the release");
    assert_eq!((state.halt(), state.outcome), (Some(Halt::WayBack), None));
    resume(&mut state);
    let again = Work { step: 3, attempt: 2, task: Task::Undo };
    assert_eq!(state.next(&BTreeSet::new()), Next::Begin(vec![again]));
    let (tried, state) = walk_with(state, |_| false, |_| 0);
    assert_eq!(tried.iter().map(|work| work.step).collect::<Vec<_>>(), [3, 2, 1, 0]);
    assert_eq!(state.outcome, Some(Outcome::WentBack));
}
