//! The child runner: restarts, adoption, boot, its own end.

use std::process::Stdio;
use std::time::Duration;

use unship_core::protocol::*;
use unship_host::supervise::SuperviseOptions;

use crate::support::{Host, unit};

fn pid_lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn instances_serve_on_when_the_runner_is_killed_and_are_adopted() {
    let mut host = Host::with(|spec| spec.units.push(unit("worker", None)));
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    let before = host.observe();
    host.kill_runner();

    assert_eq!(host.version(), "v1.0.0", "it serves without its runner");
    let request = host.converge_to(&two, Flip::Overlap);
    let (error, hint) = host.fails(request, true);
    assert!(error.contains("no child runner answers at `"), "{error}");
    assert!(hint.contains("`unship supervise`"), "{hint}");
    let (error, _) = host.fails(HostRequest::Observe, true);
    assert!(error.contains("no child runner answers at `"), "{error}");

    host.start_runner();
    let after = host.observe();
    assert_eq!(before.instances, after.instances, "the same processes, proved and ready");
    assert!(after.instances.iter().all(|instance| instance.proved));
    host.flip(&two);
    host.wait_alone(&two);
    assert_eq!(host.version(), "v1.1.0");
    for instance in before.instances {
        assert!(!pid_lives(instance.pid), "{instance:#?}");
    }
}

#[test]
fn an_adopted_instance_that_ends_is_a_failure_of_unknown_status() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &["--exit-after-ms", "700"]);
    host.flip(&one);
    let pid = host.observe().instances[0].pid;
    host.kill_runner();
    host.start_runner();
    let state = host.wait_for("a restart", |state| state.instances.iter().any(|i| i.restarts == 1));
    assert_eq!((state.exits[0].pid, state.exits[0].status), (pid, EXIT_STATUS_UNKNOWN));
    assert!(!state.exits[0].asked);
}

#[test]
fn an_instance_that_ended_unseen_is_started_again() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    let pid = host.observe().instances[0].pid;
    host.kill_runner();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).expect("pid")).expect("pid");
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).expect("kill");
    while pid_lives(pid) {
        std::thread::sleep(Duration::from_millis(2));
    }
    host.start_runner();
    let state = host.wait_for("a new process", |state| {
        state.instances.iter().any(|i| i.state == InstanceState::Ready && i.pid != pid)
    });
    assert_eq!(state.instances[0].restarts, 1);
    assert_eq!((state.exits[0].pid, state.exits[0].status), (pid, EXIT_STATUS_UNKNOWN));
    assert_eq!(host.version(), "v1.0.0");
}

#[test]
fn a_drain_goes_on_under_the_next_runner() {
    let mut host = Host::with(|spec| spec.drain_ms_max = 1_000);
    let deaf = host.publish("v1.0.0", &["--deaf"]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&deaf);
    host.flip(&two);
    host.kill_runner();
    host.start_runner();
    let state = host.wait_alone(&two);
    let exit = state.exits.last().expect("an exit");
    assert_eq!((&exit.release, exit.asked), (&deaf, true));
    assert!(!pid_lives(exit.pid));
}

#[test]
fn current_is_started_at_boot_unless_it_is_in_quarantine_or_altered() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    host.end_runner();
    assert!(host.get("/").is_err(), "the runner ended with everything it ran");

    host.start_runner();
    host.wait_alone(&one);
    assert_eq!(host.version(), "v1.0.0");
    host.done(HostRequest::Quarantine { release: one.clone(), reason: "bad".to_owned() });
    host.end_runner();
    host.start_runner();
    assert_eq!(host.observe().instances, []);
    let log = std::fs::read_to_string(host.paths.runtime.join("supervise.log")).expect("log");
    assert!(log.contains("v1.0.0 is in quarantine and is not started: bad"), "{log}");
}

#[test]
fn a_second_runner_is_refused() {
    let host = Host::new();
    let second = host.spawn_runner(Stdio::piped());
    let output = second.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("a child runner has `") && error.contains("already: process "), "{error}");
}

