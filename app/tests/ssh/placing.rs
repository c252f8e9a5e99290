//! The agent is put on hosts by digest, found by protocol, checked, and cleared away.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use unship::transport::{Gate, PLACE_SCRIPT, Placed, Ssh, Upkeep};
use unship_core::release::Digest;

use crate::say;
use crate::server::{Server, answers, server};

fn way(server: &Server, upkeep: Upkeep) -> Ssh {
    Ssh::new(server.destination(0), crate::server::setup("opt/demo"), server.world(&Gate::new(8), upkeep))
}

/// Where agents are on the host; emptied.
fn emptied(server: &Server) -> PathBuf {
    let base = server.home(0).join(".local/lib/unship");
    fs_err::remove_dir_all(&base).expect("a folder");
    base
}

/// What the link of this protocol leads to.
fn linked(base: &Path) -> String {
    let link = fs_err::read_link(base.join("protocol-1/unship")).expect("a link");
    let digest = link.strip_prefix("../").expect("beside").parent().expect("a folder").display().to_string();
    digest.parse::<Digest>().expect("a digest");
    digest
}

#[tokio::test]
async fn a_missing_agent_is_put_there_once_and_answers() {
    let Some(server) = server(1) else { return };
    let base = emptied(&server);
    let began = Instant::now();
    answers(&way(&server, Upkeep::WhenMissing)).await;
    let first = began.elapsed();
    let digest = linked(&base);
    let agent = base.join(&digest).join("unship");
    let bytes = fs_err::read(&agent).expect("the agent");
    assert_eq!(Digest::of(&bytes).to_string(), digest);
    let whole = fs_err::metadata(env!("CARGO_BIN_EXE_unship")).expect("the program").len();
    say(&format!("ssh: the agent put there in {first:.1?}: {} bytes of a program of {whole}", bytes.len()));
    assert_eq!(fs_err::read_dir(base.join(&digest)).expect("a folder").count(), 1, "nothing else is left");

    // A rollback sends nothing: one session, one line.
    let before = server.lines(0).len();
    answers(&way(&server, Upkeep::WhenMissing)).await;
    assert_eq!(server.lines(0)[before..], [".local/lib/unship/protocol-1/unship host"]);
    // Nor does a deploy that finds it there.
    let before = server.lines(0).len();
    answers(&way(&server, Upkeep::Renew)).await;
    assert_eq!(server.lines(0)[before..], [".local/lib/unship/protocol-1/unship host"]);
}

#[tokio::test]
async fn a_deploy_renews_an_agent_of_another_digest() {
    let Some(server) = server(1) else { return };
    // The link leads to the program itself, which is not one that unship has put there.
    let base = server.home(0).join(".local/lib/unship");
    answers(&way(&server, Upkeep::WhenMissing)).await;
    assert_eq!(server.lines(0).len(), 1, "it does");
    answers(&way(&server, Upkeep::Renew)).await;
    linked(&base);
    assert!(matches!(way(&server, Upkeep::Never).put_agent().await, Ok(Placed::Present)));
}

#[tokio::test]
async fn an_agent_that_was_changed_on_the_host_is_refused() {
    let Some(server) = server(1) else { return };
    let base = emptied(&server);
    way(&server, Upkeep::Never).put_agent().await.expect("placed");
    let agent = base.join(linked(&base)).join("unship");
    let mut bytes = fs_err::read(&agent).expect("the agent");
    bytes[5_000] ^= 1;
    fs_err::remove_file(&agent).expect("a file");
    fs_err::write(&agent, bytes).expect("a file");
    crate::server::executable(&agent);
    let error = way(&server, Upkeep::Never).put_agent().await.expect_err("it was changed");
    assert!(error.why.ends_with("was changed"), "{error}");
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_nothing_that_runs_and_the_next_one_is_whole() {
    let Some(server) = server(1) else { return };
    let base = emptied(&server);
    let host = way(&server, Upkeep::Never);
    let cut = async {
        // As soon as bytes arrive, the operator goes.
        let began = Instant::now();
        loop {
            let files = fs_err::read_dir(&base).into_iter().flatten().flatten();
            let some =
                files.flat_map(|folder| fs_err::read_dir(folder.path()).into_iter().flatten()).flatten();
            if some.into_iter().any(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 0)) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "nothing arrives");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        placed = host.put_agent() => panic!("it was faster than the cut: {placed:?}"),
        () = cut => {}
    }
    assert!(!base.join("protocol-1/unship").exists());
    assert!(matches!(host.put_agent().await, Ok(Placed::Sent { .. })));
    answers(&way(&server, Upkeep::Never)).await;
    linked(&base);
}

