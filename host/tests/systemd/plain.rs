//! Plain units: no template, so one process at a time. Through `current`, by a swapped file, by a reload.

use std::path::Path;

use unship_core::protocol::*;
use unship_core::release::Release;

use super::support::{Host, common, systemctl};

/// One plain unit instead of the template; `program` is what its ExecStart= names.
fn plain(host: &mut Host, program: &str, more: &str) {
    let name = host.spec.name.to_string();
    let listen = host.address;
    host.with_units(|spec| {
        let unit = &mut spec.units[0];
        unit.command = vec!["bin/child".to_owned(), "serve".to_owned()];
        let names = unit.systemd.as_mut().expect("named");
        names.unit = format!("{name}-web.service");
        names.hold = None;
    });
    let text = format!(
        "[Service]\nType=notify\nExecStart={program} serve\nWorkingDirectory=/opt/{name}/current/files\n\
         Restart=on-failure\nRestartSec=50ms\nTimeoutStopSec=5\n{more}\n"
    );
    std::fs::write(format!("/etc/systemd/system/{name}-web.service"), text).expect("written");
    let socket = format!("[Socket]\nListenStream={listen}\n");
    std::fs::write(format!("/etc/systemd/system/{name}-web.socket"), socket).expect("written");
    systemctl(&["daemon-reload"]);
}

