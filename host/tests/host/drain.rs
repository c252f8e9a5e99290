//! What a release that does not leave the listener is seen as.

use unship_core::protocol::*;

use crate::support::{Host, child_program, make_executable, unit};

fn draining(state: &HostState) -> &Instance {
    let found = state.instances.iter().find(|instance| instance.state == InstanceState::Draining);
    found.unwrap_or_else(|| panic!("nothing drains: {state:#?}"))
}

#[test]
fn who_goes_on_taking_connections_is_seen() {
    let mut host = Host::with(|spec| {
        spec.drain_ms_max = 4_000;
        spec.units.push(unit("worker", None));
    });
    let good = host.publish("v1.0.0", &[]);
    let deaf = host.publish("v1.1.0", &["--deaf"]);
    host.flip(&deaf);
    let serving: Vec<_> = host.observe().instances.into_iter().map(|i| (i.unit, i.listening)).collect();
    assert_eq!(serving, [("web".to_owned(), true), ("worker".to_owned(), false)]);

    host.spec.units.truncate(1);
    host.flip(&good);
    let state = host.observe();
    assert!(state.instances.iter().all(|i| i.listening == (i.unit == "web")), "{state:#?}");
    assert_eq!(draining(&state).release, deaf, "it drains and takes connections");
    host.kill_runner();
    host.start_runner();
    let state = host.observe();
    assert!(draining(&state).listening, "the next child runner knows the socket too: {state:#?}");
}

/// Flips from a release whose `bin/run` does `first` and then runs, deaf and without the listener, to another.
fn draining_after(first: &str) -> bool {
    let mut host = Host::with(|spec| spec.drain_ms_max = 4_000);
    let artifact = host.folder.path().join("artifact");
    std::fs::create_dir_all(artifact.join("bin")).expect("folder");
    std::fs::copy(child_program(), artifact.join("bin/child")).expect("copy");
    let script = format!("#!/bin/sh\n{first}\nexec 3<&-\nunset LISTEN_FDS\nexec bin/child serve --deaf\n");
    std::fs::write(artifact.join("bin/run"), script).expect("script");
    make_executable(&artifact.join("bin/run"));
    std::fs::write(artifact.join("version"), "v1.0.0\n").expect("version");
    let one = host.publish_folder("v1.0.0", &artifact);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    host.flip(&two);
    let state = host.observe();
    assert_eq!(draining(&state).release, one);
    draining(&state).listening
}

#[test]
fn who_has_left_the_listener_is_seen() {
    assert!(!draining_after(":"));
}

#[test]
fn a_listener_that_only_a_child_still_has_is_seen() {
    assert!(draining_after("sleep 600 &"), "the background process inherited descriptor 3");
}
