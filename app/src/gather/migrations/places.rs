//! Where a project keeps its migrations, when nobody says.

use std::collections::{BTreeMap, BTreeSet};

use super::{DEPTH_MAX, GatherError};

/// Names of folders that hold migrations.
const FOLDER_NAMES: [&str; 3] = ["migrations", "migration", "db-migrations"];

/// Folders whose contents are somebody else's, or examples. They count only if there is nothing else.
const ASIDE: [&str; 14] = [
    "test",
    "tests",
    "testdata",
    "fixtures",
    "fixture",
    "example",
    "examples",
    "vendor",
    "node_modules",
    "target",
    "docs",
    "benches",
    "third_party",
    "testing",
];

/// Deepest folder below the project that is considered.
pub(super) const SEARCH_DEPTH_MAX: usize = 6;

/// Names of folders that are never entered on disk.
pub(in crate::gather) fn never_entered(name: &str) -> bool {
    name.starts_with('.') || matches!(name, "node_modules" | "target" | "vendor")
}

/// Is a folder of this name somebody else's, or an example?
pub(in crate::gather) fn is_aside(name: &str) -> bool {
    ASIDE.contains(&name)
}

/// The migrations folder among a project's files, given by their paths below the project.
pub(super) fn folder_of<'a>(
    paths: impl Iterator<Item = &'a str>,
    place: &str,
) -> Result<String, GatherError> {
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for path in paths {
        if !path.to_ascii_lowercase().ends_with(".sql") {
            continue;
        }
        let parts: Vec<&str> = path.split('/').collect();
        let folders = &parts[..parts.len() - 1];
        let Some(at) = folders.iter().position(|part| FOLDER_NAMES.contains(part)) else { continue };
        if at > SEARCH_DEPTH_MAX || folders.len() - at > DEPTH_MAX {
            continue;
        }
        // `migrations/postgres/` and `migrations/sqlite/` are two folders; a folder for each step is one. Both
        // show in the files: a step's folder has an up.sql.
        let mut end = at + 1;
        while end < folders.len() && !is_step(folders[end]) && !is_direction(folders[end]) {
            end += 1;
        }
        let aside = folders.iter().any(|part| ASIDE.contains(part));
        found.insert(folders[..end].join("/"), aside);
    }
    let chosen: BTreeSet<&String> =
        found.iter().filter(|(_, aside)| !**aside).map(|(path, _)| path).collect();
    let mut candidates: Vec<String> =
        if chosen.is_empty() { found.into_keys().collect() } else { chosen.into_iter().cloned().collect() };
    match candidates.len() {
        0 => Err(GatherError::NoFolder { place: place.to_owned() }),
        1 => Ok(candidates.remove(0)),
        _ => Err(GatherError::SeveralFolders { place: place.to_owned(), folders: candidates }),
    }
}

/// A folder of one migration: `2020-01-02-030405_name`.
fn is_step(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit())
}

/// A folder of one direction: `up/`, `down/`.
fn is_direction(name: &str) -> bool {
    matches!(name, "up" | "down" | "rollback" | "undo" | "revert")
}