#[test]
fn a_taken_address_is_told() {
    let host = Host::new();
    let mut other = host.spec.clone();
    other.units[0].name = "other".to_owned();
    std::fs::create_dir_all(host.folder.path().join("second")).expect("folder");
    let paths = unship_host::agent::HostPaths {
        root: host.paths.root.clone(),
        runtime: host.folder.path().join("second/run"),
    };
    let error = unship_host::supervise::run(&paths, other, SuperviseOptions::default()).expect_err("taken");
    assert!(error.to_string().contains("unit `other` cannot listen on `127.0.0.1:"), "{error}");
}

#[test]
fn a_clean_exit_is_not_started_again() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &["--exit-after-ms", "100"]);
    host.flip(&one);
    let state = host.wait_for("its end", |state| state.instances.is_empty());
    assert_eq!((state.exits.len(), state.exits[0].status), (1, 0));
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(host.observe().exits.len(), 1);
}

#[test]
fn what_an_instance_leaves_behind_ends_with_it() {
    let mut host = Host::new();
    let artifact = host.folder.path().join("artifact");
    std::fs::create_dir_all(artifact.join("bin")).expect("folder");
    std::fs::copy(crate::support::child_program(), artifact.join("bin/child")).expect("copy");
    let script = "#!/bin/sh\nsleep 600 &\necho $! > \"$DEMO_PIDS\"\nexec bin/child serve\n";
    std::fs::write(artifact.join("bin/run"), script).expect("script");
    crate::support::make_executable(&artifact.join("bin/run"));
    std::fs::write(artifact.join("version"), "v1.0.0\n").expect("version");
    let pids = host.folder.path().join("pids");
    host.spec.units[0].environment.insert("DEMO_PIDS".to_owned(), pids.display().to_string());
    let one = host.publish_folder("v1.0.0", &artifact);
    host.flip(&one);
    let pid = std::fs::read_to_string(&pids).expect("pid").trim().parse().expect("pid");
    assert!(pid_lives(pid));
    let two = host.publish("v1.1.0", &[]);
    host.flip(&two);
    host.wait_alone(&two);
    // Killed with the group of the drained instance; the kernel may take a moment.
    let began = std::time::Instant::now();
    while pid_lives(pid) {
        assert!(began.elapsed() < Duration::from_secs(5), "process {pid} was left behind");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_interpreted_service_is_proved_by_folder_and_invocation() {
    let mut host = Host::with(|spec| spec.units[0].notify = false);
    let artifact = host.folder.path().join("artifact");
    std::fs::create_dir_all(artifact.join("bin")).expect("folder");
    std::fs::write(artifact.join("bin/run"), "#!/bin/sh\nwhile :; do sleep 1; done\n").expect("script");
    crate::support::make_executable(&artifact.join("bin/run"));
    let one = host.publish_folder("v1.0.0", &artifact);
    host.flip(&one);
    let state = host.observe();
    assert!(state.instances[0].proved, "{state:#?}");
    assert!(state.instances[0].ready_after_us >= Some(250_000), "{state:#?}");
}

#[test]
fn a_too_long_folder_is_a_clear_error() {
    let long = std::path::Path::new("/tmp").join("x".repeat(120));
    let error = unship_host::supervise::Client::connect(&long).expect_err("too long");
    assert!(error.to_string().contains("at most 92 bytes long (it has 125)"), "{error}");
    assert!(error.hint().expect("a hint").contains("shorter"), "{error}");
}

#[test]
fn a_runtime_folder_of_others_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let mut host = Host::new();
    let mode_of =
        |path: &std::path::Path| std::fs::metadata(path).expect("folder").permissions().mode() & 0o7777;
    assert_eq!(mode_of(&host.paths.runtime), 0o700, "one that it makes is its own");
    host.end_runner();
    let (own, shared) = (0o755, 0o1777);
    std::fs::set_permissions(&host.paths.runtime, PermissionsExt::from_mode(own)).expect("mode");
    host.start_runner();
    assert_eq!(mode_of(&host.paths.runtime), own, "one that is there keeps its mode");
    host.end_runner();
    std::fs::set_permissions(&host.paths.runtime, PermissionsExt::from_mode(shared)).expect("mode");
    let refused = host.spawn_runner(Stdio::piped()).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("can be written to by others"), "{said}");
    assert_eq!(mode_of(&host.paths.runtime), shared);
}

