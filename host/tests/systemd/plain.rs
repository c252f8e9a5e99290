//! Plain units: no template, so one process at a time. Through `current`, by a swapped file, by a reload.

use std::path::Path;

use unship_core::protocol::*;

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

/// A release whose program differs from another's: its tag is at its end, which no loader minds.
fn publish_native(host: &mut Host, tag: &str) -> unship_core::release::Release {
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
