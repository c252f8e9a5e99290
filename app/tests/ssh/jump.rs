//! A host behind another one: what holds for a host holds for those in between.

use std::time::{Duration, Instant};

use unship::config::{Destination, HostTable};
use unship::ports::HostTransport;
use unship::transport::{Gate, Ssh, Upkeep};
use unship_core::protocol::HostRequest;

use crate::server::{Server, answers, envelope, server, setup};

/// The first host, by way of the second.
fn behind(server: &Server) -> Ssh {
    let to = server.destination(0);
    let table = HostTable {
        address: Some(to.address.clone()),
        port: to.port,
        jump: Some(format!("127.0.0.1:{}", server.ports[1]).try_into().expect("a jump")),
        ..HostTable::default()
    };
    let tables = [(to.name.clone(), table)].into();
    let to = Destination::new(&to.name, &tables, &server.table());
    Ssh::new(to, setup("opt/demo"), server.world(&Gate::new(8), Upkeep::Never))
}

/// The second host lets nobody run anything: it only passes connections on.
#[tokio::test]
async fn a_host_is_reached_through_another_one() {
    let Some(server) = server(2) else { return };
    answers(&behind(&server)).await;
    assert_eq!((server.lines(0).len(), server.lines(1).len()), (1, 0));
}

/// Also where the user's own configuration would let it through.
#[tokio::test]
async fn a_host_in_between_whose_key_is_not_known_is_refused_without_a_question() {
    let Some(server) = server(2) else { return };
    server.know_only(&server.ports[..1]);
    let known = || fs_err::read_to_string(server.folder.path().join("known_hosts")).expect("a file");
    let before = known();
    for own in ["no", "accept-new", "ask"] {
        let config = server.folder.path().join("ssh_config");
        let text = fs_err::read_to_string(&config).expect("a file");
        fs_err::write(&config, format!("{text}  StrictHostKeyChecking {own}\n")).expect("a file");
        let began = Instant::now();
        let refused = behind(&server).call(envelope(0, HostRequest::Observe)).await.expect_err("refused");
        assert!(began.elapsed() < Duration::from_secs(5), "{own}: {:?}", began.elapsed());
        assert!(refused.why.starts_with("its host key is not known here"), "{own}: {refused}");
        let hint = refused.hint.unwrap_or_default();
        assert!(hint.contains(&format!("ssh -J 127.0.0.1:{}", server.ports[1])), "{own}: {hint}");
        fs_err::write(&config, text).expect("a file");
    }
    assert_eq!((known(), server.lines(0).len()), (before, 0));
}
