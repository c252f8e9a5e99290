//! Files for people to read: one line a notice, or one section an issue.

use std::path::PathBuf;

use unship_core::aftercare::one_line;

use super::courier::{Answer, Courier, Letter, Repeat, Request, Role, Step, judged, time_text};

/// One line a notice at the end of a file.
#[derive(Debug, Clone)]
pub struct NoteFile {
    /// The file; made if it is not there.
    pub path: PathBuf,
}

impl Courier for NoteFile {
    fn role(&self) -> Role {
        Role::Note
    }

    fn repeat(&self) -> Repeat {
        Repeat::LookUp
    }

    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step {
        if let Some(answer) = so_far.first() {
            return judged(answer);
        }
        let line = one_line(letter.notice);
        Step::Act(Request::Append {
            path: self.path.clone(),
            marker: format!("{line}\n"),
            text: format!("{}  {line}\n", time_text(letter.notice.at)),
            instead: None,
        })
    }
}

/// One section an issue at the end of a Markdown file.
#[derive(Debug, Clone)]
pub struct IssueFile {
    /// The file; made if it is not there.
    pub path: PathBuf,
}

impl Courier for IssueFile {
    fn role(&self) -> Role {
        Role::Issue
    }

    fn repeat(&self) -> Repeat {
        Repeat::LookUp
    }

    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step {
        if let Some(answer) = so_far.first() {
            return judged(answer);
        }
        let issue = letter.issue();
        let section = |again: &str| format!("## {again}{}\n\n{}\n", issue.title, issue.body);
        Step::Act(Request::Append {
            path: self.path.clone(),
            marker: issue.marker.clone(),
            text: section(""),
            instead: Some((issue.failure_marker.clone(), section("Again: "))),
        })
    }
}
