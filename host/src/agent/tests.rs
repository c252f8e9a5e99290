//! A convergence that is cut off after any of its actions is finished by the next one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unship_core::protocol::*;
use unship_core::release::Release;

use super::Agent;
use support::{Host, unit};

mod half;

#[path = "../../tests/host/support.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod support;

/// Counts actions and panics after number `cut`, as a crash would end the agent there.
fn cut_after(agent: &mut Agent, cut: usize) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    agent.after_action = Some(Box::new(move |what| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) + 1 != cut, "cut off after `{what}`");
    }));
    count
}

/// What a convergence is to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Other,
    Nothing,
    Hold,
    /// The other release, from a hold.
    OtherFromHold,
}

/// Flips a fresh host from one release to another and cuts it off after the `cut`th action; with
/// `kill_runner` the child runner dies at the same moment. Then asks again, as a resumed run does.
/// Answers whether there was a `cut`th action.
fn cut_and_heal(to: To, flip: Flip, cut: usize, kill_runner: bool) -> bool {
    let mut host = Host::with(|spec| spec.units.push(unit("worker", None)));
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    let hold = Serve::Hold { retry_after_s: 30 };
    let serve = match to {
        To::Other | To::OtherFromHold => Serve::Release { release: two.clone() },
        To::Nothing => Serve::Nothing,
        To::Hold => hold.clone(),
    };
    let converge = |serve: Serve| HostRequest::Converge {
        desired: Box::new(Desired { service: host.spec.clone(), serve, flip }),
    };
    let request = converge(serve.clone());
    if to == To::OtherFromHold {
        let hold = converge(hold);
        host.done(hold);
    }

    let count = cut_after(&mut host.agent, cut);
    let served = std::panic::catch_unwind(AssertUnwindSafe(|| host.ask(request.clone())));
    if served.is_ok() {
        assert!(count.load(Ordering::SeqCst) < cut, "the cut was survived");
        return false;
    }
    if kill_runner {
        host.kill_runner();
        host.start_runner();
    }
    host.agent = Agent::open(host.setup()).expect("a new agent");
    host.done(request.clone());

    let state = host.wait_for("the end of drains", |state| {
        state.instances.iter().all(|instance| instance.state == InstanceState::Ready)
    });
    let mut running: Vec<_> =
        state.instances.iter().map(|i| (i.unit.as_str(), &i.release, i.proved)).collect();
    running.sort_by_key(|(unit, _, _)| *unit);
    match &serve {
        Serve::Nothing => assert_eq!((running.len(), &state.current), (0, &None)),
        Serve::Hold { .. } => {
            assert_eq!(running, [("web", &Release::hold(), true)], "cut {cut}");
            let kept = state.held.as_ref().and_then(|held| held.release.as_ref());
            assert_eq!((kept, &state.current), (Some(&one), &None));
            let answer = host.get("/").expect_err("no answer of a release").to_string();
            assert!(answer.contains("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("\r\nRetry-After: 30\r\n"), "{answer}");
        }
        Serve::Release { .. } => {
            assert_eq!(state.held, None);
            assert_eq!(running, [("web", &two, true), ("worker", &two, true)], "cut {cut}");
            assert_eq!(state.current.as_ref(), Some(&two));
            assert_eq!(host.version(), "v1.1.0");
        }
    }
    let again = host.done(request);
    assert!(again.iter().all(|action| action.starts_with("verify ")), "{again:?}");
    true
}

fn cut_everywhere(to: To, flip: Flip, actions: usize) {
    for kill_runner in [false, true] {
        let mut cut = 1;
        while cut_and_heal(to, flip, cut, kill_runner) {
            cut += 1;
        }
        assert_eq!(cut - 1, actions, "all actions were cut, one after the other");
    }
}

#[test]
fn an_overlap_heals_after_every_cut() {
    cut_everywhere(To::Other, Flip::Overlap, 11);
}

#[test]
fn a_stop_first_heals_after_every_cut() {
    cut_everywhere(To::Other, Flip::StopFirst, 12);
}

#[test]
fn an_end_of_service_heals_after_every_cut() {
    cut_everywhere(To::Nothing, Flip::StopFirst, 5);
}

#[test]
fn a_hold_heals_after_every_cut() {
    cut_everywhere(To::Hold, Flip::StopFirst, 9);
}

#[test]
fn the_end_of_a_hold_heals_after_every_cut() {
    cut_everywhere(To::OtherFromHold, Flip::Overlap, 10);
}
