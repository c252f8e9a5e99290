use std::collections::BTreeMap;

use super::*;

fn to() -> Destination {
    let ssh = toml::from_str("user = \"deploy\"\nport = 2222").expect("a table");
    Destination::new(&"web-01".parse().expect("a host"), &BTreeMap::new(), &ssh)
}

fn kind_of(stderr: &str, status: i32) -> (Kind, String, String) {
    let read = read(&to(), &Ended { stderr, stdout: "", status: Some(status) });
    (read.kind, read.why, read.hint.unwrap_or_default())
}

/// Each text as OpenSSH 9.2, sudo 1.9 and the shells of Debian 12 say it.
#[test]
fn last_words_are_understood() {
    let cases = [
        (
            "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22\n",
            Kind::Busy,
            "sshd hung up",
        ),
        ("Connection closed by 10.0.0.1 port 22\n", Kind::Busy, "sshd hung up"),
        ("deploy@web-01: Permission denied (publickey).\n", Kind::Final, "does not accept the key"),
        (
            "ssh: Could not resolve hostname web-01: Name or service not known\n",
            Kind::Final,
            "its name is not known",
        ),
        ("ssh: connect to host web-01 port 22: Connection refused\n", Kind::Final, "nothing listens"),
        (
            "ssh: connect to host web-01 port 22: Connection timed out\n",
            Kind::Final,
            "did not answer in time",
        ),
        ("Connection timed out during banner exchange\n", Kind::Final, "did not answer in time"),
        ("ssh: connect to host web-01 port 22: No route to host\n", Kind::Final, "no way to it"),
        ("Timeout, server web-01 not responding.\n", Kind::Final, "the connection was lost"),
        (
            "No ED25519 host key is known for web-01 and you have requested strict checking.\nHost key verification failed.\n",
            Kind::Final,
            "not known here",
        ),
        ("sudo: a password is required\n", Kind::NoAgent, "sudo starts no agent"),
        ("sudo: /usr/local/lib/unship/protocol-1/unship: command not found\n", Kind::NoAgent, "no agent"),
        (
            "bash: line 1: /usr/local/lib/unship/protocol-1/unship: No such file or directory\n",
            Kind::NoAgent,
            "no agent",
        ),
        ("sh: 1: .local/lib/unship/protocol-1/unship: not found\n", Kind::NoAgent, "no agent"),
        (
            "x: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by x)\n",
            Kind::Final,
            "C library",
        ),
        ("bash: x: cannot execute binary file: Exec format error\n", Kind::Final, "another kind of machine"),
    ];
    for (stderr, kind, why) in cases {
        let (read_kind, read_why, _) = kind_of(stderr, 255);
        assert_eq!(read_kind, kind, "{stderr}");
        assert!(read_why.contains(why), "{stderr}: {read_why}");
    }
}

#[test]
fn a_key_that_changed_is_told_from_one_that_is_not_known() {
    let said = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n";
    let (kind, why, hint) = kind_of(said, 255);
    assert_eq!(kind, Kind::Final);
    assert!(why.starts_with("its host key is not the one that is known"), "{why}");
    assert!(hint.contains("do not go on"), "{hint}");
    // As known_hosts has it, which is not how ssh is given it.
    assert!(hint.contains("`ssh-keygen -R '[web-01]:2222'`"), "{hint}");
}

#[test]
fn a_hint_names_the_host_as_ssh_would() {
    let (.., hint) = kind_of("Permission denied (publickey).", 255);
    assert!(hint.contains("ssh -v -p 2222 deploy@web-01 true"), "{hint}");
}

#[test]
fn words_of_a_host_do_not_draw_on_the_screen() {
    let read = read(&to(), &Ended { stderr: "", stdout: "\u{1b}[2J\u{202e}hi\r\n", status: Some(0) });
    assert!(read.why.contains("`hi`"), "{}", read.why);
    assert!(!read.why.contains('\u{1b}') && !read.why.contains('\u{202e}'));
}

#[test]
fn silence_has_its_status() {
    assert!(kind_of("", 1).1.contains("status 1"));
    let killed = read(&to(), &Ended { stderr: "", stdout: "", status: None });
    assert!(killed.why.contains("was killed"));
}