on_host! {
    fn a_plain_unit_behind_a_socket_is_restarted_and_connections_wait(host) {
        let program = format!("/opt/{}/current/files/bin/child", host.spec.name);
        plain(host, &program, "");
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0", &[]);
        host.flip(&one);
        host.wait_alone(&one);
        let flip = host.observe().flips.remove(0);
        let unit = host.unit_name("web.service");
        let template = host.unit_name("web@.service");
        assert_eq!((flip.order, flip.gaps), (FlipOrder::Restart, vec![OverlapGap::NoTemplate { unit, template }]));
        let load = host.load();
        host.flip(&two);
        host.wait_alone(&two);
        let counted = load.end();
        assert_eq!(counted.failed, Vec::<String>::new());
        assert_eq!(host.version(), "v1.1.0");
    }

    /// It is enabled, as an existing install is: the next boot would start what was stopped because it does harm.
    fn a_held_plain_unit_stays_down_across_a_reboot_and_serves_and_boots_again_when_released(host) {
        let (one, _) = swapped(host, "Restart=always\n[Install]\nWantedBy=multi-user.target");
        let (unit, socket) = (host.unit_name("web.service"), host.unit_name("web.socket"));
        systemctl(&["enable", &unit, &socket]);
        host.flip(&one);
        host.wait_alone(&one);
        let hold = host.converge(Serve::Hold { retry_after_s: 30 }, Flip::StopFirst);
        let done = host.done(hold.clone());
        assert!(done.iter().any(|what| what.contains("nothing answers for it")), "{done:?}");
        assert!(is_down(host));
        // Nor by hand, nor by what wants it.
        systemctl(&["start", &unit]);
        assert!(is_down(host));
        assert!(host.done(hold).is_empty(), "asked again it does nothing");
    } {
        let (one, _) = releases(host);
        assert!(host.observe().held.is_some());
        assert!(is_down(host), "after a reboot");
        host.flip(&one);
        host.wait_alone(&one);
        assert_eq!(host.version(), "v1.0.0");
        assert!(host.observe().held.is_none());
        let nothing = host.converge(Serve::Nothing, Flip::StopFirst);
        host.done(nothing.clone());
        assert!(is_down(host));
        assert!(host.done(nothing).is_empty(), "asked again it does nothing");
        host.flip(&one);
        host.wait_alone(&one);
        for unit in ["web.service", "web.socket"] {
            let unit = host.unit_name(unit);
            assert!(!Path::new(&format!("/etc/systemd/system/{unit}.d/zz-unship.conf")).exists(), "{unit}");
        }
    } {
        let (one, _) = releases(host);
        host.wait_alone(&one);
        assert_eq!(host.version(), "v1.0.0");
    }

    /// Its socket was pointed to what answers 503, and is to be its own again.
    fn a_plain_unit_with_a_hold_unit_is_held_across_a_reboot_and_released(host) {
        let names = ["web.service", "web.socket", "web-hold.service"].map(|name| host.unit_name(name));
        let [unit, socket, hold] = names;
        let (one, _) = swapped(host, &format!("Sockets={socket}\n[Install]\nWantedBy=multi-user.target"));
        let text = format!("[Service]\nType=notify\nSockets={socket}\nNonBlocking=yes\nExecStart=/bin/false\n");
        std::fs::write(format!("/etc/systemd/system/{hold}"), text).expect("written");
        systemctl(&["daemon-reload"]);
        systemctl(&["enable", &unit, &socket]);
        with_hold(host);
        host.flip(&one);
        host.wait_alone(&one);
        assert!(host.observe().flips[0].can_hold);
        let hold = host.converge(Serve::Hold { retry_after_s: 30 }, Flip::StopFirst);
        host.done(hold);
        assert!(common::get(host.address, "/").expect_err("held").to_string().contains("Retry-After: 30"));
    } {
        with_hold(host);
        let (one, _) = releases(host);
        assert!(common::get(host.address, "/").expect_err("held").to_string().contains("Retry-After: 30"));
        assert!(host.observe().instances.iter().all(|instance| instance.release.is_hold()));
        host.flip(&one);
        host.wait_alone(&one);
        assert_eq!(host.version(), "v1.0.0");
    } {
        with_hold(host);
        let (one, _) = releases(host);
        host.wait_alone(&one);
        assert_eq!(host.version(), "v1.0.0");
    }

    /// Until a process that is shut in executes the service's program it executes systemd's.
    fn a_swapped_file_is_told_from_what_prepares_its_process(host) {
        let program = format!("/usr/local/bin/{}", host.spec.name);
        let _ = std::fs::remove_file(&program);
        plain(host, &program, "PrivateTmp=yes\nPrivateDevices=yes\nProtectSystem=strict\nProtectHome=yes");
        let releases = [publish_native(host, "v1.0.0"), publish_native(host, "v1.1.0")];
        for flip in 0..6 {
            let to = &releases[flip % 2];
            host.flip(to);
            host.wait_alone(to);
        }
    }

    fn a_swapped_file_is_proved_by_what_executes_and_never_written_to_while_it_runs(host) {
        let program = format!("/usr/local/bin/{}", host.spec.name);
        let _ = std::fs::remove_file(&program);
        plain(host, &program, "");
        let one = publish_native(host, "v1.0.0");
        let two = publish_native(host, "v1.1.0");
        std::fs::copy(host_file(host, "v1.0.0"), &program).expect("installed");
        host.flip(&one);
        host.wait_alone(&one);
        assert_eq!(host.observe().flips[0].order, FlipOrder::Swap);
        assert!(std::fs::OpenOptions::new().write(true).open(&program).is_err(), "text file busy");
        let load = host.load();
        let actions = host.flip(&two);
        let swapped = format!("swap the file of {} for v1.1.0's", host.unit_name("web.service"));
        assert!(actions.contains(&swapped), "{actions:#?}");
        host.wait_alone(&two);
        assert_eq!(load.end().failed, Vec::<String>::new());
        assert_eq!(std::fs::read(&program).expect("read"), std::fs::read(host_file(host, "v1.1.0")).expect("read"));
        // A file that was swapped by hand and not taken up is not what serves.
        std::fs::rename(copy_beside(&program, &host_file(host, "v1.0.0")), &program).expect("renamed");
        let state = host.observe();
        assert_eq!((state.instances[0].release.clone(), state.instances[0].proved), (two.clone(), true));
        host.flip(&one);
        host.wait_alone(&one);
    }

    /// Its process is gone, and nobody can be asked any more what it was.
    fn a_unit_that_is_still_stopping_is_waited_for(host) {
        let program = format!("/usr/local/bin/{}", host.spec.name);
        let _ = std::fs::remove_file(&program);
        plain(host, &program, "ExecStopPost=/bin/sleep 0.4");
        let releases = [publish_native(host, "v1.0.0"), publish_native(host, "v1.1.0")];
        for flip in 0..4 {
            let to = &releases[flip % 2];
            // As somebody does who has put the file there by hand.
            let beside = copy_beside(&program, &host_file(host, to.tag.as_str()));
            std::fs::rename(beside, &program).expect("renamed");
            host.flip(to);
            host.wait_alone(to);
        }
    }

    fn a_reload_that_takes_up_the_code_keeps_the_process(host) {
        let program = format!("/opt/{}/current/files/bin/child", host.spec.name);
        plain(host, &program, "ExecReload=/bin/kill -HUP $MAINPID\nNotifyAccess=all");
        host.with_units(|spec| spec.units[0].systemd.as_mut().expect("named").reload = true);
        let one = publish_native(host, "v1.0.0");
        let two = publish_native(host, "v1.1.0");
        host.flip(&one);
        let before = host.wait_alone(&one).instances[0].pid;
        assert_eq!(host.observe().flips[0].order, FlipOrder::Reload);
        let load = host.load();
        let actions = host.flip(&two);
        assert!(actions.contains(&"reload web".to_owned()), "{actions:#?}");
        assert!(!actions.iter().any(|what| what.starts_with("stop ")), "{actions:#?}");
        let after = host.wait_alone(&two).instances[0].pid;
        assert_eq!(before, after);
        assert_eq!(load.end().failed, Vec::<String>::new());
    }
}