#[tokio::test]
async fn what_no_protocol_runs_any_more_is_cleared_away() {
    let Some(server) = server(1) else { return };
    let base = emptied(&server);
    let kept = |name: char, age_min: u64, protocol: Option<u32>| {
        let folder = base.join(name.to_string().repeat(64));
        fs_err::create_dir_all(&folder).expect("a folder");
        fs_err::write(folder.join("unship"), "x").expect("a file");
        if let Some(protocol) = protocol {
            let place = base.join(format!("protocol-{protocol}"));
            fs_err::create_dir_all(&place).expect("a folder");
            let to = format!("../{}/unship", folder.file_name().expect("a name").display());
            fs_err::os::unix::fs::symlink(to, place.join("unship")).expect("a link");
        }
        let then = SystemTime::now() - Duration::from_secs(age_min * 60);
        std::fs::File::open(&folder).and_then(|file| file.set_modified(then)).expect("a time");
        folder
    };
    let old = kept('a', 120, None);
    let young = kept('b', 1, None);
    let of_another_protocol = kept('c', 120, Some(7));
    way(&server, Upkeep::Never).put_agent().await.expect("placed");
    assert!(!old.exists() && young.exists() && of_another_protocol.exists());
    assert!(base.join(linked(&base)).exists());
}

/// What the script says to an input, run as a login shell would.
fn script(home: &Path, input: &[u8]) -> String {
    let mut child = Command::new("/bin/sh")
        .args(["-c", PLACE_SCRIPT])
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    // One that has heard enough does not read the rest.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("an end");
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn hostile_orders_reach_no_shell_and_no_other_folder() {
    let home = tempfile::tempdir().expect("a folder");
    let a = "a".repeat(64);
    let cases = [
        "home\nput $(touch pwned) 5 1\nhello".to_owned(),
        "home\nput `touch pwned` 5 1\nhello".into(),
        "home\nput ../../../../tmp/x 5 1\nhello".into(),
        format!("home\nput {a} $(touch pwned) 1\nhello"),
        format!("home\nput {a} 5 1;touch pwned\nhello"),
        format!("home\nput {a} 5 ../1\nhello"),
        format!("home\nput {a} 5\nhello"),
        format!("home\nput {a} 99999999999999999999 1\nhello"),
        format!("home\nuse {a} 1\n"),
        format!("home\nuse {a} $(touch pwned)\n"),
        format!("home\ntouch {a} pwned\n"),
        "/etc\nput\n".into(),
        "system; touch pwned\n".into(),
    ];
    for case in cases {
        let said = script(home.path(), case.as_bytes());
        assert!(said.starts_with("error "), "{case:?}: {said}");
    }
    let wrong = script(home.path(), format!("home\nput {a} 5 1\nhello").as_bytes());
    assert_eq!(wrong, "error what came is not what was sent");
    let base = home.path().join(".local/lib/unship");
    assert!(!base.join("protocol-1").exists() && !base.join(&a).join("unship").exists());
    assert!(!base.join("pwned").exists() && !home.path().join("pwned").exists());
    let right = Digest::of(b"hello");
    assert_eq!(script(home.path(), format!("home\nput {right} 5 1\nhello").as_bytes()), "done");
}
