//! What goes wrong leaves the service serving, is said clearly, and does not exit 0.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::site::{Site, settings};

#[test]
fn names_that_are_not_there_or_not_allowed_are_refused() {
    let site = Site::new();
    settings().bind(|| {
        insta::assert_snapshot!("unknown_tag", site.says(&["deploy", "9.9.9"]));
        insta::assert_snapshot!("slash_in_tag", site.says(&["deploy", "feature/x"]));
        insta::assert_snapshot!("dots_in_tag", site.says(&["deploy", "../../etc"]));
        insta::assert_snapshot!("option_as_tag", site.says(&["deploy", "--", "-rf"]));
        insta::assert_snapshot!("nothing_serves", site.says(&["rollback", "--yes"]));
        assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
        insta::assert_snapshot!("unknown_target", site.says(&["rollback", "--to", "1.5.0", "--yes"]));
        insta::assert_snapshot!("no_run", site.says(&["resume"]));
        insta::assert_snapshot!("no_terminal", {
            assert_eq!(site.unship(&["deploy", "1.5.0"]).status, 0);
            site.says(&["rollback"])
        });
    });
    assert_eq!(site.serves().as_deref(), Some("1.5.0"));
}

#[test]
fn a_typo_in_the_configuration_is_named_with_its_line_before_anything_happens() {
    let site = Site::new();
    let text = fs_err::read_to_string(site.config()).expect("reads").replace("time_max", "time_maks");
    fs_err::write(site.config(), text).expect("writes");
    settings().bind(|| insta::assert_snapshot!("typo", site.says(&["deploy", "1.0.0"])));
    assert!(!site.path("opt/current").exists());
}

#[test]
fn a_target_that_never_gets_ready_leaves_the_other_serving() {
    let site = Site::with("[limits]\nready = \"500ms\"");
    assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
    settings().bind(|| insta::assert_snapshot!("never_ready", site.says(&["deploy", "1.4.0"])));
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    assert_eq!(site.unship(&["status"]).status, 0);
}

#[test]
fn an_artifact_that_was_altered_on_disk_is_not_started_and_nothing_is_changed() {
    let site = Site::new();
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let file = site.path("opt/releases/1.0.0/files/bin/tinyd");
    let mut bytes = fs_err::read(&file).expect("reads");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("can be changed by root");
    fs_err::write(&file, bytes).expect("writes");
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o555)).expect("back");
    settings().bind(|| insta::assert_snapshot!("altered", site.says(&["rollback", "--yes"])));
    assert_eq!(site.serves().as_deref(), Some("1.5.0"));
    assert_eq!(site.unship(&["quarantine", "check", "1.5.0"]).status, 0, "nothing was changed");
}

#[test]
fn a_drain_that_never_ends_is_ended_and_the_rollback_does_not_wait_for_it() {
    let site = Site::with("[limits]\ndrain = \"1s\"");
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let mut endless = std::net::TcpStream::connect(("127.0.0.1", site.port)).expect("connects");
    write!(endless, "GET /slow?ms=60000 HTTP/1.1\r\nHost: tinyd\r\n\r\n").expect("asks");
    // Another request's answer shows that the first was taken up by the release that is to end.
    assert_eq!(site.serves().as_deref(), Some("1.5.0"));
    let said = site.unship(&["rollback", "--yes"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    let mut rest = Vec::new();
    let _ = endless.read_to_end(&mut rest);
    assert!(rest.is_empty(), "it was cut off at the limit");
    site.until("no process of it is left", || !site.says(&["status"]).contains("1.5.0        pid"));
}

#[test]
fn a_disk_that_fills_up_while_staging_leaves_everything_as_it_was() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var("CI").is_err(), "CI must run this as root");
        eprintln!("SKIP: a small disk can be mounted by root alone");
        return;
    }
    let site = Site::new();
    assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
    // Where releases are staged, room for half a release.
    let staging = site.path("opt/staging");
    fs_err::create_dir_all(&staging).expect("makes");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=12k", "tmpfs"])
        .arg(&staging)
        .status()
        .expect("mount runs");
    assert!(mounted.success(), "cannot mount a small disk");
    let said = site.says(&["deploy", "1.5.0"]);
    let unmounted = std::process::Command::new("umount").arg(&staging).status().expect("umount runs");
    assert!(unmounted.success());
    settings().bind(|| insta::assert_snapshot!("disk_full", said));
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    assert_eq!(site.unship(&["deploy", "1.5.0"]).status, 0, "it works once there is room");
}

#[test]
fn a_command_that_prints_the_database_url_tells_nobody() {
    let more = r#"[database]
url_file = "../url"
[migrations]
folder = "migrations"
up = ["sh", "-c", "echo cannot reach $DATABASE_URL >&2; exit 1"]"#;
    let site = Site::with(more);
    fs_err::write(site.path("url"), "postgres://shop:hunter2@db/shop\n").expect("writes");
    let said = site.says(&["deploy", "1.0.0"]);
    assert!(said.contains("cannot reach [redacted]"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let folder_mode = fs_err::metadata(site.path("ledger")).expect("is there").permissions().mode();
    assert_eq!(folder_mode & 0o777, 0o700);
    let mut folders = vec![site.path("ledger")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).expect("reads").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = fs_err::read(entry.path()).expect("reads");
            assert!(!bytes.windows(7).any(|seven| seven == b"hunter2"), "{}", entry.path().display());
        }
    }
    assert!(files > 1, "ledger and journal");
}

#[test]
fn a_bad_release_that_does_not_listen_to_being_stopped_serves_nobody_after_the_rollback() {
    let site = Site::with("[limits]\ndrain = \"60s\"");
    for tag in ["1.0.0", "1.7.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let said = site.unship(&["rollback", "--yes"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    for _ in 0..40 {
        assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    }
}
