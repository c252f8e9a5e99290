//! Versions as a version table holds them: what a step leaves, which is the newest, and how two readings differ.

use std::collections::BTreeSet;

use super::program::Program;
use crate::tools::{Rows, Tool, about};

impl Program {
    /// What the version table holds after the program.
    pub fn versions_after(&self) -> BTreeSet<String> {
        let only_newest =
            about(self.tool).table.is_some_and(|table| matches!(table.rows, Rows::OnlyNewest { .. }));
        if only_newest {
            return self.version_before.iter().cloned().collect();
        }
        self.applied.iter().filter(|version| **version != self.version).cloned().collect()
    }
}

/// The newest of the versions, as the tool orders them.
pub fn newest(tool: Tool, versions: &BTreeSet<String>) -> Option<&str> {
    let is_number = about(tool).table.is_some_and(|table| {
        table
            .columns
            .iter()
            .any(|column| column.name == table.version_column && column.postgres.contains("int"))
    });
    let number = |version: &str| if is_number { version.parse::<i128>().ok() } else { None };
    versions.iter().map(String::as_str).max_by(|a, b| (number(a), a).cmp(&(number(b), b)))
}

/// What is more and what is less than wanted, in words.
pub fn difference(wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> String {
    let list = |of: &BTreeSet<String>, without: &BTreeSet<String>| {
        of.difference(without).map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    match (list(found, wanted), list(wanted, found)) {
        (more, less) if less.is_empty() => format!("it also has {more}"),
        (more, less) if more.is_empty() => format!("it lacks {less}"),
        (more, less) => format!("it also has {more} and lacks {less}"),
    }
}
