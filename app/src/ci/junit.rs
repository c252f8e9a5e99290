//! Files of test results in JUnit's format, each a check.
//!
//! The format has no standard; what is read is what Ant's `junitreport` wrote first and others kept
//! (<https://github.com/windyroad/JUnit-Schema>): elements `testsuite` with the attributes `tests`, `failures`, `errors`,
//! `skipped`, and elements `failure` and `error` inside of `testcase`. No element's text is looked at.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use unship_core::ci::{CheckState, CiCheck, CiProof};
use unship_core::release::Tag;

use super::{commit_id, failure};
use crate::ports::{CheckFailure, CiSource};

/// How many files of at most how many bytes are read.
const FILES_MAX: usize = 1_000;
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A folder of files.
pub struct JUnitFiles {
    /// The folder, with `{commit}` and `{tag}` still in it.
    pub folder: String,
    /// What it is relative to.
    pub base: PathBuf,
    /// Checks without which nothing is green: names of files, without `.xml`.
    pub required: Vec<String>,
}

#[async_trait]
impl CiSource for JUnitFiles {
    fn name(&self) -> String {
        format!("test results in `{}`", self.folder)
    }

    fn required(&self) -> &[String] {
        &self.required
    }

    async fn ask(&self, commit: &str, tag: &Tag) -> Result<CiProof, CheckFailure> {
        // Without the commit in its name a folder holds the results of whatever ran last.
        if !self.folder.contains("{commit}") && !self.folder.contains("{tag}") {
            return Err(CheckFailure {
                message: "the folder of test results says nothing of the commit that they are of".into(),
                hint: Some("write `{commit}` or `{tag}` into `ci.junit.folder`".into()),
            });
        }
        let folder = self.folder.replace("{commit}", commit_id(commit)?).replace("{tag}", tag.as_str());
        let folder = self.base.join(folder);
        let work = tokio::task::spawn_blocking(move || read(&folder)).await;
        let checks = work.map_err(|error| failure(error.to_string()))??;
        Ok(CiProof { commit: commit.to_owned(), checks })
    }
}

fn read(folder: &Path) -> Result<Vec<CiCheck>, CheckFailure> {
    let cannot = |error: std::io::Error| failure(format!("cannot read test results: {error}"));
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for item in fs_err::read_dir(folder).map_err(cannot)? {
        let path = item.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(failure(format!("`{}` has more than {FILES_MAX} files", folder.display())));
        }
    }
    files.sort();
    files.iter().map(|file| check(file)).collect()
}

fn check(file: &Path) -> Result<CiCheck, CheckFailure> {
    let size = fs_err::metadata(file).map_err(|error| failure(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failure(format!("`{}` has more than {FILE_BYTES_MAX} bytes", file.display())));
    }
    let text = fs_err::read_to_string(file).map_err(|error| failure(error.to_string()))?;
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let state =
        state(&text).map_err(|why| failure(format!("`{}` holds no test results: {why}", file.display())))?;
    Ok(CiCheck { name, state })
}

/// What a file of results means.
fn state(text: &str) -> Result<CheckState, &'static str> {
    let mut counted = Counted::default();
    let (mut open, mut suites) = (0_usize, 0);
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        // What is inside of these is text.
        let skipped = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        if let Some((opens, closes)) = skipped.iter().find(|(opens, _)| rest.starts_with(opens)) {
            let end = rest[opens.len()..].find(closes).ok_or("it is cut off")?;
            rest = &rest[opens.len() + end + closes.len()..];
            continue;
        }
        let end = element_end(rest).ok_or("it is cut off")?;
        let element = &rest[1..end];
        rest = &rest[end + 1..];
        if element.starts_with('!') {
            continue;
        }
        if element.starts_with('/') {
            open = open.checked_sub(1).ok_or("it closes what it did not open")?;
            continue;
        }
        if !element.ends_with('/') {
            open += 1;
        }
        match element.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default() {
            "testsuite" => {
                suites += 1;
                counted.failed |= number(element, "failures")? + number(element, "errors")? > 0;
                counted.tests += number(element, "tests")?;
                counted.skipped += number(element, "skipped")?;
            }
            "testcase" => counted.cases += 1,
            "failure" | "error" => counted.failed = true,
            _ => {}
        }
    }
    if open != 0 {
        return Err("it is cut off");
    }
    if suites == 0 {
        return Err("it has no `testsuite`");
    }
    Ok(match counted {
        Counted { failed: true, .. } => CheckState::Failed,
        // A run that tested nothing proves nothing.
        Counted { tests, skipped, cases, .. } if tests.max(cases) <= skipped => CheckState::Skipped,
        _ => CheckState::Passed,
    })
}

#[derive(Default)]
struct Counted {
    failed: bool,
    tests: u64,
    cases: u64,
    skipped: u64,
}

/// Where an element's tag ends: at the first `>` that is in no quotes.
fn element_end(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(at, char)| match (quote, char) {
        (None, '>') => Some(at),
        (None, '"' | '\'') => {
            quote = Some(char);
            None
        }
        (Some(open), char) if open == char => {
            quote = None;
            None
        }
        _ => None,
    })
}

/// A number in an attribute; 0 when it is not there.
fn number(element: &str, name: &str) -> Result<u64, &'static str> {
    for quote in ['"', '\''] {
        let opens = format!("{name}={quote}");
        let found = element
            .match_indices(&opens)
            .find(|(at, _)| element[..*at].chars().next_back().is_some_and(char::is_whitespace));
        if let Some((at, _)) = found {
            let value = &element[at + opens.len()..];
            let value = value.split(quote).next().unwrap_or_default();
            return value.trim().parse().map_err(|_| "a count is no number");
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
