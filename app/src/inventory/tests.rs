use super::*;
use crate::config::{Account, Hosts};

/// As ansible-core 2.19 prints an inventory with a group of groups.
const LISTING: &str = r#"{
    "_meta": { "hostvars": {
        "web-01": { "ansible_host": "10.0.0.1", "ansible_user": "deploy", "app_port": 80 },
        "web-02": { "ansible_host": "10.0.0.2", "ansible_port": 2222,
                    "ansible_ssh_common_args": "-o ProxyJump=me@bastion -o ControlMaster=auto -o 'ControlPersist=60s'" },
        "db-01": { "ansible_port": "2200", "ansible_ssh_private_key_file": "~/.ssh/db" }
    } },
    "all": { "children": ["ungrouped", "shithub", "db"] },
    "shithub": { "children": ["web", "db"] },
    "web": { "hosts": ["web-02", "web-01"] },
    "db": { "hosts": ["db-01", "web-02"] }
}"#;

fn inventory(table: &str) -> Inventory {
    toml::from_str(&format!("ansible = \"hosts\"\n{table}")).expect("a table")
}

fn names(table: &str) -> Result<Vec<String>, InventoryError> {
    let hosts = pick(&inventory(table), LISTING.as_bytes())?;
    Ok(hosts.into_iter().map(|(name, _)| name.to_string()).collect())
}

