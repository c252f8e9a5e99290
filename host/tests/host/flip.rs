//! Flips between releases, good and bad.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use unship_core::protocol::*;

use crate::support::{DRAIN_MS, Host, get, unit};

#[test]
fn a_first_release_is_started_and_a_second_takes_over() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);

    let actions = host.flip(&one);
    assert!(actions.contains(&"start web@v1.0.0".to_owned()), "{actions:?}");
    assert_eq!(host.version(), "v1.0.0");
    let state = host.observe();
    assert_eq!(state.current.as_ref(), Some(&one));
    assert!(state.instances[0].proved && state.instances[0].ready_after_us.is_some(), "{state:#?}");

    let actions = host.flip(&two);
    let order = ["start web@v1.1.0", "ready web@v1.1.0", "prove web@v1.1.0", "current -> v1.1.0"];
    let positions: Vec<_> =
        order.iter().map(|what| actions.iter().position(|action| action == what)).collect();
    assert!(positions.is_sorted() && positions.iter().all(Option::is_some), "{actions:?}");
    assert_eq!(actions.last().map(String::as_str), Some("stop web@v1.0.0 (draining)"));
    let state = host.wait_alone(&two);
    assert_eq!(host.version(), "v1.1.0");
    assert_eq!(state.exits.len(), 1);
    assert!(state.exits[0].asked && state.exits[0].status == 0, "{:?}", state.exits);

    assert_eq!(host.flip(&two), ["verify v1.1.0"], "asking again does nothing");
}

#[test]
fn no_request_is_lost_over_flips_back_and_forth() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (over, asked, address) = (Arc::clone(&over), Arc::clone(&asked), host.address);
            std::thread::spawn(move || {
                let path = if number == 0 { "/slow" } else { "/" };
                let mut failed = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if let Err(error) = get(address, path) {
                        failed.push(error.to_string());
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                failed
            })
        })
        .collect();
    for round in 0..10 {
        host.flip(if round % 2 == 0 { &two } else { &one });
    }
    over.store(true, Ordering::SeqCst);
    let failed: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("client")).collect();
    assert!(asked.load(Ordering::SeqCst) > 50);
    assert_eq!(failed, Vec::<String>::new());
    let state = host.wait_alone(&one);
    assert_eq!(state.exits.len(), 10);
    assert!(state.exits.iter().all(|exit| exit.asked && exit.status == 0), "{:#?}", state.exits);
}

#[test]
fn a_release_that_never_gets_ready_leaves_the_other_serving() {
    let mut host = Host::with(|spec| spec.ready_ms_max = 300);
    let one = host.publish("v1.0.0", &[]);
    let bad = host.publish("v1.1.0", &["--never-ready"]);
    host.flip(&one);
    let pid = host.observe().instances[0].pid;

    let request = host.converge_to(&bad, Flip::Overlap);
    let (error, hint) = host.fails(request, true);
    assert!(error.contains("`web@v1.1.0` was not ready within 300 ms"), "{error}");
    assert!(hint.contains("web@v1.1.0.log") && hint.contains("v1.1.0 starts"), "{hint}");
    let state = host.wait_alone(&one);
    assert_eq!((state.current, state.instances[0].pid), (Some(one), pid));
    assert_eq!(host.version(), "v1.0.0");
}

#[test]
fn a_release_that_ends_at_once_is_told_with_its_last_words() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let bad = host.publish("v1.1.0", &["--exit-after-ms", "0", "--status", "101"]);
    host.flip(&one);
    let request = host.converge_to(&bad, Flip::Overlap);
    let (error, _) = host.fails(request, true);
    assert_eq!(error, "`web@v1.1.0` ended with status 101 before it was ready: v1.1.0 panics on purpose");
    host.wait_alone(&one);
    assert_eq!(host.version(), "v1.0.0");
}

#[test]
fn a_panic_loop_is_counted_and_left() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let bad = host.publish("v1.1.0", &["--exit-after-ms", "30", "--status", "101"]);
    host.flip(&bad);
    let state = host
        .wait_for("three restarts", |state| state.instances.iter().any(|instance| instance.restarts >= 3));
    let exits = &state.exits;
    assert!(exits.len() >= 3 && exits.iter().all(|e| !e.asked && e.status == 101), "{exits:#?}");
    let invocations: std::collections::BTreeSet<_> = exits.iter().map(|exit| &exit.invocation).collect();
    assert_eq!(invocations.len(), exits.len(), "each start has an invocation of its own");

    host.flip(&one);
    host.wait_alone(&one);
    let exits = host.observe().exits.len();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(host.observe().exits.len(), exits, "the bad release is not started again");
    assert_eq!(host.version(), "v1.0.0");
}

