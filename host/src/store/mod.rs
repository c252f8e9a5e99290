//! Releases on a host's disk: `<root>/releases/<tag>/` with `files/`, `manifest.json` and `capsule.json`,
//! read-only, put there by one rename after every byte was checked, and checked again before each start.
//!
//! Never follows a symlink out of a release, never copies over a file that may run, never believes a tag:
//! what is asked for is a digest.

mod error;
mod hold;
mod manifest;
mod prune;
mod quarantine;
mod staging;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use unship_core::capsule::{Capsule, Manifest};
use unship_core::protocol::StoredRelease;
use unship_core::release::{Digest, Release, Tag};
use unship_core::running::KnownRelease;
use unship_core::time::Timestamp;

pub use error::StoreError;
pub use manifest::{DEPTH_MAX, FILES_MAX, PATH_BYTES_MAX, check_manifest, manifest_of};
pub use staging::Staging;

use crate::clock;
use crate::durable;

/// The name below `releases` that leads to whatever is current. No tag begins with a dot.
pub(crate) const CURRENT_NAME: &str = ".current";

/// What a look at a folder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What could be read.
    pub found: Vec<T>,
    /// What could not, each in one sentence that names the file.
    pub troubles: Vec<String>,
}

impl<T> Default for Found<T> {
    fn default() -> Found<T> {
        Found { found: Vec::new(), troubles: Vec::new() }
    }
}

/// The releases under a root.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    verified: verify::Cache,
}

impl Store {
    /// The store under `root`; nothing is touched yet.
    pub fn new(root: &Path) -> Store {
        Store { root: root.to_owned(), verified: verify::Cache::default() }
    }

    fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    fn current_link(&self) -> PathBuf {
        self.root.join("current")
    }

    fn folder_of(&self, tag: &Tag) -> PathBuf {
        // A tag is a single harmless name; its type sees to that.
        self.releases().join(tag.as_str())
    }

    /// The folder of a release's files: where its processes run.
    pub fn files_of(&self, release: &Release) -> PathBuf {
        self.folder_of(&release.tag).join("files")
    }

    /// The manifest of what is stored under `tag`, if anything is.
    fn manifest_at(&self, tag: &Tag) -> Result<Option<Manifest>, StoreError> {
        read_json(&self.folder_of(tag).join("manifest.json"))
    }

    /// The manifest of `release`, which must be stored with exactly its digest.
    fn manifest_for(&self, release: &Release) -> Result<Manifest, StoreError> {
        let Some(manifest) = self.manifest_at(&release.tag)? else {
            return Err(StoreError::NotStored {
                release: release.clone(),
                path: self.folder_of(&release.tag),
            });
        };
        match manifest.digest() {
            stored if stored == release.digest => Ok(manifest),
            stored => Err(StoreError::TagTaken { tag: release.tag.clone(), stored, asked: release.digest }),
        }
    }

    /// The capsule of a stored release.
    pub fn capsule(&self, release: &Release) -> Result<Capsule, StoreError> {
        let path = self.folder_of(&release.tag).join("capsule.json");
        let bytes = fs_err::read(&path)?;
        Capsule::from_json(&bytes).map_err(|error| StoreError::Unreadable { path, why: error.to_string() })
    }

    /// The stored releases, oldest first. What is in the folder and is no release is left out; a release whose
    /// manifest cannot be read is left out and named.
    pub fn list(&self) -> Result<Found<StoredRelease>, StoreError> {
        let entries = match fs_err::read_dir(self.releases()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        let mut troubles = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let Some(tag) = name.to_str().and_then(|name| name.parse::<Tag>().ok()) else { continue };
            if !self.folder_of(&tag).is_dir() {
                continue;
            }
            match self.stored_at(&tag) {
                Ok(stored) => found.extend(stored),
                Err(error) => troubles.push(error.to_string()),
            }
        }
        troubles.sort_unstable();
        found.sort_by(|(a_at, a), (b_at, b)| a_at.cmp(b_at).then_with(|| a.release.tag.cmp(&b.release.tag)));
        Ok(Found { found: found.into_iter().map(|(_, stored)| stored).collect(), troubles })
    }

    /// What is stored under `tag`, with when it was published; `None` when that is no release.
    fn stored_at(&self, tag: &Tag) -> Result<Option<(SystemTime, StoredRelease)>, StoreError> {
        let Some(manifest) = self.manifest_at(tag)? else { return Ok(None) };
        let written = fs_err::metadata(self.folder_of(tag).join("manifest.json"))?.modified()?;
        let stored = StoredRelease {
            release: manifest.release(),
            bytes: manifest.size(),
            published_at: clock::timestamp_of(written),
        };
        Ok(Some((written, stored)))
    }

    /// The release that is stored under `tag`, if one is and its manifest can be read.
    pub(crate) fn stored(&self, tag: &Tag) -> Option<Release> {
        self.manifest_at(tag).ok().flatten().map(|manifest| manifest.release())
    }

