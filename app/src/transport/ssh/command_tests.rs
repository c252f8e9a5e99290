use std::collections::BTreeMap;

use super::*;
use crate::config::HostTable;

fn options(table: &str) -> (Ssh, SshOptions) {
    let ssh: Ssh = toml::from_str(table).expect("a table");
    let options = SshOptions::from(&ssh);
    (ssh, options)
}

#[test]
fn every_value_is_an_argument_of_its_own_and_the_host_comes_behind_the_options() {
    let (ssh, options) = options(
        "user = \"deploy\"\nport = 2222\nidentity = \"~/.ssh/deploy\"\njump = \"me@bastion\"\nsudo = true\n\
         config = \"none\"\nconnect = \"3s\"",
    );
    let config = options.for_jumps.path(&options).expect("in memory");
    let to = Destination::new(&"web-01".parse().expect("a host"), &BTreeMap::new(), &ssh);
    let words = arguments(&options, &to, &agent_line(&options)).expect("all is there");
    let text = words.join("\n").replace(&config, "CONFIG");
    assert_eq!(
        text,
        "-T\n-a\n-x\n-F\nCONFIG\n-o\nBatchMode=yes\n-o\nStrictHostKeyChecking=yes\n-o\nConnectTimeout=3\n\
         -o\nConnectionAttempts=1\n-o\nServerAliveInterval=5\n-o\nServerAliveCountMax=3\n\
         -o\nPermitLocalCommand=no\n-o\nClearAllForwardings=yes\n-o\nRemoteCommand=none\n\
         -l\ndeploy\n-p\n2222\n-i\n~/.ssh/deploy\n-J\nme@bastion\n--\nweb-01\n\
         sudo -n -- /usr/local/lib/unship/protocol-1/unship host"
    );
}

/// Wherever one login shell would read them unlike another, these are not: they have no backslash, no exclamation
/// mark, no line break, and one pair of single quotes.
#[test]
fn the_lines_that_put_an_agent_there_are_fixed_and_plain() {
    for (table, count) in [("", 1), ("sudo = true", 2), ("sudo = true\nagent = \"home\"", 1)] {
        let (_, options) = options(table);
        let lines = place_lines(&options);
        assert_eq!(lines.len(), count);
        for line in lines {
            assert!(!line.text.contains(['\\', '!', '\n']), "{}", line.text);
            assert!(matches!(line.text.matches('\'').count(), 0 | 2), "{}", line.text);
        }
    }
}

/// The line of the login shell is the same whatever the host is called and wherever its service lies.
#[test]
fn nothing_that_was_configured_is_in_the_line_of_the_login_shell() {
    let places = [("system", "/usr/local/lib/unship"), ("home", ".local/lib/unship")];
    for (place, folder) in places {
        for (sudo, before) in [(false, ""), (true, "sudo -n -- ")] {
            let (_, options) = options(&format!("agent = \"{place}\"\nsudo = {sudo}\nuser = \"u\""));
            let line = agent_line(&options);
            assert_eq!(line, format!("{before}{folder}/protocol-1/unship host"));
            assert!(line.chars().all(|c| c.is_ascii_alphanumeric() || " /.-".contains(c)), "{line}");
        }
    }
}

#[test]
fn a_host_may_have_an_address_of_its_own() {
    let (ssh, options) = options("");
    let tables: BTreeMap<_, HostTable> =
        [("web-01".parse().expect("a host"), toml::from_str("address = \"::1\"").expect("a table"))].into();
    let to = Destination::new(&"web-01".parse().expect("a host"), &tables, &ssh);
    let words = arguments(&options, &to, "x").expect("all is there");
    assert_eq!(words[words.len() - 3..], ["--", "::1", "x"]);
}

#[test]
fn a_way_to_a_database_runs_nothing_and_goes_with_its_child() {
    let (ssh, options) = options("user = \"deploy\"");
    let to = Destination::new(&"web-01".parse().expect("a host"), &BTreeMap::new(), &ssh);
    let words = tunnel_arguments(&options, &to, "/tmp/s:db:5432").expect("all is there");
    let ends = ["-l", "deploy", "-N", "-L", "/tmp/s:db:5432", "--", "web-01"];
    assert!(words.ends_with(&ends.map(String::from)), "{words:?}");
    for option in
        ["StrictHostKeyChecking=yes", "BatchMode=yes", "ExitOnForwardFailure=yes", "ControlPath=none"]
    {
        assert!(words.contains(&option.to_owned()), "{words:?}");
    }
    assert!(!words.contains(&"ClearAllForwardings=yes".to_owned()), "its own would be cleared too");
}