/// A listing with one host and these variables.
fn with(variables: &str) -> Result<HostTable, InventoryError> {
    let listing = format!(r#"{{"_meta":{{"hostvars":{{"web":{variables}}}}},"all":{{"hosts":["web"]}}}}"#);
    pick(&inventory(""), listing.as_bytes()).map(|hosts| hosts[0].1.clone())
}

#[test]
fn a_group_has_the_hosts_of_the_groups_below_it_once_and_in_order() {
    assert_eq!(names("").expect("hosts"), ["web-02", "web-01", "db-01"]);
    assert_eq!(names("group = \"web\"").expect("hosts"), ["web-02", "web-01"]);
    assert_eq!(names("group = \"shithub\"\nlimit = \"!db\"").expect("hosts"), ["web-01"]);
    assert_eq!(names("limit = \"web-*,!web-02\"").expect("hosts"), ["web-01"]);
    assert_eq!(names("limit = \"db-01,web-01\"").expect("hosts"), ["web-01", "db-01"]);
}

#[test]
fn what_is_not_there_is_named_and_never_means_all_or_none() {
    let error = names("group = \"wbe\"").expect_err("a typo");
    assert_eq!(error.to_string(), "the inventory has no group `wbe`");
    assert!(error.hint().expect("a hint").contains("shithub, web"));
    assert!(matches!(names("limit = \"web-09\""), Err(InventoryError::NoSuchLimit { .. })));
    assert!(matches!(names("limit = \"!web-09\""), Err(InventoryError::NoSuchLimit { .. })));
    assert!(matches!(names("group = \"web\"\nlimit = \"db-01\""), Err(InventoryError::NoHost { .. })));
}

#[test]
fn variables_say_the_way_to_a_host() {
    let hosts = pick(&inventory(""), LISTING.as_bytes()).expect("hosts");
    let table = |name: &str| &hosts.iter().find(|(host, _)| host.as_str() == name).expect("there").1;
    assert_eq!(table("web-01").user.as_ref().map(Account::as_str), Some("deploy"));
    assert_eq!(table("web-02").address.as_ref().map(crate::config::Address::as_str), Some("10.0.0.2"));
    assert_eq!(table("web-02").port.map(std::num::NonZeroU16::get), Some(2222));
    assert_eq!(table("web-02").jump.as_ref().map(crate::config::Jump::as_str), Some("me@bastion"));
    assert_eq!(table("db-01").port.map(std::num::NonZeroU16::get), Some(2200));
    assert!(table("db-01").identity.is_some());
}

#[test]
fn values_that_would_be_something_else_are_refused_by_name() {
    let cases = [
        (r#"{"ansible_host":"-oProxyCommand=touch pwned"}"#, "ansible_host"),
        (r#"{"ansible_host":"a;b"}"#, "ansible_host"),
        (r#"{"ansible_host":"{{ lookup('pipe','touch pwned') }}"}"#, "ansible_host"),
        (r#"{"ansible_host":"a\u0007b"}"#, "ansible_host"),
        (r#"{"ansible_host":["a"]}"#, "ansible_host"),
        (r#"{"ansible_user":"-lroot"}"#, "ansible_user"),
        (r#"{"ansible_port":0}"#, "ansible_port"),
        (r#"{"ansible_port":"22 -oX"}"#, "ansible_port"),
        (r#"{"ansible_ssh_private_key_file":"-x"}"#, "ansible_ssh_private_key_file"),
        (r#"{"ansible_connection":"local"}"#, "ansible_connection"),
        (r#"{"ansible_ssh_common_args":"-o ProxyCommand='ssh -W %h:%p b'"}"#, "ansible_ssh_common_args"),
        (r#"{"ansible_ssh_common_args":"-o StrictHostKeyChecking=no"}"#, "ansible_ssh_common_args"),
        (r#"{"ansible_ssh_extra_args":"-oUserKnownHostsFile=/dev/null"}"#, "ansible_ssh_extra_args"),
        (r#"{"ansible_ssh_args":"-F /tmp/x"}"#, "ansible_ssh_args"),
        (r#"{"ansible_ssh_common_args":"-J 'a,-oX'"}"#, "ansible_ssh_common_args"),
        (r#"{"ansible_ssh_common_args":"-o"}"#, "ansible_ssh_common_args"),
        (r#"{"ansible_ssh_common_args":"'-o"}"#, "ansible_ssh_common_args"),
    ];
    for (variables, named) in cases {
        match with(variables) {
            Err(InventoryError::Refused { host, variable, .. }) => {
                assert_eq!((host.as_str(), variable.as_str()), ("web", named), "{variables}");
            }
            other => panic!("{variables}: {other:?}"),
        }
    }
    let hostile = r#"{"_meta":{},"all":{"hosts":["-oProxyCommand=x"]}}"#;
    let error = pick(&inventory(""), hostile.as_bytes()).expect_err("an option");
    assert!(error.to_string().starts_with("the name of `-oProxyCommand=x`"), "{error}");
}

#[test]
fn circles_and_nonsense_come_to_an_end() {
    let circle = r#"{"all":{"children":["a"]},"a":{"children":["b"],"hosts":["x"]},"b":{"children":["a"]}}"#;
    assert_eq!(pick(&inventory(""), circle.as_bytes()).expect("hosts").len(), 1);
    for text in ["", "[]", "{\"all\": 1}", "{\"_meta\": {\"hostvars\": []}}", "\u{0}"] {
        assert!(
            matches!(pick(&inventory(""), text.as_bytes()), Err(InventoryError::Unreadable { .. })),
            "{text}"
        );
    }
}

#[test]
fn hosts_are_a_list_or_an_inventory() {
    #[derive(Debug, serde::Deserialize)]
    struct Table {
        hosts: Hosts,
    }
    let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.hosts);
    assert!(read("hosts = [\"web-01\"]").expect("hosts").inventory().is_none());
    let hosts = read("hosts = { ansible = \"production\", group = \"web\" }").expect("hosts");
    assert!(hosts.inventory().is_some() && hosts.first().is_none() && !hosts.is_local());
    assert!(hosts.of_inventory(vec!["local".parse().expect("a name")]).is_err());
    for text in [
        "hosts = { ansible = \"-x\" }",
        "hosts = { ansible = \"a,b\" }",
        "hosts = { ansible = \"a\", group = \"-x\" }",
        "hosts = { ansible = \"a\", limit = \"@/etc/passwd\" }",
        "hosts = { group = \"a\" }",
        "hosts = { ansible = \"a\", grupp = \"a\" }",
        "hosts = \"web-01\"",
        "hosts = []",
    ] {
        read(text).expect_err(text);
    }
}
