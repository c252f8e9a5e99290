//! Reading the repository, and rules of text.

use std::path::{Path, PathBuf};

/// Files may be a little longer than the house's 400 lines before it is worth an argument.
const LINES_MAX: usize = 520;

pub struct File {
    /// Relative to the repository.
    pub path: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the repository that git knows or would add, whose name ends so.
pub fn files(ending: &str) -> Vec<File> {
    let output = std::process::Command::new("git")
        .args(["-C"])
        .arg(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git lists the files");
    assert!(output.status.success(), "git ls-files failed");
    String::from_utf8(output.stdout)
        .expect("paths are UTF-8")
        .split('\0')
        .filter(|path| path.ends_with(ending))
        .filter_map(|path| {
            let text = fs_err::read_to_string(root().join(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .collect()
}

pub fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.ends_with("/tests")
}

#[test]
fn the_reader_sees_the_source() {
    assert!(files(".rs").iter().any(|file| file.path == "core/src/lib.rs"), "no source was found");
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = files(".rs")
        .iter()
        .filter(|file| !is_test(&file.path) && file.text.lines().count() > LINES_MAX)
        .map(|file| format!("{} has {} lines", file.path, file.text.lines().count()))
        .collect();
    assert!(long.is_empty(), "split these by noun: {long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|parts| parts.concat());
    for file in files(".rs") {
        for word in &words {
            assert!(!file.text.contains(word.as_str()), "{} says {word}", file.path);
        }
    }
}

#[test]
fn every_module_opens_by_saying_what_it_is() {
    let silent: Vec<String> = files(".rs")
        .into_iter()
        .filter(|file| file.path.contains("/src/") && !is_test(&file.path))
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| file.path)
        .collect();
    assert!(silent.is_empty(), "no module documentation: {silent:#?}");
}
