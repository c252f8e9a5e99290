//! The files that hold a release's queries: those that were named, or those that are found.
//!
//! Found are sqlx's offline files (`.sqlx/`, `sqlx-data.json`), the files that a `sqlc.yaml` names, and folders
//! called `queries` with SQL files in them. Reading them is core's.

use std::path::{Path, PathBuf};

use unship_core::queries::is_query_file;

use super::migrations::{GatherError, git, places};

/// Most files, and most bytes of them together.
const FILES_MAX: usize = 20_000;
const TOTAL_BYTES_MAX: u64 = 64 << 20;
/// Largest single file, and deepest folder.
const FILE_BYTES_MAX: u64 = 8 << 20;
const DEPTH_MAX: usize = 8;

/// The files of a release's queries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundQueries {
    /// Path below the project, and text.
    pub files: Vec<(String, String)>,
    /// Where they are, for people: `.sqlx`, `queries`.
    pub places: Vec<String>,
}

impl FoundQueries {
    /// The places in words.
    pub fn source(&self) -> String {
        self.places.join(", ")
    }
}

/// From a commit. Without `named` they are looked for.
pub async fn at_commit(
    repository: &Path,
    revision: &str,
    named: &[String],
) -> Result<FoundQueries, GatherError> {
    let listing = git::list(repository, revision).await?;
    let paths: Vec<&str> = listing.paths().collect();
    let sqlc: Vec<String> =
        paths.iter().filter(|path| is_sqlc(path)).map(|path| (*path).to_owned()).collect();
    let configs = if named.is_empty() { listing.texts(&sqlc, FILE_BYTES_MAX).await? } else { Vec::new() };
    let places = if named.is_empty() { search(&paths, &configs) } else { trimmed(named) };
    let wanted = wanted(&paths, &places);
    Ok(FoundQueries { files: listing.texts(&wanted, FILE_BYTES_MAX).await?, places })
}

/// From a folder of this machine. Without `named` they are looked for.
pub fn on_disk(project: &Path, named: &[String]) -> Result<FoundQueries, GatherError> {
    let paths = walk(project, named)?;
    let shown: Vec<&str> = paths.iter().map(String::as_str).collect();
    let configs: Vec<(String, String)> = shown
        .iter()
        .filter(|path| named.is_empty() && is_sqlc(path))
        .filter_map(|path| Some(((*path).to_owned(), fs_err::read_to_string(project.join(path)).ok()?)))
        .collect();
    let places = if named.is_empty() { search(&shown, &configs) } else { trimmed(named) };
    let mut files = Vec::new();
    let mut total = 0;
    for path in wanted(&shown, &places) {
        let full = project.join(&path);
        let size = fs_err::metadata(&full).map(|metadata| metadata.len()).unwrap_or_default();
        total += size;
        if size > FILE_BYTES_MAX || total > TOTAL_BYTES_MAX {
            let what = format!("`{path}`");
            return Err(GatherError::TooMuch {
                what,
                found: total.max(size),
                max: FILE_BYTES_MAX,
                unit: "bytes",
            });
        }
        // What is not text is no query.
        if let Ok(text) = fs_err::read_to_string(&full) {
            files.push((path, text));
        }
    }
    Ok(FoundQueries { files, places })
}

fn trimmed(named: &[String]) -> Vec<String> {
    named.iter().map(|place| place.trim_start_matches("./").trim_end_matches('/').to_owned()).collect()
}

fn is_sqlc(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("sqlc.yaml" | "sqlc.yml" | "sqlc.json"))
}

/// The paths below the places, in order.
fn wanted(paths: &[&str], places: &[String]) -> Vec<String> {
    let below = |path: &str, place: &str| {
        place.is_empty()
            || place == "."
            || path == place
            || path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
    };
    let mut wanted: Vec<String> = paths
        .iter()
        .filter(|path| is_query_file(path) && places.iter().any(|place| below(path, place)))
        .map(|path| (*path).to_owned())
        .collect();
    wanted.sort();
    wanted.truncate(FILES_MAX);
    wanted
}

/// The places at which a project's queries are, from its paths and its sqlc configurations.
fn search(paths: &[&str], sqlc: &[(String, String)]) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for path in paths {
        let parts: Vec<&str> = path.split('/').collect();
        let folders = &parts[..parts.len() - 1];
        if folders.iter().any(|part| places::is_aside(part)) {
            continue;
        }
        if *parts.last().unwrap_or(&"") == "sqlx-data.json" {
            places.push((*path).to_owned());
        }
        let ending = Path::new(path).extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        let named = |part: &str| part == ".sqlx" && ending == "json" || part == "queries" && ending == "sql";
        if let Some(at) = folders.iter().position(|part| named(part)) {
            places.push(folders[..=at].join("/"));
        }
    }
    for (path, text) in sqlc {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        places.extend(sqlc_queries(text).into_iter().map(|place| {
            let place = place.trim_start_matches("./").trim_end_matches('/').to_owned();
            if folder.is_empty() { place } else { format!("{folder}/{place}") }
        }));
    }
    places.sort();
    places.dedup();
    places
}

/// The values of `queries` in a sqlc configuration, YAML or JSON: one path or a list of paths.
fn sqlc_queries(text: &str) -> Vec<String> {
    let clean = |value: &str| value.trim().trim_matches(['"', '\'', ',', '[', ']', ' ']).to_owned();
    let mut found = Vec::new();
    let mut in_list = false;
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        let key = line.trim_start_matches("- ").trim_start_matches('"');
        if let Some(rest) = key.strip_prefix("queries").map(|rest| rest.trim_start_matches('"').trim_start())
            && let Some(value) = rest.strip_prefix(':')
        {
            in_list = clean(value).is_empty();
            found.extend(value.split(',').map(clean).filter(|value| !value.is_empty()));
        } else if in_list && (line.starts_with("- ") || line.starts_with('"')) {
            found.push(clean(line.trim_start_matches("- ")));
        } else {
            in_list = false;
        }
    }
    found
}

/// Paths below the project; with `named`, only below those.
fn walk(project: &Path, named: &[String]) -> Result<Vec<String>, GatherError> {
    let starts: Vec<String> = if named.is_empty() { vec![String::new()] } else { trimmed(named) };
    let mut paths = Vec::new();
    let mut waiting: Vec<(PathBuf, String, usize)> = Vec::new();
    for start in starts {
        let full = project.join(&start);
        let metadata = fs_err::metadata(&full)
            .map_err(|source| GatherError::Io { path: PathBuf::from(&start), source })?;
        if metadata.is_dir() {
            waiting.push((full, start, 0));
        } else {
            paths.push(start);
        }
    }
    while let Some((folder, prefix, depth)) = waiting.pop() {
        // A folder that may not be read holds no queries that could be used.
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let Ok(kind) = entry.file_type() else { continue };
            let entered = name == ".sqlx" || !named.is_empty() || !places::never_entered(&name);
            if kind.is_dir() && depth < DEPTH_MAX && entered {
                waiting.push((entry.path(), path, depth + 1));
            } else if kind.is_file() && (is_query_file(&name) || is_sqlc(&name)) {
                paths.push(path);
            }
        }
        if paths.len() > 10 * FILES_MAX {
            let what = format!("`{}`", project.display());
            let (found, max) = (paths.len() as u64, (10 * FILES_MAX) as u64);
            return Err(GatherError::TooMuch { what, found, max, unit: "files" });
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
