//! Panic loops, start limits, masks and guards: the measured outages, and that a flip goes through them.

use std::time::Duration;

use unship_core::protocol::*;

use super::support::{property, systemctl};

on_host! {
    fn a_panic_loop_is_seen_and_taken_back_without_a_lost_request(host) {
        host.install();
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish_doomed("v1.1.0", 101);
        host.flip(&good);
        host.flip(&bad);
        host.doom(true);
        let looping = |state: &HostState| state.instances.iter().any(|instance| instance.restarts >= 8);
        let state = host.wait_for("a panic loop", looping);
        assert!(state.exits.len() >= 8, "{state:#?}");
        for exit in &state.exits {
            assert_eq!((&exit.release, exit.status, exit.asked), (&bad, 101, false));
        }
        assert_eq!(property(&host.unit_name("web.socket"), "ActiveState"), "active");
        host.flip(&good);
        let load = host.load();
        let state = host.wait_alone(&good);
        assert_eq!(state.instances[0].restarts, 0);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(load.end().failed, Vec::<String>::new());
    }

    fn a_release_that_panics_at_start_beside_a_serving_one_harms_nobody(host) {
        host.install_changed(|_, text| text.replace("RestartSec=50ms", "RestartSec=1ms"));
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &["--exit-after-ms", "0", "--status", "101"]);
        host.flip(&good);
        let load = host.load();
        // By hand, so that nobody takes it back: the panic loop goes on beside the good release.
        let name = host.unit_name("web@v1.1.0.service");
        let _ = std::process::Command::new("systemctl").args(["start", "--no-block", &name]).status();
        let began = std::time::Instant::now();
        while property(&name, "NRestarts").parse::<u32>().expect("a number") < 20 {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not loop");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(property(&host.unit_name("web.socket"), "ActiveState"), "active");
        assert_eq!(host.observe().instances.iter().filter(|instance| instance.release == bad).count(), 1);
        host.flip(&good);
        host.wait_alone(&good);
        assert_eq!(load.end().failed, Vec::<String>::new());
    }

    fn without_the_limits_overlap_is_refused_by_name(host) {
        host.install_changed(|_, text| {
            text.replace("StartLimitIntervalSec=0\n", "").replace("TriggerLimitIntervalSec=0\n", "")
        });
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0", &[]);
        host.flip(&one);
        let flip = host.observe().flips.remove(0);
        let (unit, socket) = (host.unit_name("web@.service"), host.unit_name("web.socket"));
        assert_eq!(flip.order, FlipOrder::Restart);
        assert_eq!(flip.gaps, [OverlapGap::TriggerLimit { socket }, OverlapGap::StartLimit { unit }]);
        // It still flips, one after the other; new connections wait in the listener.
        let load = host.load();
        let actions = host.flip(&two);
        let at = |what: &str| {
            actions.iter().position(|action| action == what).unwrap_or_else(|| panic!("{what} in {actions:#?}"))
        };
        assert!(at("current -> v1.1.0") < at("stop web@v1.0.0 (draining)"), "{actions:#?}");
        // A connection that waited may have started the target before unship did.
        at("ended web@v1.0.0");
        host.wait_alone(&two);
        assert_eq!(load.end().failed, Vec::<String>::new());
    }

    fn the_measured_outage_of_default_limits_is_seen_and_mended(host) {
        host.install_changed(|_, text| {
            text.replace("StartLimitIntervalSec=0\n", "").replace("TriggerLimitIntervalSec=0\n", "")
        });
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish_doomed("v1.1.0", 101);
        host.flip(&good);
        host.flip(&bad);
        host.doom(true);
        let state = host.wait_for("the start limit", |state| {
            state.instances.iter().any(|instance| instance.state == InstanceState::Failed)
        });
        assert_eq!(state.instances[0].release, bad);
        assert_eq!(state.exits.last().map(|exit| exit.status), Some(101));
        assert_eq!(property(&host.unit_name("web.socket"), "ActiveState"), "failed");
        assert!(super::support::common::get(host.address, "/").is_err(), "the listener is gone: this is the outage");
        host.flip(&good);
        host.wait_alone(&good);
        assert_eq!(host.version(), "v1.0.0");
    }

    fn flips_back_and_forth_reach_no_start_limit(host) {
        // With systemd's own limits, and with none: five starts of one unit within ten seconds would be too many.
        let releases = [host.publish("v1.0.0", &[]), host.publish("v1.1.0", &[])];
        for limits in [true, false] {
            host.install_changed(|_, text| {
                if limits {
                    return text.replace("StartLimitIntervalSec=0\n", "").replace("TriggerLimitIntervalSec=0\n", "");
                }
                text
            });
            host.flip(&releases[1]);
            let load = host.load();
            for flip in 0..14 {
                let to = &releases[flip % 2];
                host.flip(to);
            }
            host.wait_alone(&releases[1]);
            assert_eq!(load.end().failed, Vec::<String>::new());
        }
    }

    fn a_mask_on_what_the_socket_names_is_an_outage_that_a_flip_mends(host) {
        host.install();
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &[]);
        host.flip(&good);
        host.flip(&bad);
        host.wait_alone(&bad);
        // What a runbook would do by hand: measured as an outage.
        let (bad_name, socket) = (host.unit_name("web@v1.1.0.service"), host.unit_name("web.socket"));
        let drop_in = format!("/etc/systemd/system/{socket}.d/zz-unship.conf");
        std::fs::write(&drop_in, format!("[Socket]\nService={bad_name}\n")).expect("written");
        systemctl(&["daemon-reload"]);
        systemctl(&["mask", "--now", &bad_name]);
        let began = std::time::Instant::now();
        while property(&host.unit_name("web.socket"), "ActiveState") != "failed" {
            assert!(began.elapsed() < Duration::from_secs(10), "the socket survived");
            let _ = super::support::common::get(host.address, "/");
        }
        host.flip(&good);
        host.wait_alone(&good);
        assert_eq!(host.version(), "v1.0.0");
        // And the mask keeps nobody from deploying that release again.
        host.flip(&bad);
        host.wait_alone(&bad);
        assert_eq!(host.version(), "v1.1.0");
    }

    fn a_guard_that_refuses_the_bad_release_does_not_stand_in_the_way_back(host) {
        host.install();
        let good = host.publish("v1.0.0", &[]);
        let bad = host.publish("v1.1.0", &[]);
        host.flip(&good);
        host.flip(&bad);
        host.wait_alone(&bad);
        let name = host.unit_name("web@v1.1.0.service");
        let folder = format!("/etc/systemd/system/{name}.d");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(format!("{folder}/guard.conf"), "[Service]\nExecStartPre=/bin/false\n").expect("written");
        systemctl(&["daemon-reload"]);
        systemctl(&["kill", "-s", "KILL", &name]);
        host.wait_for("the guard's refusals", |state| state.instances.iter().any(|instance| instance.restarts > 2));
        host.stop_first(&good);
        host.wait_alone(&good);
        assert_eq!(host.version(), "v1.0.0");
    }
}
