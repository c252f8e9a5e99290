use std::process::Command;

use super::*;
use crate::config::Ssh;
use crate::transport::ssh::command;

fn options(table: &str) -> SshOptions {
    SshOptions::from(&toml::from_str::<Ssh>(table).expect("a table"))
}

/// What ssh makes of a configuration, as a host in between is reached with it.
fn understood(config: &str, host: &str) -> String {
    let said = Command::new("ssh").args(["-F", config, "-G", "--", host]).output().expect("ssh");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn what_a_host_in_between_is_reached_with_is_as_strict_and_has_the_rest_of_the_user_s_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("ssh_config");
    let text = "Host bastion\n  StrictHostKeyChecking no\n  User guard\nHost *\n  BatchMode no\n  Port 2200";
    fs_err::write(&own, text).expect("written");
    let options = options(&format!("config = \"{}\"\nconnect = \"3s\"", own.display()));
    let path = options.for_jumps.path(&options).expect("in memory");
    assert_eq!(options.clone().for_jumps.path(&options).expect("in memory"), path, "one for all");
    assert!(path.chars().all(|c| c.is_ascii_alphanumeric() || c == '/'), "{path}");
    // More than once: each reads it from its beginning.
    for _ in 0..2 {
        let said = understood(&path, "bastion");
        for line in
            ["stricthostkeychecking true", "batchmode yes", "connecttimeout 3", "user guard", "port 2200"]
        {
            assert!(said.lines().any(|found| found == line), "{line} in {said}");
        }
    }
    fs_err::remove_file(&own).expect("removed");
    let gone = self::options(&format!("config = \"{}\"", own.display()));
    let error = gone.for_jumps.path(&gone).expect_err("it is gone").to_string();
    assert!(error.contains("ssh_config"), "{error}");
}

#[test]
fn without_a_configuration_of_their_own_the_usual_ones_are_read_and_with_none_nothing() {
    let usual = options("");
    let text = text(&usual).expect("a text");
    assert!(
        text.starts_with("BatchMode yes\nStrictHostKeyChecking yes\n") && text.ends_with(USUAL),
        "{text}"
    );
    let said = understood(&usual.for_jumps.path(&usual).expect("in memory"), "bastion");
    assert!(said.contains("\nstricthostkeychecking true\n"), "{said}");
    let none = options("config = \"none\"");
    assert!(!self::text(&none).expect("a text").contains("Include"));
}

#[test]
fn a_home_is_found_without_a_shell() {
    let own = options("config = \"~/.ssh/work\"");
    let to = crate::config::Destination::new(
        &"web-01".parse().expect("a host"),
        &std::collections::BTreeMap::new(),
        &Ssh::default(),
    );
    let words = command::arguments(&own, &to, "x").expect("no file is needed");
    let home = std::env::home_dir().expect("a home");
    assert!(words.contains(&home.join(".ssh/work").display().to_string()), "{words:?}");
}