    /// The stored releases with their files, oldest first; without those whose manifest cannot be read.
    pub(crate) fn known(&self) -> Vec<KnownRelease> {
        let listed = self.list().map(|listed| listed.found).unwrap_or_default();
        let known = |stored: StoredRelease| {
            let manifest = self.manifest_for(&stored.release).ok();
            KnownRelease { release: stored.release, manifest }
        };
        listed.into_iter().map(known).collect()
    }

    /// Whether one of the release's executables has this content.
    pub(crate) fn has_executable(&self, release: &Release, sha256: &Digest) -> Result<bool, StoreError> {
        let manifest = self.manifest_for(release)?;
        Ok(manifest.files.iter().any(|file| file.executable && file.sha256 == *sha256))
    }

    /// The digest of a release's file.
    pub(crate) fn digest_of(&self, release: &Release, path: &str) -> Result<Option<Digest>, StoreError> {
        let manifest = self.manifest_for(release)?;
        Ok(manifest.files.iter().find(|file| file.path == path).map(|file| file.sha256))
    }

    /// The release that is started at boot.
    pub fn current(&self) -> Result<Option<Release>, StoreError> {
        let path = self.current_link();
        let target = match fs_err::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let name = target.strip_prefix("releases").ok().and_then(Path::to_str);
        let Some(tag) = name.and_then(|name| name.parse::<Tag>().ok()) else {
            let why = format!("it points to `{}`, which is no stored release", target.display());
            return Err(StoreError::Unreadable { path, why });
        };
        match self.manifest_at(&tag)? {
            Some(manifest) => Ok(Some(manifest.release())),
            None => Err(StoreError::Unreadable { path, why: format!("`{tag}` is not stored here") }),
        }
    }

    /// Makes `release` the one that is started at boot. Answers whether that was a change.
    pub fn set_current(&self, release: &Release) -> Result<bool, StoreError> {
        let path = self.current_link();
        let wanted = Path::new("releases").join(release.tag.as_str());
        if fs_err::read_link(&path).is_ok_and(|target| target == wanted) {
            return Ok(false);
        }
        durable::swap_symlink(&path, &wanted)?;
        Ok(true)
    }

    /// Sees to it that `releases/.current` leads to whatever is current: a name that stays, for what starts a release
    /// without asking which one. No tag begins with a dot.
    pub(crate) fn follow_current(&self) -> io::Result<()> {
        let (link, wanted) = (self.releases().join(CURRENT_NAME), Path::new("..").join("current"));
        if fs_err::read_link(&link).is_ok_and(|target| target == wanted) {
            return Ok(());
        }
        durable::swap_symlink(&link, &wanted)
    }

    /// When `current` became what it is.
    pub(crate) fn current_since(&self) -> Option<Timestamp> {
        let link = fs_err::symlink_metadata(self.current_link()).ok()?;
        Some(clock::timestamp_of(link.modified().ok()?))
    }

    /// The release of a path below its folder, as the kernel names it.
    pub(crate) fn release_at(&self, path: &Path) -> Option<Release> {
        let below = path.strip_prefix(fs_err::canonicalize(self.releases()).ok()?).ok()?;
        let tag = below.components().next()?.as_os_str().to_str()?.parse::<Tag>().ok()?;
        self.stored(&tag)
    }

    /// What `current` is, whether or not that can be read as a release.
    pub(crate) fn current_target(&self) -> io::Result<Option<PathBuf>> {
        match fs_err::read_link(self.current_link()) {
            Ok(target) => Ok(Some(target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes `current` again what it was.
    pub(crate) fn restore_current(&self, target: Option<&Path>) -> io::Result<()> {
        if self.current_target().is_ok_and(|present| present.as_deref() == target) {
            return Ok(());
        }
        match target {
            Some(target) => durable::swap_symlink(&self.current_link(), target),
            None => durable::remove(&self.current_link()).map(drop),
        }
    }

    /// Makes nothing start at boot. Answers whether that was a change.
    pub fn clear_current(&self) -> Result<bool, StoreError> {
        Ok(durable::remove(&self.current_link())?)
    }

    /// Free bytes where releases are stored.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        let mut folder = self.root.as_path();
        // Before the first deploy the root may not be there yet; its file system is its parent's.
        while !folder.exists() {
            folder = folder.parent().unwrap_or(Path::new("/"));
        }
        let stat = rustix::fs::statvfs(folder).map_err(io::Error::from)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Size and digest of a file, also through symlinks and through /proc.
pub(crate) fn hash_through(path: &Path) -> io::Result<(u64, Digest)> {
    let (identity, digest) = manifest::hash_open(fs_err::File::open(path)?)?;
    Ok((identity.size, digest))
}

/// Reads one of unship's own JSON files; `None` when it is not there.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| StoreError::Unreadable { path: path.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests;
