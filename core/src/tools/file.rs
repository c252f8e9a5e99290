//! What every reader does with a file before it looks for its own marks.

use super::{Digest, ReadError, Script, Unreadable, Wrap};
use crate::sql;

/// Largest file that is read, in bytes. The largest real migration seen was 5 MB of seed data.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most files in one folder.
pub const FILES_MAX: usize = 50_000;

/// A file of the migrations folder. `path` is relative to that folder, with `/` between folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFile {
    pub path: String,
    /// All of the file; with `unread`, only what tells it apart from another version of it.
    pub bytes: Vec<u8>,
    /// Why the caller did not read the whole file, if so. Its step is answered with that.
    pub unread: Option<String>,
}

impl MigrationFile {
    /// A file that was read as a whole.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> MigrationFile {
        MigrationFile { path: path.into(), bytes: bytes.into(), unread: None }
    }

    /// The last part of the path.
    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// True if the file lies directly in the migrations folder.
    pub(super) fn at_top(&self) -> bool {
        !self.path.contains('/')
    }

    /// Path and text, if it is text that a database could be sent; otherwise a script that says why not.
    pub(super) fn into_text(self) -> Result<(String, String), Box<Script>> {
        let refuse = |path: String, bytes: &[u8], line: Option<u32>, why: String| {
            Err(Box::new(unreadable(path, bytes, Unreadable { line, why })))
        };
        if let Some(why) = self.unread {
            return refuse(self.path, &self.bytes, None, why);
        }
        if self.bytes.len() > FILE_BYTES_MAX {
            return refuse(self.path, &self.bytes, None, too_long(self.bytes.len() as u64));
        }
        if let Some(at) = self.bytes.iter().position(|byte| *byte == 0) {
            let why = "there is a NUL byte in it, which no database accepts in SQL; save it as UTF-8 without \
                       (UTF-16 from an editor looks like this)";
            return refuse(self.path, &self.bytes, Some(line_of(&self.bytes, at)), why.to_owned());
        }
        match String::from_utf8(self.bytes) {
            Ok(text) => Ok((self.path, text)),
            Err(error) => {
                let line = line_of(error.as_bytes(), error.utf8_error().valid_up_to());
                let why = "it is not valid UTF-8; save it as UTF-8";
                refuse(self.path, error.as_bytes(), Some(line), why.to_owned())
            }
        }
    }
}

/// Why a file of `bytes` bytes is not read.
pub fn too_long(bytes: u64) -> String {
    format!(
        "it has {bytes} bytes, more than the limit of {FILE_BYTES_MAX}; load bulk data outside of migrations"
    )
}

/// A script that nobody can send, with the digest of what is known of its file.
pub(super) fn unreadable(path: String, bytes: &[u8], why: Unreadable) -> Script {
    Script {
        path,
        first_line: 1,
        sql: String::new(),
        wrap: Wrap::Transaction,
        digest: Digest::of(bytes),
        batches: Vec::new(),
        batch_lines: Vec::new(),
        environment: Vec::new(),
        unreadable: Some(why),
    }
}

fn line_of(bytes: &[u8], at: usize) -> u32 {
    let lines = bytes[..at.min(bytes.len())].split(|byte| *byte == b'\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX)
}

pub(super) fn check_count(files: &[MigrationFile]) -> Result<(), ReadError> {
    if files.len() > FILES_MAX {
        return Err(ReadError::TooMany { files: files.len(), files_max: FILES_MAX });
    }
    Ok(())
}

/// A script that the tool sends as one simple query.
pub(super) fn whole(path: String, first_line: u32, sql: String, wrap: Wrap) -> Script {
    let blank = sql::is_blank(&sql);
    Script {
        path,
        first_line,
        wrap,
        digest: Digest::of(sql.as_bytes()),
        batches: if blank { Vec::new() } else { vec![sql.clone()] },
        batch_lines: if blank { Vec::new() } else { vec![first_line] },
        environment: Vec::new(),
        unreadable: None,
        sql,
    }
}

/// A script that is sent in parts: each with the line of the file on which it starts.
pub(super) fn in_batches(
    path: String,
    first_line: u32,
    sql: String,
    wrap: Wrap,
    batches: Vec<(u32, String)>,
) -> Script {
    let (batch_lines, batches) = batches.into_iter().filter(|(_, text)| !sql::is_blank(text)).unzip();
    Script {
        path,
        first_line,
        wrap,
        digest: Digest::of(sql.as_bytes()),
        batches,
        batch_lines,
        environment: Vec::new(),
        unreadable: None,
        sql,
    }
}
