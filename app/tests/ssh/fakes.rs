//! Agents that are none, or that answer nonsense: made of the frames that the real one would send.

use std::time::Instant;

use unship::ports::{HostTransport, TransportError};
use unship_core::frame::{FromHost, preamble};
use unship_core::protocol::*;

use crate::server::{Server, answers, envelope, executable, server};

/// An agent that says these bytes, whatever it is told, and then does as `after` says.
fn says(server: &Server, bytes: &[u8], after: &str) {
    fs_err::write(server.home(0).join("bytes"), bytes).expect("a file");
    server.replace_agent(0, &format!("#!/bin/sh\ncat bytes\n{after}\n"));
}

fn opened() -> Vec<u8> {
    let opened = FromHost::Opened { agent: "9.9.9".into(), place: "/x".into() };
    let mut bytes = preamble().to_vec();
    bytes.extend(opened.into_frame().expect("a frame"));
    bytes
}

async fn error(server: &Server) -> TransportError {
    let host = server.transport(0);
    host.call(envelope(0, HostRequest::Observe)).await.expect_err("there is no agent")
}

#[tokio::test]
async fn an_agent_of_another_protocol_is_refused_by_name() {
    let Some(server) = server(1) else { return };
    let mut other = preamble();
    other[8..].copy_from_slice(&99_u32.to_be_bytes());
    says(&server, &other, "sleep 60");
    let began = Instant::now();
    let error = error(&server).await;
    assert_eq!(error.why, "its agent speaks protocol 99, this unship 1");
    assert_eq!(error.hint.as_deref(), Some("put this unship's agent there: `unship agent install`"));
    assert!(began.elapsed().as_secs() < 3);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept() {
    let Some(server) = server(1) else { return };
    let mut bytes = opened();
    bytes.extend(b"\x01frm\xff\xff\xff\xff\0\0\0\0");
    says(&server, &bytes, "cat /dev/zero");
    let error = error(&server).await;
    assert!(error.why.contains("a frame's head of 4294967295 bytes is too long"), "{error}");
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_an_answer_is_named() {
    let Some(server) = server(1) else { return };
    let answer = FromHost::NotUnderstood { error: "x".repeat(1_000) }.into_frame().expect("a frame");
    for end in [1, 11, 12, 13, 500] {
        let mut bytes = opened();
        bytes.extend(&answer[..end]);
        says(&server, &bytes, "");
        let error = error(&server).await;
        assert_eq!(error.why, "the connection ended before the answer came", "cut at {end}");
    }
}

#[tokio::test]
async fn a_banner_before_the_agent_is_passed_over() {
    let Some(server) = server(1) else { return };
    let banner = "echo Welcome to host-0; printf 'unship \\000unshi\\000 '\n";
    fs_err::write(server.home(0).join(".profile"), banner).expect("a file");
    answers(&server.transport(0)).await;
}

#[tokio::test]
async fn talk_in_the_place_of_an_agent_is_named_as_such() {
    let Some(server) = server(1) else { return };
    server.replace_agent(0, "#!/bin/sh\necho 'Please upgrade your account'\n");
    let said = error(&server).await;
    assert_eq!(said.why, "its login shell says `Please upgrade your account` where the agent should answer");
    assert!(said.hint.expect("a hint").contains("start files of a shell must say nothing"));

    server.replace_agent(0, "#!/bin/sh\nyes\n");
    assert!(error(&server).await.why.starts_with("its login shell says `y y y"), "an endless banner");

    let mut bytes = opened();
    bytes.extend(b"You have new mail in /var/mail/you\n");
    says(&server, &bytes, "sleep 60");
    let said = error(&server).await;
    assert!(said.why.starts_with("its login shell says `You have new"), "{said}");
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    let Some(server) = server(1) else { return };
    let reply = Box::new(HostReply::Done { actions: Vec::new() });
    let mut bytes = opened();
    bytes.extend(FromHost::Answer { number: 2, reply }.into_frame().expect("a frame"));
    says(&server, &bytes, "sleep 60");
    let error = error(&server).await;
    assert_eq!(error.why, "it answered another question than the one that was asked");
}

#[tokio::test]
async fn a_host_without_an_agent_says_what_to_run() {
    let Some(server) = server(1) else { return };
    fs_err::remove_dir_all(server.home(0).join(".local")).expect("a folder");
    let error = error(&server).await;
    assert!(error.why.starts_with("it has no agent for this version of unship"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("put one there: `unship agent install`"));
}

/// The real agent, told by a person instead of an operator, says so and nothing on standard output but who it is.
#[test]
fn a_person_who_starts_the_agent_is_told() {
    let script = tempfile::tempdir().expect("a folder");
    let file = script.path().join("hello");
    fs_err::write(&file, "#!/bin/sh\necho hello hello hello\n").expect("a file");
    executable(&file);
    let line = format!("{} | {} host", file.display(), env!("CARGO_BIN_EXE_unship"));
    let output = std::process::Command::new("sh").args(["-c", &line]).output().expect("a shell");
    assert_eq!(output.stdout, preamble());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("this is started by unship over ssh, not by people"), "{said}");
}
