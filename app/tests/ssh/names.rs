//! Keys that are not the host's, and names that would be something else to a shell or to ssh.

use unship::config::Config;
use unship::ports::HostTransport;
use unship::transport::{Gate, Ssh, Upkeep};
use unship_core::protocol::*;

use crate::server::{answers, envelope, server};

#[tokio::test]
async fn a_host_key_that_changed_is_refused() {
    let Some(mut server) = server(1) else { return };
    answers(&server.transport(0)).await;
    server.change_host_key();
    let host = server.transport(0);
    let error = host.call(envelope(0, HostRequest::Observe)).await.expect_err("another key");
    assert!(error.why.starts_with("its host key is not the one that is known"), "{error}");
    assert!(error.hint.expect("a hint").contains("do not go on"));
    assert_eq!(server.lines(0).len(), 1, "a login shell was reached");
}

#[tokio::test]
async fn a_host_key_that_is_not_known_is_refused_and_not_written_down() {
    let Some(server) = server(1) else { return };
    let known = server.folder.path().join("known_hosts");
    fs_err::write(&known, "").expect("a file");
    let host = server.transport(0);
    let error = host.call(envelope(0, HostRequest::Observe)).await.expect_err("an unknown key");
    assert!(error.why.starts_with("its host key is not known here"), "{error}");
    assert_eq!(fs_err::read_to_string(&known).expect("a file"), "");
    assert_eq!(server.lines(0), [""; 0]);
}

/// What would be commands for a shell, wherever a configuration allows any text at all.
#[tokio::test]
async fn hostile_folders_go_through_the_pipe_and_reach_no_shell() {
    let Some(server) = server(1) else { return };
    let hostile = [
        "opt/$(touch pwned)",
        "opt/`touch pwned`",
        "opt/;touch pwned;",
        "opt/' & touch pwned '",
        "opt/\ntouch pwned",
    ];
    for (index, root) in hostile.into_iter().enumerate() {
        let setup = crate::server::setup(root);
        let host = Ssh::new(server.destination(0), setup, server.world(&Gate::new(1), Upkeep::Never));
        let reply = host.call(crate::server::claim(1)).await.expect("it answers");
        assert!(matches!(reply, HostReply::Done { .. }), "{reply:?}");
        assert!(server.home(0).join(root).join("epoch").exists(), "{root:?} is a folder like any other");
        assert_eq!(server.lines(0).len(), index + 1);
    }
    assert!(server.lines(0).iter().all(|line| line == ".local/lib/unship/protocol-1/unship host"));
    assert!(!server.home(0).join("pwned").exists() && !std::path::Path::new("pwned").exists());
}

#[test]
fn hostile_hosts_are_refused_with_the_line_that_has_them() {
    let base = "[service]\nname = \"demo\"\nstateless = true\n[[unit]]\nname = \"web\"\ncommand = [\"x\"]\n\
                [build]\ncommand = [\"true\"]\nartifact = \"x\"\n[environment.test]\n";
    let cases = [
        ("hosts = [\"-oProxyCommand=touch pwned\"]", "the host `-oProxyCommand=touch pwned`"),
        ("hosts = [\"web-01\", \"a b\"]", "the host `a b`"),
        ("hosts = [\"$(touch pwned)\"]", "the host `$(touch pwned)`"),
        ("hosts = [\"web-01\"]\nssh = { user = \"-lroot\" }", "the user `-lroot`"),
        ("hosts = [\"web-01\"]\nssh = { jump = \"b,-oX=y\" }", "the jump `b,-oX=y`"),
        ("hosts = [\"web-01\"]\nssh = { identity = \"-key\" }", "the file `-key`"),
        ("hosts = [\"web-01\"]\nssh = { port = 0 }", "nonzero"),
        ("hosts = [\"web-01\"]\nhost.web-01 = { address = \"a;b\" }", "the address `a;b`"),
        ("hosts = [\"web-01\"]\nssh = { options = [\"-oX\"] }", "unknown field `options`"),
        ("hosts = [\"web-01\", \"web-01\"]", "the host `web-01` is there twice"),
        ("hosts = [\"web-01\", \"local\"]", "`local` is this machine"),
        ("hosts = []", "at least one host"),
    ];
    for (lines, expected) in cases {
        let text = format!("{base}{lines}\n");
        let error = Config::parse("unship.toml".as_ref(), &text).expect_err(lines).to_string();
        assert!(error.contains(expected), "{lines}: {error}");
        assert!(error.starts_with("unship.toml:1"), "{lines}: {error}");
    }
}