#[test]
fn a_release_that_waits_for_its_restart_is_gone_when_told_to_stop() {
    let mut host = Host::with(|spec| spec.units[0].restart_delay_ms = 60_000);
    let one = host.publish("v1.0.0", &[]);
    let bad = host.publish("v1.1.0", &["--exit-after-ms", "30", "--status", "101"]);
    host.flip(&bad);
    host.wait_for("the end", |state| state.instances[0].state == InstanceState::Restarting);
    let actions = host.flip(&one);
    assert!(actions.contains(&"stop web@v1.1.0 (failing)".to_owned()), "{actions:?}");
    host.wait_alone(&one);
}

#[test]
fn a_drain_that_never_ends_is_ended() {
    let mut host = Host::with(|spec| spec.drain_ms_max = 300);
    let deaf = host.publish("v1.0.0", &["--deaf"]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&deaf);
    let began = Instant::now();
    host.flip(&two);
    assert!(began.elapsed() < Duration::from_millis(290), "the flip does not wait for the drain");
    let draining = host.observe();
    assert!(draining.instances.iter().any(|i| i.state == InstanceState::Draining), "{draining:#?}");
    let state = host.wait_alone(&two);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!((state.exits[0].status, state.exits[0].asked), (-9, true));
}

#[test]
fn harmful_code_is_stopped_before_the_target_starts() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let bad = host.publish("v1.1.0", &[]);
    host.flip(&bad);
    let request = host.converge_to(&one, Flip::StopFirst);
    let waiting = std::thread::spawn({
        let address = host.address;
        move || (0..20).map(|_| get(address, "/").is_ok()).collect::<Vec<_>>()
    });
    let actions = host.done(request);
    let position = |what: &str| actions.iter().position(|action| action == what);
    assert!(position("current -> v1.0.0") < position("stop web@v1.1.0 (draining)"), "{actions:?}");
    assert!(position("ended web@v1.1.0").is_some(), "{actions:?}");
    assert!(position("ended web@v1.1.0") < position("start web@v1.0.0"), "{actions:?}");
    assert!(waiting.join().expect("client").iter().all(|ok| *ok), "connections waited in the listener");
    assert_eq!(host.observe().instances.len(), 1);
    assert_eq!(host.version(), "v1.0.0");
}

#[test]
fn a_target_that_fails_after_the_other_was_stopped_is_told_so() {
    let mut host = Host::with(|spec| spec.units[0].restart_delay_ms = 60_000);
    let one = host.publish("v1.0.0", &["--exit-after-ms", "0", "--status", "3"]);
    let bad = host.publish("v1.1.0", &[]);
    host.flip(&bad);
    let request = host.converge_to(&one, Flip::StopFirst);
    let (error, _) = host.fails(request, false);
    assert!(error.contains("`web@v1.0.0` ended with status 3"), "{error}");
    assert!(error.contains("the other release was stopped first, nothing serves now"), "{error}");
    let state = host.observe();
    assert!(state.instances.iter().all(|instance| instance.release == one), "{state:#?}");
}

