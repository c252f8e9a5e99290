use super::*;

/// Words that would be an option, a command, or two words, if they reached ssh or a shell.
const HOSTILE: [&str; 16] = [
    "",
    "-oProxyCommand=touch pwned",
    "--",
    "-",
    "a b",
    "a\tb",
    "a\nb",
    "a;touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a|b",
    "a'b",
    "a\"b",
    "a%hb",
    "a\0b",
    "a\u{202e}b",
];

#[test]
fn hostile_values_are_refused_by_name() {
    for text in HOSTILE {
        let text = text.to_owned();
        assert!(Address::try_from(text.clone()).is_err(), "address {text:?}");
        assert!(Account::try_from(text.clone()).is_err(), "user {text:?}");
        assert!(SshFile::try_from(text.clone()).is_err(), "file {text:?}");
        assert!(Jump::try_from(text.clone()).is_err(), "jump {text:?}");
        assert!(text.parse::<HostName>().is_err(), "host {text:?}");
    }
    for text in ["a,-oProxyCommand=x", "me@-x", "a,,b", "@b", "a@", "a/b"] {
        assert!(Jump::try_from(text.to_owned()).is_err(), "jump {text:?}");
    }
    for text in ["me@host", "a/b", "ssh://host", "[::1]"] {
        assert!(Address::try_from(text.to_owned()).is_err(), "address {text:?}");
    }
    let error = Address::try_from("-oProxyCommand=x".to_owned()).expect_err("an option");
    assert!(error.starts_with("the address `-oProxyCommand=x` must start with"), "{error}");
}

#[test]
fn a_probe_has_an_address_and_a_port() {
    for text in ["10.0.0.3:80", "web-01.example.org:8080", "[::1]:80"] {
        assert!(ProbeAddress::try_from(text.to_owned()).is_ok(), "{text}");
    }
    for text in ["10.0.0.3", "::1:80", "[web]:80", ":80", "a:0", "a:99999", "a b:80", "a/b:80", "[::1:80"] {
        assert!(ProbeAddress::try_from(text.to_owned()).is_err(), "{text}");
    }
}

#[test]
fn usual_values_are_taken() {
    for text in ["web-01", "10.0.0.1", "::1", "fe80::1", "web-01.example.org"] {
        assert!(Address::try_from(text.to_owned()).is_ok(), "{text}");
    }
    for text in ["bastion", "me@bastion:2222", "a,b@c:22"] {
        assert!(Jump::try_from(text.to_owned()).is_ok(), "{text}");
    }
    for text in ["~/.ssh/id_ed25519", "/etc/ssh/key", "keys/deploy"] {
        assert!(SshFile::try_from(text.to_owned()).is_ok(), "{text}");
    }
}

#[test]
fn a_host_has_what_its_table_says_and_else_what_all_have() {
    let ssh: Ssh = toml::from_str("user = \"deploy\"\nport = 22\njump = \"bastion\"").expect("a table");
    let tables: BTreeMap<HostName, HostTable> =
        toml::from_str("[web-02]\naddress = \"10.0.0.2\"\nport = 2222").expect("tables");
    let way = |name: &str| Destination::new(&name.parse().expect("a host"), &tables, &ssh);
    let (first, second) = (way("web-01"), way("web-02"));
    assert_eq!((first.address.as_str(), first.port.map(NonZeroU16::get)), ("web-01", Some(22)));
    assert_eq!((second.address.as_str(), second.port.map(NonZeroU16::get)), ("10.0.0.2", Some(2222)));
    assert_eq!(second.user.as_ref().map(Account::as_str), Some("deploy"));
    assert_eq!(second.jump, first.jump);
}