/// A plain unit with two releases and the first one's program at its place; `more` is of its unit file.
fn swapped(host: &mut Host, more: &str) -> (Release, Release) {
    let program = format!("/usr/local/bin/{}", host.spec.name);
    let _ = std::fs::remove_file(&program);
    plain(host, &program, more);
    let socket = format!("/etc/systemd/system/{}", host.unit_name("web.socket"));
    let text = std::fs::read_to_string(&socket).expect("read");
    std::fs::write(&socket, format!("{text}\n[Install]\nWantedBy=sockets.target\n")).expect("written");
    systemctl(&["daemon-reload"]);
    let (one, two) = (publish_native(host, "v1.0.0"), publish_native(host, "v1.1.0"));
    std::fs::copy(host_file(host, "v1.0.0"), &program).expect("installed");
    (one, two)
}

/// The same after a reboot.
fn releases(host: &mut Host) -> (Release, Release) {
    named(host, None);
    let stored = host.observe().releases;
    let find = |tag: &str| {
        let found = stored.iter().find(|stored| stored.release.tag.as_str() == tag);
        found.expect("stored").release.clone()
    };
    (find("v1.0.0"), find("v1.1.0"))
}

fn with_hold(host: &mut Host) {
    let hold = host.unit_name("web-hold.service");
    named(host, Some(hold));
}

fn named(host: &mut Host, hold: Option<String>) {
    let unit = host.unit_name("web.service");
    host.with_units(|spec| {
        spec.units[0].command = vec!["bin/child".to_owned(), "serve".to_owned()];
        let names = spec.units[0].systemd.as_mut().expect("named");
        names.unit = unit;
        names.hold = hold.or(names.hold.take());
    });
}

/// Whether nothing runs and connections are refused.
fn is_down(host: &mut Host) -> bool {
    host.observe().instances.is_empty() && std::net::TcpStream::connect(host.address).is_err()
}

/// A release whose program differs from another's: its tag is at its end, which no loader minds.
fn publish_native(host: &mut Host, tag: &str) -> Release {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("bin")).expect("a folder");
    let mut bytes = std::fs::read("/opt/unship-test/examples/child").expect("read");
    bytes.extend_from_slice(tag.as_bytes());
    let program = folder.path().join("bin/child");
    std::fs::write(&program, bytes).expect("written");
    common::make_executable(&program);
    std::fs::write(folder.path().join("version"), format!("{tag}\n")).expect("written");
    host.publish_folder(tag, folder.path())
}

fn host_file(host: &Host, tag: &str) -> String {
    format!("/opt/{}/releases/{tag}/files/bin/child", host.spec.name)
}

fn copy_beside(program: &str, source: &str) -> std::path::PathBuf {
    let beside = Path::new(program).with_extension("new");
    std::fs::copy(source, &beside).expect("copied");
    common::make_executable(&beside);
    beside
}
