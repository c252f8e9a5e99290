//! Hosts that hang. A frozen sshd, a frozen network and a frozen agent each end within their limit.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use unship::ports::HostTransport;
use unship_core::protocol::*;

use crate::server::{answers, envelope, server};

#[tokio::test]
async fn an_sshd_that_is_frozen_before_it_answers_is_given_up() {
    let Some(server) = server(1) else { return };
    let host = server.transport(0);
    server.signal(server.sshd(), Signal::STOP);
    let began = Instant::now();
    let error = host.call(envelope(0, HostRequest::Observe)).await.expect_err("it is frozen");
    server.signal(server.sshd(), Signal::CONT);
    // The limit of the connection is three seconds.
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
    assert!(error.why.starts_with("it did not answer in time"), "{error}");
}

#[tokio::test]
async fn a_session_that_freezes_is_given_up_and_its_ssh_is_gone() {
    let Some(server) = server(1) else { return };
    let host = server.transport(0);
    answers(&host).await;
    let agent = server.agents(0)[0];
    let session = session_of(agent);
    server.signal(session, Signal::STOP);
    let began = Instant::now();
    let error = host.call(envelope(0, HostRequest::Observe)).await.expect_err("it is frozen");
    server.signal(session, Signal::CONT);
    // Three signs of life that do not come, five seconds each.
    assert!(began.elapsed() < Duration::from_secs(22), "it took {:?}", began.elapsed());
    assert!(error.why.starts_with("the connection was lost"), "{error}");
    answers(&host).await;
}

#[tokio::test]
async fn an_agent_that_hangs_is_given_up_within_the_limit_of_its_request() {
    let Some(server) = server(1) else { return };
    let host = server.transport(0);
    answers(&host).await;
    let agent = server.agents(0)[0];
    server.signal(agent, Signal::STOP);
    let began = Instant::now();
    let error = host.call(envelope(0, HostRequest::Observe)).await.expect_err("it hangs");
    assert!(began.elapsed() < Duration::from_secs(27), "it took {:?}", began.elapsed());
    assert_eq!(error.why, "no answer within 25 s");
    server.signal(agent, Signal::CONT);
    answers(&host).await;
}

/// The sshd process above an agent.
fn session_of(agent: u32) -> u32 {
    let mut id = agent;
    loop {
        let stat = fs_err::read_to_string(format!("/proc/{id}/stat")).expect("a process");
        let (name, after) = stat.rsplit_once(')').expect("a name");
        if name.ends_with("(sshd") {
            return id;
        }
        id = after.split_whitespace().nth(1).expect("a parent").parse().expect("a number");
    }
}
