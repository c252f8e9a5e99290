//! The commits between two tags of a repository, as git lists them.

use std::path::Path;

use unship_core::aftercare::{Commit, Suspects};

use crate::process::Program;

/// How long git may take, in milliseconds.
const GIT_MS_MAX: u64 = 5_000;

/// How many commits are listed; the others are counted up to the second of these.
const COMMITS_MAX: usize = 50;
const COUNTED_MAX: usize = 1_000;

/// The commits of `from` that `to` does not have, newest first. `folder` is in the repository.
pub async fn between(folder: &Path, from: &str, to: &str) -> Suspects {
    // Full names of tags cannot be taken for options or for anything else.
    let range = format!("refs/tags/{to}..refs/tags/{from}");
    let count = format!("--max-count={COUNTED_MAX}");
    let words = [
        "git",
        "log",
        "-z",
        "--no-color",
        "--no-show-signature",
        &count,
        "--format=%h%x1f%s%x1f%an",
        &range,
        "--",
    ];
    let ended = match Program::new(words, GIT_MS_MAX).in_folder(folder).run().await {
        Ok(ended) if ended.success => ended,
        Ok(ended) => return Suspects::No { why: ended.complaint() },
        Err(error) => return Suspects::No { why: error.to_string() },
    };
    // Only the end of a long output is kept; a first line that was cut has too few parts.
    let text = String::from_utf8_lossy(&ended.stdout);
    let all: Vec<Commit> = text.split('\0').filter_map(commit).collect();
    let more = all.len().saturating_sub(COMMITS_MAX);
    Suspects::Yes { commits: all.into_iter().take(COMMITS_MAX).collect(), more }
}

fn commit(record: &str) -> Option<Commit> {
    let mut parts = record.trim_start_matches('\n').splitn(3, '\u{1f}');
    let mut part = || parts.next().map(str::to_owned);
    Some(Commit { id: part()?, subject: part()?, author: part()? })
}
