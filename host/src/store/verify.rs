//! Whether a stored release is still what it was when it was published: every file read and compared, no
//! file missing, none added, modes as they were set.
//!
//! A release that was verified by this process and whose files the kernel says were not touched since costs
//! one `stat` a file (see [`Identity`] for why that is enough). Everything else is read again.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unship_core::release::{Digest, Release};

use super::manifest::{Identity, hash_file};
use super::{Store, StoreError};

/// A file whose ctime is younger than this when it is hashed is not remembered: the kernel's clock moves in
/// steps of some milliseconds, so a change in the same step would not show.
const SETTLED: Duration = Duration::from_millis(100);

/// What this process verified: path to identity and digest.
#[derive(Debug, Default)]
pub(super) struct Cache {
    files: HashMap<PathBuf, (Identity, Digest)>,
}

impl Store {
    /// Verifies all files of a stored release.
    pub fn verify(&mut self, release: &Release) -> Result<(), StoreError> {
        let manifest = self.manifest_for(release)?;
        let folder = self.files_of(release);
        let mut expected = BTreeSet::new();
        for file in &manifest.files {
            let path = folder.join(&file.path);
            let mode = if file.executable { 0o555 } else { 0o444 };
            let identity = self.verified.check(&path, file.size, &file.sha256)?;
            if identity.mode != mode {
                return Err(StoreError::ModeChanged { path, expected: mode, found: identity.mode });
            }
            let mut above = path.parent();
            while let Some(parent) = above
                && parent != folder
                && expected.insert(parent.to_owned())
            {
                above = parent.parent();
            }
            expected.insert(path);
        }
        refuse_extra(&folder, &expected)
    }

    /// Whether the device and inode are those of one of the release's executables, whose content is verified
    /// here too. A file that is no executable of the release is `false`; one that was altered is an error.
    pub(crate) fn verify_executable(
        &mut self,
        release: &Release,
        dev: u64,
        ino: u64,
    ) -> Result<bool, StoreError> {
        let manifest = self.manifest_for(release)?;
        let folder = self.files_of(release);
        for file in manifest.files.iter().filter(|file| file.executable) {
            let path = folder.join(&file.path);
            let found = fs_err::symlink_metadata(&path).map(|metadata| Identity::of(&metadata));
            if found.is_ok_and(|found| found.dev == dev && found.ino == ino) {
                let verified = self.verified.check(&path, file.size, &file.sha256)?;
                return Ok(verified.dev == dev && verified.ino == ino);
            }
        }
        Ok(false)
    }
}

impl Cache {
    /// The identity of a file whose content has the digest.
    fn check(&mut self, path: &Path, size: u64, sha256: &Digest) -> Result<Identity, StoreError> {
        let metadata = match fs_err::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        if !metadata.is_file() {
            return Err(StoreError::Extra { path: path.to_owned() });
        }
        let now = Identity::of(&metadata);
        if self.files.get(path).is_some_and(|(identity, known)| *identity == now && known == sha256) {
            return Ok(now);
        }
        self.files.remove(path);
        if now.size != size {
            return Err(StoreError::Resized { path: path.to_owned(), expected: size, found: now.size });
        }
        let began = SystemTime::now();
        let (identity, found) = hash_file(path)?;
        if found != *sha256 {
            return Err(StoreError::Altered { path: path.to_owned(), expected: *sha256, found });
        }
        if settled(&identity, began) {
            self.files.insert(path.to_owned(), (identity, found));
        }
        Ok(identity)
    }
}

/// Whether a later change of the file is sure to show in its ctime.
fn settled(identity: &Identity, at: SystemTime) -> bool {
    let limit = at.checked_sub(SETTLED).and_then(|limit| limit.duration_since(UNIX_EPOCH).ok());
    limit.is_some_and(|limit| {
        i128::try_from(limit.as_nanos()).is_ok_and(|limit_ns| identity.ctime_ns < limit_ns)
    })
}

fn refuse_extra(folder: &Path, expected: &BTreeSet<PathBuf>) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if !expected.contains(&path) {
            return Err(StoreError::Extra { path });
        }
        if entry.file_type()?.is_dir() {
            refuse_extra(&path, expected)?;
        }
    }
    Ok(())
}
