//! What can go wrong with releases on disk.

use std::io;
use std::path::PathBuf;

use unship_core::protocol::WRITE_BYTES_MAX;
use unship_core::release::{Digest, Release, Tag};

/// Why a release could not be stored, verified or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A path in a manifest that must not become a path on a disk.
    #[error("the manifest's path `{}` {rule}", .path.escape_debug())]
    HostilePath {
        /// The path, cut to 200 characters.
        path: String,
        /// The rule that it breaks, to follow the path in a sentence.
        rule: &'static str,
    },
    /// A manifest that is not one of a release.
    #[error("the manifest {rule}")]
    BadManifest {
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// An artifact that cannot be a release.
    #[error("the artifact's `{}` {rule}", .path.display())]
    BadArtifact {
        /// The file or folder.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The tag is stored already, with other content: identity is the digest, not the string.
    #[error("`{tag}` is stored already as another artifact: {} here, {} asked for", .stored.short(), .asked.short())]
    TagTaken {
        /// The tag.
        tag: Tag,
        /// What is stored under it.
        stored: Digest,
        /// What was asked.
        asked: Digest,
    },
    /// Nothing is stored under the tag.
    #[error("`{}` is not stored on this host (looked in `{}`)", .release.tag, .path.display())]
    NotStored {
        /// The release.
        release: Release,
        /// Where it would be.
        path: PathBuf,
    },
    /// Nothing was staged under the digest.
    #[error("release {} is not being staged on this host", .digest.short())]
    NotStaged {
        /// The digest.
        digest: Digest,
    },
    /// The staged release has no such file.
    #[error("release {} has no file `{}`", .digest.short(), .path.escape_debug())]
    NoSuchFile {
        /// The release.
        digest: Digest,
        /// The file, as it was asked for.
        path: String,
    },
    /// A write that does not continue the file.
    #[error("`{path}` has {present} bytes here; the write starts at {offset}")]
    WrongOffset {
        /// The file, as the manifest names it.
        path: String,
        /// Its present length.
        present: u64,
        /// Where the write starts.
        offset: u64,
    },
    /// A write longer than the protocol or the file allows.
    #[error("a write of {bytes} bytes to `{path}` is too long: at most {limit}")]
    WriteTooLong {
        /// The file, as the manifest names it.
        path: String,
        /// The length of the write.
        bytes: u64,
        /// What would have been allowed.
        limit: u64,
    },
    /// Not enough room, found before anything was written.
    #[error("{needed} bytes are needed in `{}` and {free} are free", .path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// What is needed.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// The disk became full while writing.
    #[error("the disk is full: `{}` needs {needed} more bytes", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What is still needed for it.
        needed: u64,
    },
    /// A staged file is shorter than the manifest says.
    #[error("`{path}` is not complete: {have} of {size} bytes are here")]
    Incomplete {
        /// The file, as the manifest names it.
        path: String,
        /// What is here.
        have: u64,
        /// What the manifest says.
        size: u64,
    },
    /// A staged file has the right length and other content; it was dropped.
    #[error("`{path}` was staged with other content and dropped: expected {expected}, found {found}")]
    StagedWrong {
        /// The file, as the manifest names it.
        path: String,
        /// The manifest's digest.
        expected: Digest,
        /// The digest of what was staged.
        found: Digest,
    },
    /// The capsule belongs to another release.
    #[error("the capsule is of {} ({}), not of the staged release {} ({})", .capsule.tag, .capsule.digest.short(), .staged.tag, .staged.digest.short())]
    OtherCapsule {
        /// What the capsule says.
        capsule: Release,
        /// What was staged.
        staged: Release,
    },
    /// The content of a stored file changed.
    #[error("`{}` was altered: expected {expected}, found {found}", .path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// The manifest's digest.
        expected: Digest,
        /// The digest of what is there.
        found: Digest,
    },
    /// The length of a stored file changed.
    #[error("`{}` was altered: expected {expected} bytes, found {found}", .path.display())]
    Resized {
        /// The file.
        path: PathBuf,
        /// The manifest's size.
        expected: u64,
        /// The size of what is there.
        found: u64,
    },
    /// The permissions of a stored file changed.
    #[error("the mode of `{}` was changed: expected {expected:04o}, found {found:04o}", .path.display())]
    ModeChanged {
        /// The file.
        path: PathBuf,
        /// What unship set.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// A stored file is gone.
    #[error("`{}` is missing from the stored release", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Something that the manifest does not know lies in the release.
    #[error("`{}` does not belong to the stored release", .path.display())]
    Extra {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file of unship's own cannot be understood.
    #[error("`{}` cannot be read: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        why: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StoreError {
    /// What can be run to see or mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::TagTaken { tag, .. } => {
                Some(format!("give the new artifact a tag of its own: {tag} names another one already"))
            }
            StoreError::NotStored { release, .. } => {
                Some(format!("stage it with `unship deploy {}`", release.tag))
            }
            StoreError::NoRoom { path, .. } => Some(format!("free space there: `df {}`", path.display())),
            StoreError::DiskFull { path, .. } => {
                let folder = path.parent().unwrap_or(path);
                Some(format!(
                    "free space there: `df {}`; what was staged is kept and is continued",
                    folder.display()
                ))
            }
            StoreError::WriteTooLong { .. } => {
                Some(format!("write at most {WRITE_BYTES_MAX} bytes at a time"))
            }
            StoreError::StagedWrong { .. } | StoreError::Incomplete { .. } => {
                Some("stage the release again; only what is missing is sent".to_owned())
            }
            StoreError::Altered { path, .. }
            | StoreError::Resized { path, .. }
            | StoreError::ModeChanged { path, .. }
            | StoreError::Missing { path }
            | StoreError::Extra { path } => Some(format!(
                "someone changed a stored release: look at `stat {}`, choose another target with `--to`, or remove the release's folder and deploy it again",
                path.display()
            )),
            _ => None,
        }
    }

    /// Turns a failed write into [`StoreError::DiskFull`] where that is what it was.
    pub(super) fn of_write(error: io::Error, path: &std::path::Path, needed: u64) -> StoreError {
        // A limit on file size or a quota is, for the operator, a disk without room as well.
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::DiskFull { path: path.to_owned(), needed }
            }
            _ => StoreError::Io(error),
        }
    }
}
