use unship_core::protocol::{Instance, InstanceExit};
use unship_core::release::Release;

use super::*;
use crate::load::sample::Recording;

fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

fn instance(tag: &str, pid: u32, state: InstanceState) -> Instance {
    Instance {
        unit: "web".into(),
        release: release(tag),
        proved: true,
        pid,
        invocation: format!("i{pid}"),
        state,
        restarts: 0,
        started_at: Timestamp(1_000),
        ready_after_us: None,
        listening: false,
    }
}

fn exit(tag: &str, pid: u32, at: i64, asked: bool) -> InstanceExit {
    InstanceExit {
        unit: "web".into(),
        release: release(tag),
        pid,
        invocation: format!("i{pid}"),
        at: Timestamp(at),
        asked,
        status: 0,
    }
}

fn state(instances: Vec<Instance>, exits: Vec<InstanceExit>) -> HostState {
    HostState {
        agent: "0".into(),
        architecture: "x86_64".into(),
        epoch: None,
        releases: Vec::new(),
        current: None,
        instances,
        exits,
        quarantined: Vec::new(),
        disk_free_bytes: 0,
        memory_available_bytes: 0,
        flips: Vec::new(),
        held: None,
        troubles: Vec::new(),
    }
}

/// Lives on the clock of a load that began at second 1.
fn lives(looks: &[(i64, HostState)]) -> Vec<InstanceLife> {
    let mut lives = Lives::default();
    for (at, state) in looks {
        lives.see(Timestamp(*at), state);
    }
    let recording = Recording {
        requests: Vec::new(),
        samples: Vec::new(),
        unrecorded: 0,
        late: 0,
        open_at_stop: 0,
        began_wall_us: 1_000_000,
    };
    lives.of_unit("web", &recording)
}

#[test]
fn a_signal_is_dated_back_to_the_last_look_that_saw_none() {
    let seen = lives(&[
        (2_000, state(vec![instance("v1", 7, InstanceState::Ready)], vec![])),
        (2_050, state(vec![instance("v1", 7, InstanceState::Draining)], vec![])),
        (2_100, state(vec![], vec![exit("v1", 7, 2_080, true)])),
    ]);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].started_us, Some(0));
    assert_eq!(seen[0].signalled_us, Some(1_000_000));
    assert_eq!(seen[0].ended_us, Some(1_080_000));
}

#[test]
fn one_that_ends_by_itself_has_no_signal() {
    let seen = lives(&[
        (2_000, state(vec![instance("v1", 7, InstanceState::Ready)], vec![])),
        (2_050, state(vec![], vec![exit("v1", 7, 2_040, false)])),
    ]);
    assert_eq!((seen[0].signalled_us, seen[0].ended_us), (None, Some(1_040_000)));
}

#[test]
fn one_that_came_and_went_between_two_looks_was_told_no_earlier_than_the_first_of_them() {
    let seen =
        lives(&[(2_000, state(vec![], vec![])), (2_050, state(vec![], vec![exit("v1", 9, 2_040, true)]))]);
    assert_eq!((seen[0].started_us, seen[0].signalled_us), (Some(1_000_000), Some(1_000_000)));
}

#[test]
fn one_that_nobody_ever_saw_may_have_been_told_at_any_time() {
    let seen = lives(&[(2_000, state(vec![], vec![exit("v1", 9, 1_900, true)]))]);
    assert_eq!((seen[0].started_us, seen[0].signalled_us), (None, Some(i64::MIN)));
}

#[test]
fn only_ends_of_the_release_by_themselves_and_since_then_are_counted() {
    let mut lives = Lives::default();
    let exits = vec![
        exit("v1", 1, 900, false),
        exit("v2", 2, 900, false),
        exit("v2", 3, 1_100, false),
        exit("v2", 4, 1_200, true),
        exit("v2", 5, 1_300, false),
    ];
    lives.see(Timestamp(2_000), &state(vec![], exits));
    assert_eq!(lives.ended_by_themselves(&release("v2").digest, Timestamp(1_000)), 2);
}

#[test]
fn other_units_excuse_nothing() {
    let mut worker = exit("v1", 9, 1_900, false);
    worker.unit = "worker".into();
    assert_eq!(lives(&[(2_000, state(vec![], vec![worker]))]), []);
}