#[test]
fn serving_nothing_keeps_the_listener_and_boots_nothing() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    let nothing = HostRequest::Converge {
        desired: Box::new(Desired {
            service: host.spec.clone(),
            serve: Serve::Nothing,
            flip: Flip::StopFirst,
        }),
    };
    host.done(nothing.clone());
    let state = host.observe();
    assert_eq!((state.instances.len(), state.current), (0, None));
    let waiting = std::thread::spawn({
        let address = host.address;
        move || get(address, "/").expect("served when there is someone again")
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    assert_eq!(host.done(nothing), Vec::<String>::new());
    host.flip(&one);
    assert!(waiting.join().expect("client").starts_with("v1.0.0 "));
}

#[test]
fn a_worker_starts_only_when_its_predecessor_is_gone() {
    let mut host = Host::with(|spec| spec.units.push(unit("worker", None)));
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    assert_eq!(host.observe().instances.len(), 2);
    let actions = host.flip(&two);
    let position = |what: &str| actions.iter().position(|action| action == what);
    assert!(position("ready web@v1.1.0") < position("stop worker@v1.0.0 (draining)"), "{actions:?}");
    assert!(position("ended worker@v1.0.0") < position("start worker@v1.1.0"), "{actions:?}");
    assert!(position("ended worker@v1.0.0").is_some() && position("prove worker@v1.1.0").is_some());
    host.wait_alone(&two);
    assert_eq!(host.observe().instances.len(), 2);
}

#[test]
fn a_unit_that_the_service_has_no_more_is_stopped() {
    let mut host = Host::with(|spec| spec.units.push(unit("worker", None)));
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    host.spec.units.truncate(1);
    let actions = host.flip(&one);
    assert!(actions.contains(&"stop worker@v1.0.0 (draining)".to_owned()), "{actions:?}");
    let state = host.wait_for("one instance", |state| state.instances.len() == 1);
    assert_eq!(state.instances[0].unit, "web");
}

#[test]
fn an_altered_release_is_not_started() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&two);
    host.done(HostRequest::Verify { release: one.clone() });
    let file = host.paths.root.join("releases/v1.0.0/files/version");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("mode");
    std::fs::write(&file, "v9.9.9\n").expect("alter");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).expect("mode");

    let request = host.converge_to(&one, Flip::Overlap);
    let (error, hint) = host.fails(request, true);
    assert!(error.contains("files/version` was altered: expected "), "{error}");
    assert!(hint.contains("--to"), "{hint}");
    let (again, _) = host.fails(HostRequest::Verify { release: one }, true);
    assert_eq!(again, error);
    assert_eq!(host.version(), "v1.1.0");
}

#[test]
fn a_quarantined_release_is_refused_until_it_is_lifted() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let mark = HostRequest::Quarantine { release: one.clone(), reason: "panics".to_owned() };
    assert_eq!(host.done(mark.clone()), ["quarantine v1.0.0"]);
    assert_eq!(host.done(mark), Vec::<String>::new());
    let request = host.converge_to(&one, Flip::Overlap);
    let HostReply::Refused { refusal } = host.ask(request) else { panic!("it was not refused") };
    assert_eq!(refusal, Refusal::Quarantined { tag: one.tag.clone(), reason: "panics".to_owned() });
    assert_eq!(host.observe().quarantined.len(), 1);
    host.done(HostRequest::LiftQuarantine { release: one.clone() });
    host.flip(&one);
}

#[test]
fn pruning_keeps_what_is_named_current_or_running() {
    let mut host = Host::with(|spec| spec.drain_ms_max = DRAIN_MS);
    let kept = host.publish("v1.0.0", &["--status", "0"]);
    host.publish("v1.1.0", &["--status", "00"]);
    let draining = host.publish("v1.2.0", &["--deaf"]);
    let current = host.publish("v1.3.0", &[]);
    host.flip(&draining);
    host.flip(&current);
    assert_eq!(host.done(HostRequest::Prune { keep: vec![kept.digest] }), ["remove v1.1.0"]);
    let tags: Vec<_> = host.observe().releases.into_iter().map(|stored| stored.release).collect();
    assert_eq!(tags, [kept, draining, current]);
}

#[test]
fn nobody_acts_with_another_epoch() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.epoch = 2;
    let request = host.converge_to(&one, Flip::Overlap);
    let refused = |reply| matches!(reply, HostReply::Refused { refusal: Refusal::NotClaimed });
    assert!(refused(host.ask(request.clone())));
    host.claim();
    host.epoch = 1;
    let HostReply::Refused { refusal: Refusal::StaleEpoch { yours: 1, now } } = host.ask(request.clone())
    else {
        panic!("the old epoch was served")
    };
    assert_eq!(now.epoch, Epoch(2));
    host.epoch = 2;
    host.flip(&one);
    host.done(HostRequest::Unclaim);
    assert!(refused(host.ask(request)));
}

#[test]
fn another_protocol_is_refused_by_name() {
    let mut host = Host::new();
    let envelope = Envelope {
        version: PROTOCOL_VERSION + 1,
        run: crate::support::run(),
        step: 0,
        attempt: 1,
        epoch: Epoch(1),
        request: HostRequest::Observe,
    };
    let HostReply::Refused { refusal } = host.agent.serve(envelope) else { panic!("it was served") };
    assert_eq!(refusal, Refusal::Protocol { host: PROTOCOL_VERSION, operator: PROTOCOL_VERSION + 1 });
}
