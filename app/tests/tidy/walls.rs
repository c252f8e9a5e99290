//! Which module may name which. Cargo holds the walls between the crates; these are the walls inside them.

use std::collections::BTreeSet;

use super::source::{File, files, is_test};

/// The modules of core, in the order of the flow: each names only earlier ones.
const CORE: &[&str] = &[
    "time",
    "release",
    "evidence",
    "ci",
    "flags",
    "sql",
    "schema",
    "tools",
    "queries",
    "verdict",
    "down",
    "capsule",
    "running",
    "protocol",
    "units",
    "frame",
    "history",
    "decision",
    "plan",
    "journal",
    "explain",
    "aftercare",
];

/// The modules of host, likewise.
const HOST: &[&str] = &[
    "clock",
    "durable",
    "paths",
    "epoch",
    "hold",
    "store",
    "look",
    "supervise",
    "systemd",
    "agent",
    "serve",
];

/// In app: who may name whom. A module that is not here may not be named by another.
const APP: &[(&str, &[&str])] = &[
    ("config", &["load", "ports"]),
    ("process", &[]),
    ("unit_files", &[]),
    ("placeholders", &[]),
    ("ports", &[]),
    ("load", &["ports"]),
    ("flow", &["ports", "load"]),
    ("gather", &["process"]),
    ("source", &["ports", "config", "process", "gather"]),
    ("probe", &["ports", "config"]),
    ("service_commands", &["ports", "config", "process", "placeholders"]),
    ("command", &["ports", "config", "process", "placeholders", "source"]),
    ("ledger", &["ports"]),
    ("transport", &["ports", "config"]),
    ("inventory", &["config", "process"]),
    ("aftercare", &["ports", "plain", "process"]),
    ("sender", &["ports"]),
    ("flags", &["ports", "config", "process", "secrets"]),
    ("ci", &["ports", "config", "process"]),
    ("database", &["ports", "secrets"]),
];

/// The modules that are behind ports: only `wire` names them.
const BACKENDS: &[&str] = &[
    "ledger",
    "transport",
    "source",
    "command",
    "probe",
    "service_commands",
    "database",
    "aftercare",
    "sender",
    "flags",
    "ci",
    "inventory",
];

/// The first names after `crate::` in a file, wherever they stand, also in braces.
fn named(file: &File) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in file.text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for after in line.split("crate::").skip(1) {
            let mut text = after;
            if let Some(braces) = after.strip_prefix('{') {
                for part in braces.split([',', '}']) {
                    names.insert(first_name(part.trim()));
                }
                text = "";
            }
            names.insert(first_name(text));
        }
    }
    names.remove("");
    names
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The module that a file belongs to: the first folder or file name below `src`.
fn module<'a>(file: &'a File, krate: &str) -> Option<&'a str> {
    let inside = file.path.strip_prefix(krate)?.strip_prefix("/src/")?;
    let first = inside.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    Some(name.strip_suffix("_tests").unwrap_or(name))
}

fn ordered(krate: &str, order: &[&str]) {
    let mut seen = 0;
    for file in files(".rs").iter().filter(|file| !is_test(&file.path)) {
        let Some(name) = module(file, krate) else { continue };
        if name == "lib" {
            continue;
        }
        let place = order.iter().position(|known| *known == name);
        let place = place.unwrap_or_else(|| panic!("{} has no place in the order of {krate}", file.path));
        for other in named(file) {
            seen += 1;
            if let Some(its) = order.iter().position(|known| *known == other) {
                assert!(its <= place, "{} names crate::{other}, which comes after {name}", file.path);
            }
        }
    }
    assert!(seen > 0, "nothing was read of {krate}");
}

#[test]
fn a_module_of_core_names_only_earlier_ones() {
    ordered("core", CORE);
}

#[test]
fn a_module_of_host_names_only_earlier_ones() {
    ordered("host", HOST);
}

#[test]
fn core_has_no_clock_no_disk_no_network_and_no_chance() {
    let banned = ["std::fs", "fs_err", "std::net", "SystemTime", "Instant::now", "std::env", "std::process"];
    for file in files(".rs").iter().filter(|file| file.path.starts_with("core/src") && !is_test(&file.path)) {
        for word in banned {
            assert!(!file.text.contains(word), "{} uses {word}", file.path);
        }
    }
}

#[test]
fn only_wire_names_the_backends_and_flows_name_ports_alone() {
    let mut seen = 0;
    for file in files(".rs").iter().filter(|file| !is_test(&file.path)) {
        let Some(name) = module(file, "app") else { continue };
        if matches!(name, "lib" | "main" | "wire") {
            continue;
        }
        for other in named(file).iter().filter(|other| *other != name) {
            seen += 1;
            if name == "cli" {
                assert!(!BACKENDS.contains(&other.as_str()), "{} names the backend {other}", file.path);
                continue;
            }
            assert!(other != "cli" && other != "wire", "{} names crate::{other}", file.path);
            let allowed = APP.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, may)| *may);
            let is_module = APP.iter().any(|(known, _)| known == other) || BACKENDS.contains(&other.as_str());
            assert!(!is_module || allowed.contains(&other.as_str()), "{} names crate::{other}", file.path);
        }
    }
    assert!(seen > 0, "nothing was read of app");
}

#[test]
fn a_path_in_braces_or_in_the_middle_of_a_line_is_seen() {
    let file = File {
        path: "app/src/x.rs".into(),
        text: "use crate::{ledger, flow::run};\nlet a = crate::wire::b();\n// crate::cli".into(),
    };
    assert_eq!(named(&file).into_iter().collect::<Vec<_>>(), ["flow", "ledger", "wire"]);
}
