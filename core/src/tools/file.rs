//! What every reader does with a file before it looks for its own marks.

use super::{Digest, ReadError, Script, Wrap};
use crate::sql;

/// Largest file that is read, in bytes. The largest real migration seen was 5 MB of seed data.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most files in one folder.
pub const FILES_MAX: usize = 50_000;

/// A file of the migrations folder. `path` is relative to that folder, with `/` between folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFile {
    pub path: String,
    pub bytes: Vec<u8>,
}

impl MigrationFile {
    /// The last part of the path.
    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// True if the file lies directly in the migrations folder.
    pub(super) fn at_top(&self) -> bool {
        !self.path.contains('/')
    }

    /// The text, if it is text that a database could be sent.
    pub(super) fn into_text(self) -> Result<(String, String), ReadError> {
        let path = self.path;
        if self.bytes.len() > FILE_BYTES_MAX {
            return Err(ReadError::TooBig { path, bytes: self.bytes.len(), bytes_max: FILE_BYTES_MAX });
        }
        if let Some(at) = self.bytes.iter().position(|byte| *byte == 0) {
            return Err(ReadError::NulByte { path, line: line_of(&self.bytes, at) });
        }
        match String::from_utf8(self.bytes) {
            Ok(text) => Ok((path, text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Err(ReadError::NotUtf8 { path, line: line_of(error.as_bytes(), at) })
            }
        }
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
        sql,
    }
}
