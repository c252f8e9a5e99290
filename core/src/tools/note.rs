//! The line by which a reviewer answers what no schema can show.

use serde::{Deserialize, Serialize};

use super::ReadError;
use crate::sql;

/// What the reviewer says of the release before this migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// It runs on the new schema.
    Compatible,
    /// It does not.
    Breaks,
}

/// A line `-- unship: compatible: <reason>` or `-- unship: breaks: <reason>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub kind: NoteKind,
    pub reason: String,
    /// Line of the file, from 1.
    pub line: u32,
}

/// The note in `text`, a whole file. Of several, the first `breaks` counts before any `compatible`.
///
/// A line that starts like a note and is none is an error: a misspelt word must not read as silence.
pub(super) fn note(path: &str, text: &str) -> Result<Option<Note>, ReadError> {
    // Lexing every file for a line that few have would be the dearest part of reading a folder.
    if !text.contains("unship:") {
        return Ok(None);
    }
    let mut found: Option<Note> = None;
    for (line, comment) in sql::line_comments(text) {
        let Some(rest) = comment.strip_prefix("unship:") else { continue };
        let malformed = |what: String| ReadError::Malformed { path: path.to_owned(), line, what };
        let (word, reason) = rest.split_once(':').unwrap_or((rest, ""));
        let kind = match word.trim() {
            "compatible" => NoteKind::Compatible,
            "breaks" => NoteKind::Breaks,
            other => {
                return Err(malformed(format!(
                    "a note says `compatible` or `breaks`, not `{}`",
                    other.chars().take(40).collect::<String>().escape_debug()
                )));
            }
        };
        let reason = reason.trim().to_owned();
        if reason.is_empty() {
            return Err(malformed("the note gives no reason after its second colon".to_owned()));
        }
        if found.as_ref().is_none_or(|note| note.kind < kind) {
            found = Some(Note { kind, reason, line });
        }
    }
    Ok(found)
}
