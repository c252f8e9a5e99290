//! Why there is no throwaway PostgreSQL.

use std::path::PathBuf;

/// Each says what to do about it through [`ShadowError::hint`].
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    #[error("no PostgreSQL server binaries found (looked in {})", .looked_in.join(", "))]
    NoBinaries { looked_in: Vec<String> },
    #[error("`{path}` does not run: {why}")]
    Binary { path: PathBuf, why: String },
    #[error("PostgreSQL {version} is older than 13 and cannot be a shadow")]
    TooOld { version: u32 },
    #[error("no unprivileged account to run PostgreSQL as: neither `unship-shadow` nor `nobody` exists")]
    NoAccount,
    #[error("cannot make a data directory: {0}")]
    Directory(#[source] std::io::Error),
    #[error("initdb failed: {output}")]
    Initdb { output: String },
    #[error("the throwaway PostgreSQL did not start within {waited_ms} ms: {log}")]
    NotStarted { waited_ms: u64, log: String },
    #[error("`--shadow-url` is no PostgreSQL address: {0}")]
    Url(#[source] sqlx::Error),
    #[error("the tool's own table `{table}` cannot be made: {why}")]
    OwnTable { table: String, why: String },
    #[error("the shadow database cannot be used: {0}")]
    Database(#[from] sqlx::Error),
}

impl ShadowError {
    /// What to run, if there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoBinaries { .. } | Self::Binary { .. } | Self::TooOld { .. } => {
                Some("install the server package `postgresql`, or give `--pg-bin DIR` or `--shadow-url URL`")
            }
            Self::NoAccount => Some("run `unship` as an ordinary user, or give `--shadow-url URL`"),
            Self::Url(_) => Some("write it as `postgres://user:password@host:5432/postgres`"),
            Self::Directory(_)
            | Self::Initdb { .. }
            | Self::NotStarted { .. }
            | Self::OwnTable { .. }
            | Self::Database(_) => None,
        }
    }
}
