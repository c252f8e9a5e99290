//! The hold unit: between two releases when the bad one is stopped first, and for as long as people think.

use unship_core::protocol::*;

use super::support::{property, systemctl};

on_host! {
    fn a_stop_first_flip_answers_503_meanwhile_and_loses_no_connection(host) {
        host.install();
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &[]);
        host.flip(&good);
        host.flip(&bad);
        host.wait_alone(&bad);
        let load = host.load();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let actions = host.stop_first(&good);
        let name = host.unit_name("web@v1.0.0.service");
        let masked = host.unit_name("web@v1.1.0.service");
        assert_eq!(actions, [
            "verify v1.0.0".to_owned(),
            "current -> v1.0.0".to_owned(),
            format!("boot -> {name}"),
            "start web@hold".to_owned(),
            "ready web@hold".to_owned(),
            "prove web@hold".to_owned(),
            "stop web@v1.1.0 (draining)".to_owned(),
            "ended web@v1.1.0".to_owned(),
            format!("mask {masked}"),
            "start web@v1.0.0".to_owned(),
            "ready web@v1.0.0".to_owned(),
            "prove web@v1.0.0".to_owned(),
            "stop web@hold (draining)".to_owned(),
            "ended web@hold".to_owned(),
        ]);
        host.wait_alone(&good);
        let counted = load.end();
        assert_eq!(counted.failed, Vec::<String>::new());
        // Nobody starts it behind unship's back.
        let by_hand = std::process::Command::new("systemctl").args(["start", &masked]).output().expect("runs");
        assert!(String::from_utf8_lossy(&by_hand.stderr).contains("masked"), "{by_hand:?}");
        host.flip(&bad);
        host.wait_alone(&bad);
    }

    fn a_held_host_answers_503_across_a_reboot_and_serves_when_released(host) {
        host.install();
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &[]);
        host.flip(&good);
        host.flip(&bad);
        host.wait_alone(&bad);
        let load = host.load();
        let hold = host.converge(Serve::Hold { retry_after_s: 30 }, Flip::StopFirst);
        host.done(hold.clone());
        std::thread::sleep(std::time::Duration::from_millis(200));
        let counted = load.end();
        assert_eq!(counted.failed, Vec::<String>::new());
        assert!(counted.held > 0, "{counted:?}");
        let state = host.observe();
        assert_eq!(state.current, None);
        assert!(state.held.is_some());
        assert!(state.instances.iter().all(|instance| instance.release.is_hold() && instance.proved), "{state:#?}");
        assert!(host.done(hold).is_empty(), "asked again it does nothing");
    } {
        let held = super::support::common::get(host.address, "/").expect_err("held");
        assert!(held.to_string().contains("Retry-After: 30"), "{held}");
        let state = host.observe();
        assert!(state.instances.iter().all(|instance| instance.release.is_hold()), "{state:#?}");
        let good = state.releases.iter().find(|stored| stored.release.tag.as_str() == "v1.0.0").expect("stored");
        let good = good.release.clone();
        let load = host.load();
        host.flip(&good);
        host.wait_alone(&good);
        assert_eq!(load.end().failed, Vec::<String>::new());
        assert_eq!(host.version(), "v1.0.0");
        assert!(host.observe().held.is_none());
        assert_eq!(property(&host.unit_name("web-hold.service"), "ActiveState"), "inactive");
    }

    fn without_a_hold_unit_a_stop_first_flip_lets_connections_wait(host) {
        host.install();
        without_hold_unit(host);
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &[]);
        host.flip(&good);
        host.flip(&bad);
        assert!(!host.observe().flips[0].can_hold);
        let load = host.load();
        host.stop_first(&good);
        host.wait_alone(&good);
        let counted = load.end();
        assert_eq!((counted.failed.as_slice(), counted.held), (&[][..], 0));
        // Where nothing is set up to answer, holding is a stop, and says so: the listener is closed.
        let request = host.converge(Serve::Hold { retry_after_s: 30 }, Flip::StopFirst);
        let done = host.done(request);
        assert!(done.iter().any(|what| what.contains("nothing answers for it")), "{done:?}");
        assert!(super::support::common::get(host.address, "/").is_err());
        assert!(host.observe().instances.is_empty());
        host.flip(&good);
        host.wait_alone(&good);
        assert_eq!(host.version(), "v1.0.0");
    }

    /// What was told to stop earlier had a time at which it would be killed. What a connection starts has not.
    fn what_a_connection_starts_is_not_killed_in_the_place_of_its_predecessor(host) {
        host.install();
        without_hold_unit(host);
        let good = host.publish("v1.0.0", &["--ready-after-ms", "2500"]);
        let bad = host.publish("v1.1.0", &[]);
        host.flip(&good);
        host.spec.drain_ms_max = 1_000;
        host.flip(&bad);
        let load = host.load();
        // As soon as the one has ended, a connection starts the other, which waits for longer than that time.
        host.stop_first(&good);
        host.wait_alone(&good);
        assert_eq!(load.end().failed, Vec::<String>::new());
    }

    /// systemd starts it for the next connection, whenever it ends: also between a look and what follows from it.
    fn a_release_that_connections_start_again_and_again_is_stopped_and_stays_out(host) {
        host.install();
        without_hold_unit(host);
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish_doomed("v1.1.0", 0);
        for round in 0..6 {
            host.flip(&good);
            host.doom(false);
            host.flip(&bad);
            let load = host.load();
            host.doom(true);
            if round % 2 == 0 {
                host.stop_first(&good);
            } else {
                let hold = host.converge(Serve::Hold { retry_after_s: 30 }, Flip::StopFirst);
                host.done(hold);
            }
            let state = host.observe();
            assert!(state.instances.iter().all(|instance| instance.release == good), "{round}: {state:#?}");
            load.end();
        }
    }

    fn nothing_serves_when_nothing_is_wanted_and_a_deploy_brings_it_back(host) {
        host.install();
        let one = host.publish("v1.0.0", &[]);
        host.flip(&one);
        let request = host.converge(Serve::Nothing, Flip::StopFirst);
        host.done(request.clone());
        assert!(host.observe().instances.is_empty());
        assert!(super::support::common::get(host.address, "/").is_err(), "refused");
        assert!(host.done(request).is_empty(), "asked again it does nothing");
        host.flip(&one);
        host.wait_alone(&one);
        assert_eq!(host.version(), "v1.0.0");
    }
}

fn without_hold_unit(host: &mut super::support::Host) {
    let hold = host.unit_name("web-hold.service");
    std::fs::remove_file(format!("/etc/systemd/system/{hold}")).expect("removed");
    systemctl(&["daemon-reload"]);
}
