//! Why a folder cannot be read, said so that the fix is clear.

use std::collections::HashMap;

use super::{Migration, Tool};

/// Why a folder cannot be read as one tool's migrations. Paths are relative to the migrations folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the folder has {files} files, more than the limit of {files_max}")]
    TooMany { files: usize, files_max: usize },
    #[error("`{first}` and `{second}` have the same version `{version}`")]
    DuplicateVersion { version: String, first: String, second: String },
    #[error("{tool} refuses the name of `{path}`: {rule}")]
    BadName { tool: Tool, path: String, rule: &'static str },
    #[error("`{path}` line {line}: {what}")]
    Malformed { path: String, line: u32, what: String },
}

impl ReadError {
    /// The file to look at, if it is one file.
    pub fn path(&self) -> Option<&str> {
        match self {
            ReadError::BadName { path, .. } | ReadError::Malformed { path, .. } => Some(path),
            ReadError::DuplicateVersion { second, .. } => Some(second),
            ReadError::TooMany { .. } => None,
        }
    }

    /// The line to look at, from 1, if there is one.
    pub fn line(&self) -> Option<u32> {
        match self {
            ReadError::Malformed { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            ReadError::TooMany { .. } => "name the folder that holds only migrations".to_owned(),
            ReadError::DuplicateVersion { .. } => "give one of them a new version".to_owned(),
            ReadError::BadName { .. } => {
                "rename the file, or move it out of the migrations folder".to_owned()
            }
            ReadError::Malformed { .. } => "correct the line".to_owned(),
        }
    }
}

/// No two migrations may be recorded under one version: the second would never run, or fail.
pub(super) fn check_versions(migrations: &[Migration]) -> Result<(), ReadError> {
    let mut seen: HashMap<&str, &Migration> = HashMap::new();
    for migration in migrations {
        if let Some(first) = seen.insert(migration.version.recorded(), migration) {
            return Err(ReadError::DuplicateVersion {
                version: migration.version.recorded().to_owned(),
                first: first.up.path.clone(),
                second: migration.up.path.clone(),
            });
        }
    }
    Ok(())
}