#[test]
fn a_stopped_runner_is_named() {
    let mut host = Host::new();
    let pid = std::fs::read_to_string(host.paths.runtime.join("supervise.pid")).expect("pid file");
    let raw = rustix::process::Pid::from_raw(pid.trim().parse().expect("pid")).expect("pid");
    rustix::process::kill_process(raw, rustix::process::Signal::STOP).expect("stop");
    let reply = host.ask(HostRequest::Observe);
    rustix::process::kill_process(raw, rustix::process::Signal::CONT).expect("go on");
    let HostReply::Failed { error, hint, .. } = reply else { panic!("it answered: {reply:#?}") };
    assert!(error.contains("does not answer (waited 5000 ms)"), "{error}");
    assert!(hint.is_some_and(|hint| hint.contains(&format!("`kill -CONT {}`", pid.trim()))));
    host.observe();
}

/// Processes of this host's instances, whoever knows them.
fn pids_of(host: &Host) -> std::collections::BTreeSet<u32> {
    let mark = format!("NOTIFY_SOCKET={}/", host.paths.runtime.display());
    let processes = std::fs::read_dir("/proc").expect("proc").filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let ours = environment.split(|byte| *byte == 0).any(|v| v.starts_with(mark.as_bytes()));
        (ours && pid_lives(pid)).then_some(pid)
    });
    processes.collect()
}

/// kill -9 of the runner at some moment of a flip, many times: the next runner knows every process, and
/// asking again ends where it should, with no process left over and no request lost.
#[test]
fn a_runner_killed_at_any_moment_of_a_flip_leaves_nothing_behind() {
    let mut host = Host::with(|spec| spec.units.push(unit("worker", None)));
    let releases = [host.publish("v1.0.0", &[]), host.publish("v1.1.0", &[])];
    host.flip(&releases[0]);
    let mut moment_us: u64 = 12_345;
    for round in 1..=24 {
        let target = &releases[round % 2];
        // A fixed walk over 0 to 25 ms: the same moments in every run, as far as the machine allows.
        moment_us = (moment_us * 7_919 + 104_729) % 25_000;
        let request = host.converge_to(target, Flip::Overlap);
        let mut agent = unship_host::agent::Agent::open(host.setup()).expect("agent");
        let envelope = Envelope {
            version: PROTOCOL_VERSION,
            run: crate::support::run(),
            step: 0,
            attempt: 1,
            epoch: Epoch(1),
            request: request.clone(),
        };
        let flipping = std::thread::spawn(move || agent.serve(envelope));
        let address = host.address;
        let asking = std::thread::spawn(move || {
            (0..30).filter_map(|_| crate::support::get(address, "/").err()).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_micros(moment_us));
        host.kill_runner();
        let first = flipping.join().expect("it does not panic");
        host.start_runner();
        host.done(request);
        assert!(asking.join().expect("client").is_empty(), "round {round}: {first:?}");
        let state = host.wait_alone(target);
        let known: std::collections::BTreeSet<_> = state.instances.iter().map(|i| i.pid).collect();
        assert_eq!((known.len(), &known), (2, &pids_of(&host)), "round {round}: {first:?}");
        assert!(state.instances.iter().all(|instance| instance.proved), "{state:#?}");
    }
}

#[test]
fn a_log_is_cut_and_its_end_kept() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    let log = host.paths.runtime.join("log/web@v1.0.0.log");
    std::fs::write(&log, vec![b'x'; 9 << 20]).expect("a chatty instance");
    let began = std::time::Instant::now();
    while std::fs::metadata(&log).expect("log").len() > 0 {
        assert!(began.elapsed() < Duration::from_secs(8), "the log is not cut");
        std::thread::sleep(Duration::from_millis(50));
    }
    let kept = std::fs::metadata(host.paths.runtime.join("log/web@v1.0.0.log.1")).expect("kept");
    assert_eq!(kept.len(), 1 << 20);
    assert_eq!(host.version(), "v1.0.0");
}
