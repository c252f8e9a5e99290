//! Overlap: the order, what is lost (nothing), and what systemd brings up by itself afterwards.

use unship_core::protocol::*;

use super::support::{common, property, systemctl, unit};

on_host! {
    fn an_overlap_loses_nothing_and_goes_in_the_measured_order(host) {
        host.install();
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0-rc.1", &[]);
        host.flip(&one);
        host.wait_alone(&one);
        let flips = host.observe().flips;
        assert_eq!(
            (flips[0].order, flips[0].gaps.as_slice(), flips[0].can_hold),
            (FlipOrder::Overlap, &[][..], true)
        );
        let capsule = std::fs::read_to_string(format!("{}/releases/v1.0.0/capsule.json", host.spec.root));
        let capsule = capsule.expect("stored");
        for unit in ["web@.service", "web.socket", "web-hold.service"] {
            assert!(capsule.contains(&format!("/etc/systemd/system/{}", host.unit_name(unit))), "{capsule}");
        }

        let load = host.load();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let actions = host.flip(&two);
        let name = host.unit_name("web@v1.1.0\\x2drc.1.service");
        assert_eq!(actions, [
            "verify v1.1.0-rc.1".to_owned(),
            "start web@v1.1.0-rc.1".to_owned(),
            "ready web@v1.1.0-rc.1".to_owned(),
            "prove web@v1.1.0-rc.1".to_owned(),
            "current -> v1.1.0-rc.1".to_owned(),
            format!("boot -> {name}"),
            "stop web@v1.0.0 (draining)".to_owned(),
        ]);
        host.wait_alone(&two);
        let back = host.flip(&one);
        host.wait_alone(&one);
        assert!(!back.contains(&"daemon-reload".to_owned()), "systemd need not read anything anew: {back:?}");
        let counted = load.end();
        assert_eq!((counted.failed.as_slice(), counted.held), (&[][..], 0));
        assert!(counted.answered > 100, "{counted:?}");

        // Asked again it does nothing, whatever agent asks.
        host.reopen();
        assert_eq!(host.flip(&one), ["verify v1.0.0"]);
    }

    fn a_connection_starts_the_target_after_a_flip_and_after_a_foreign_reload(host) {
        host.install();
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0", &[]);
        host.flip(&one);
        host.flip(&two);
        host.wait_alone(&two);
        systemctl(&["daemon-reload"]);
        systemctl(&["stop", &host.unit_name("web@v1.1.0.service")]);
        assert_eq!(host.version(), "v1.1.0");
        host.wait_alone(&two);
        // What a connection started is the release like any other: it is gone back from, and it may be stopped first.
        let load = host.load();
        host.flip(&one);
        host.wait_alone(&one);
        assert_eq!(load.end().failed, Vec::<String>::new());
        systemctl(&["stop", &host.unit_name("web@v1.0.0.service")]);
        assert_eq!(host.version(), "v1.0.0");
        let actions = host.stop_first(&two);
        assert!(actions.contains(&"ended web@v1.0.0".to_owned()), "{actions:?}");
        host.wait_alone(&two);
        assert_eq!(host.version(), "v1.1.0");
    }

    fn a_release_that_never_gets_ready_or_ends_at_once_leaves_the_other_serving(host) {
        host.install();
        let one = host.publish("v1.0.0", &[]);
        let late = host.publish("v1.1.0", &["--never-ready"]);
        let dead = host.publish("v1.2.0", &["--exit-after-ms", "0", "--status", "3"]);
        host.flip(&one);
        let load = host.load();
        host.with_units(|spec| spec.ready_ms_max = 1_000);
        let (error, hint) = { let request = host.to(&late, Flip::Overlap); host.fails(request) };
        assert_eq!(error, "`web@v1.1.0` was not ready within 1000 ms");
        assert!(hint.contains("v1.1.0 starts"), "{hint}");
        let (error, hint) = { let request = host.to(&dead, Flip::Overlap); host.fails(request) };
        assert_eq!(error, "`web@v1.2.0` ended with status 3 before it was ready: v1.2.0 panics on purpose");
        assert!(hint.contains(&format!("journalctl -u '{}'", host.unit_name("web@v1.2.0.service"))), "{hint}");
        let state = host.wait_alone(&one);
        assert_eq!(state.current, Some(one));
        assert_eq!(load.end().failed, Vec::<String>::new());
    }

    fn a_process_that_ignores_sigterm_drains_under_its_own_limit_and_then_ends(host) {
        host.install();
        let one = host.publish("v1.0.0", &["--deaf"]);
        let two = host.publish("v1.1.0", &[]);
        host.flip(&one);
        host.flip(&two);
        let state = host.observe();
        let old = state.instances.iter().find(|instance| instance.release == one).expect("it drains");
        assert_eq!((old.state, old.listening), (InstanceState::Draining, true));
        // A rollback that sees it answer gives it no more time.
        host.spec.drain_ms_max = 0;
        let actions = host.flip(&two);
        assert!(actions.iter().any(|what| what.starts_with("shorten the drain of web@v1.0.0")), "{actions:?}");
        host.wait_alone(&two);
    }

    /// Somebody deploys, sees it fail and goes back at once: what serves again is an instance that was told to stop.
    fn a_release_that_still_finishes_its_requests_is_gone_back_to(host) {
        host.install();
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &[]);
        for flip in [Flip::Overlap, Flip::StopFirst] {
            host.flip(&good);
            host.wait_alone(&good);
            let waiting = common::ask(host.address, "/wait").expect("asked");
            assert_eq!(waiting.peek(&mut [0]).expect("taken"), 1);
            host.flip(&bad);
            let drains = |instance: &Instance| instance.release == good && instance.state == InstanceState::Draining;
            assert!(host.observe().instances.iter().any(drains));
            let load = host.load();
            let waiting = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(500));
                waiting.shutdown(std::net::Shutdown::Write).and_then(|()| common::rest_of(waiting))
            });
            let back = host.to(&good, flip);
            host.done(back);
            host.wait_alone(&good);
            assert_eq!(load.end().failed, Vec::<String>::new());
            let answer = waiting.join().expect("joined").expect("answered");
            assert!(answer.starts_with("v1.0.0 "), "{answer}");
        }
    }

    /// As on a full disk: one unit could be pointed to the target, the other could not.
    fn a_flip_that_cannot_be_what_boots_leaves_the_host_as_it_was(host) {
        let name = host.spec.name.to_string();
        let mut other = host.address;
        other.set_port(other.port() + 5_000);
        host.with_units(|spec| spec.units.push(unit(&name, "api", Some(other))));
        host.install();
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0", &[]);
        host.flip(&one);
        host.wait_alone(&one);
        let boots = |host: &super::support::Host| {
            let wants = std::fs::read_dir("/etc/systemd/system/multi-user.target.wants").expect("read");
            let names = wants.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
            let mut said: Vec<String> = names.filter(|link| link.starts_with(&name)).collect();
            for socket in ["web.socket", "api.socket"] {
                let file = format!("/etc/systemd/system/{}.d/zz-unship.conf", host.unit_name(socket));
                said.push(std::fs::read_to_string(file).expect("read"));
                said.push(property(&host.unit_name(socket), "NeedDaemonReload"));
            }
            said.sort();
            said
        };
        let before = boots(host);
        let wants = "/etc/systemd/system/multi-user.target.wants";
        let taken = format!("{wants}/.{}.new", host.unit_name("api@v1.1.0.service"));
        std::fs::create_dir(&taken).expect("made");
        for flip in [Flip::Overlap, Flip::StopFirst] {
            let request = host.to(&two, flip);
            let (error, _) = host.fails(request);
            assert!(error.contains(&taken), "{error}");
            assert_eq!(host.wait_alone(&one).current.as_ref(), Some(&one));
            assert_eq!(boots(host), before);
        }
        std::fs::remove_dir(&taken).expect("removed");
        host.flip(&two);
        assert_eq!(host.wait_alone(&two).current.as_ref(), Some(&two));
    }

    fn workers_take_turns_and_timers_run_the_target(host) {
        let name = host.spec.name.to_string();
        host.with_units(|spec| {
            spec.units.push(unit(&name, "worker", None));
            let mut gc = unit(&name, "gc", None);
            gc.notify = false;
            let names = gc.systemd.as_mut().expect("named");
            names.timer = Some(format!("{name}-gc.timer"));
            spec.units.push(gc);
        });
        host.install_changed(|name, text| {
            if name.ends_with("gc@.service") { text.replace("bin/run", "bin/once") } else { text }
        });
        host.spec.units[2].command = vec!["bin/once".to_owned()];
        host.reopen();
        let one = publish_with_once(host, "v1.0.0");
        let two = publish_with_once(host, "v1.1.0");
        host.flip(&one);
        host.wait_alone(&one);
        let actions = host.flip(&two);
        let at = |what: &str| actions.iter().position(|action| action == what).unwrap_or_else(|| panic!("{what} in {actions:#?}"));
        assert!(at("ended worker@v1.0.0") < at("start worker@v1.1.0"));
        assert!(at("ready web@v1.1.0") < at("stop worker@v1.0.0 (draining)"));
        host.wait_alone(&two);
        let gc = host.unit_name("gc@v1.1.0.service");
        assert_eq!(property(&host.unit_name("gc.timer"), "Unit"), gc);
        systemctl(&["start", &gc]);
        assert_eq!(property(&gc, "Result"), "success");
        host.wait_alone(&two);
    }
}

fn publish_with_once(host: &mut super::support::Host, tag: &str) -> unship_core::release::Release {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("bin")).expect("a folder");
    std::fs::copy("/opt/unship-test/examples/child", folder.path().join("bin/child")).expect("copied");
    for (name, text) in
        [("run", "#!/bin/sh\nexec bin/child serve\n"), ("once", "#!/bin/sh\nexec cat version\n")]
    {
        std::fs::write(folder.path().join("bin").join(name), text).expect("written");
        common::make_executable(&folder.path().join("bin").join(name));
    }
    std::fs::write(folder.path().join("version"), format!("{tag}\n")).expect("written");
    host.publish_folder(tag, folder.path())
}
