//! Under a real systemd: a convergence that is cut off after any of its actions, also by a reboot, is finished
//! by the next one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unship_core::protocol::*;
use unship_core::release::Release;

use support::{Host, on_host, unit};

#[path = "../../tests/systemd/support.rs"]
#[allow(clippy::duplicate_mod, dead_code, unused_macros, reason = "the integration tests use the rest")]
mod support;

/// Web and worker with two releases, `v1.0.0` serving alone.
fn start(host: &mut Host) -> (Release, Release) {
    add_worker(host);
    host.install();
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    host.wait_alone(&one);
    (one, two)
}

fn add_worker(host: &mut Host) {
    let name = host.spec.name.to_string();
    host.with_units(|spec| spec.units.push(unit(&name, "worker", None)));
}

/// Asks and is cut off by a panic after an action that `ends` picks; whether there was one.
fn cut(host: &mut Host, request: &HostRequest, ends: impl Fn(usize, &str) -> bool + Send + 'static) -> bool {
    let count = Arc::new(AtomicUsize::new(0));
    host.agent.after_action = Some(Box::new(move |what| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(!ends(number, what), "cut off after `{what}`");
    }));
    let served = std::panic::catch_unwind(AssertUnwindSafe(|| host.ask(request.clone())));
    host.reopen();
    served.is_err()
}

/// What must be true at rest.
fn check(host: &mut Host, serve: &Serve, request: &HostRequest) {
    match serve {
        Serve::Release { release } => {
            let state = host.wait_alone(release);
            assert_eq!(state.current.as_ref(), Some(release));
            assert_eq!(host.version(), release.tag.as_str());
        }
        Serve::Hold { .. } => {
            let holds = |instance: &Instance| instance.release.is_hold() && instance.proved;
            let state = host.observe();
            assert!(state.instances.len() == 1 && state.instances.iter().all(holds), "{state:#?}");
            assert!(state.held.is_some() && state.current.is_none());
        }
        Serve::Nothing => assert_eq!(host.observe().instances, []),
    }
    let again = host.done(request.clone());
    assert!(again.iter().all(|what| what.starts_with("verify ")), "{again:?}");
}

fn cut_everywhere(host: &mut Host, serve: impl Fn(&Release) -> Serve, flip: Flip) {
    let (one, two) = start(host);
    let serve = serve(&two);
    // Each cut costs two flips of a real host.
    let step = if std::env::var(support::THOROUGH).is_ok_and(|value| value == "1") { 1 } else { 4 };
    for number in (1..).step_by(step) {
        let request = host.converge(serve.clone(), flip);
        let was_cut = cut(host, &request, move |count, _| count == number);
        host.done(request.clone());
        check(host, &serve, &request);
        if !was_cut {
            assert!(number > 5, "only {number} actions");
            return;
        }
        host.flip(&one);
        host.wait_alone(&one);
    }
}

#[test]
fn an_overlap_heals_after_every_cut() {
    on_host(
        concat!(module_path!(), "::an_overlap_heals_after_every_cut"),
        &[|host| {
            cut_everywhere(host, |release| Serve::Release { release: release.clone() }, Flip::Overlap);
        }],
    );
}

#[test]
fn a_stop_first_heals_after_every_cut() {
    on_host(
        concat!(module_path!(), "::a_stop_first_heals_after_every_cut"),
        &[|host| {
            cut_everywhere(host, |release| Serve::Release { release: release.clone() }, Flip::StopFirst);
        }],
    );
}

#[test]
fn a_hold_heals_after_every_cut() {
    on_host(
        concat!(module_path!(), "::a_hold_heals_after_every_cut"),
        &[|host| {
            cut_everywhere(host, |_| Serve::Hold { retry_after_s: 30 }, Flip::StopFirst);
        }],
    );
}

#[test]
fn an_end_of_service_heals_after_every_cut() {
    on_host(
        concat!(module_path!(), "::an_end_of_service_heals_after_every_cut"),
        &[|host| {
            cut_everywhere(host, |_| Serve::Nothing, Flip::StopFirst);
        }],
    );
}

/// Before the target is what boots, the host comes up on what it served; from then on, on the target alone.
fn rebooted_after(host: &mut Host, boots: &str) {
    add_worker(host);
    let state = host.wait_for("the boot", |state| {
        state.instances.len() == 2 && state.instances.iter().all(|i| i.state == InstanceState::Ready)
    });
    for instance in &state.instances {
        assert_eq!((instance.release.tag.as_str(), instance.proved), (boots, true));
    }
    assert_eq!(host.version(), boots);
    let target = state.releases.iter().find(|stored| stored.release.tag.as_str() == "v1.1.0");
    let target = target.expect("stored").release.clone();
    let request = host.to(&target, Flip::Overlap);
    host.done(request.clone());
    check(host, &Serve::Release { release: target }, &request);
}

fn cut_for_reboot(host: &mut Host, after: &'static str) {
    let (_, two) = start(host);
    let request = host.to(&two, Flip::Overlap);
    assert!(cut(host, &request, move |_, what| what.starts_with(after)), "no `{after}`");
}

#[test]
fn a_reboot_before_the_target_boots_comes_up_on_what_served() {
    on_host(
        concat!(module_path!(), "::a_reboot_before_the_target_boots_comes_up_on_what_served"),
        &[|host| cut_for_reboot(host, "prove web@v1.1.0"), |host| rebooted_after(host, "v1.0.0")],
    );
}

#[test]
fn a_reboot_in_the_middle_of_a_flip_comes_up_on_the_target() {
    on_host(
        concat!(module_path!(), "::a_reboot_in_the_middle_of_a_flip_comes_up_on_the_target"),
        &[|host| cut_for_reboot(host, "stop web@v1.0.0"), |host| rebooted_after(host, "v1.1.0")],
    );
}
