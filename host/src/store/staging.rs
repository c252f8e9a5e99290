//! How a release gets onto the disk: staged in `<root>/staging/<digest>/`, in pieces and over several
//! attempts where it must, then checked byte for byte and published by one rename.

use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use unship_core::capsule::{Capsule, Manifest, ManifestFile};
use unship_core::protocol::{MissingFile, WRITE_BYTES_MAX};
use unship_core::release::{Digest, Release};

use super::manifest::{check_manifest, hash_file};
use super::{Store, StoreError, read_json};
use crate::durable;

/// What must stay free besides the files: folders, the manifest, the capsule, and the host's own life.
const ROOM_RESERVE_BYTES: u64 = 1 << 20;
/// What a file may need on disk beyond its size.
const ROOM_PER_FILE_BYTES: u64 = 4 << 10;

/// How much of a file is in memory while it is copied.
const COPY_CHUNK_BYTES: usize = 1 << 20;

/// What is still missing of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// The files that are not complete, in manifest order.
    pub missing: Vec<MissingFile>,
    /// The release is published and verified already.
    pub published: bool,
}

impl Store {
    fn staging_of(&self, digest: &Digest) -> PathBuf {
        self.root.join("staging").join(digest.to_string())
    }

    /// Opens the staging of a release, or goes on with one. Checks the manifest and the free room before it
    /// writes anything.
    pub fn stage(&mut self, manifest: &Manifest) -> Result<Staging, StoreError> {
        check_manifest(manifest)?;
        let release = manifest.release();
        if self.is_published(&release)? {
            self.verify(&release)?;
            return Ok(Staging { missing: Vec::new(), published: true });
        }
        let folder = self.staging_of(&release.digest);
        let mut missing = Vec::new();
        let mut needed = 0;
        for file in &manifest.files {
            let have = staged_length(&folder, file)?;
            needed += file.size.saturating_sub(have) + ROOM_PER_FILE_BYTES;
            if have < file.size {
                missing.push(MissingFile { path: file.path.clone(), have });
            }
        }
        let needed = needed + ROOM_RESERVE_BYTES;
        let free = self.free_bytes()?;
        if free < needed {
            return Err(StoreError::NoRoom { path: self.root.clone(), needed, free });
        }
        // Under the manifest's tag of now: the same files may have been staged under another one before.
        durable::folder(&folder.join("files"))?;
        let bytes = serde_json::to_vec(manifest).map_err(io::Error::from)?;
        let path = folder.join("manifest.json");
        durable::write(&path, &bytes, 0o644)
            .map_err(|error| StoreError::of_write(error, &path, bytes.len() as u64))?;
        Ok(Staging { missing, published: false })
    }

    /// Whether exactly this release is stored; another one under its tag is an error.
    fn is_published(&self, release: &Release) -> Result<bool, StoreError> {
        match self.manifest_for(release) {
            Ok(_) => Ok(true),
            Err(StoreError::NotStored { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds bytes to a staged file. They must start where the file ends now.
    pub fn write(&self, digest: &Digest, path: &str, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = self.staging_of(digest);
        let manifest = self.staged_manifest(digest)?;
        let Some(file) = manifest.files.iter().find(|file| file.path == path) else {
            return Err(StoreError::NoSuchFile { digest: *digest, path: path.chars().take(200).collect() });
        };
        let present = staged_length(&folder, file)?;
        if offset != present {
            return Err(StoreError::WrongOffset { path: file.path.clone(), present, offset });
        }
        let length = bytes.len() as u64;
        let limit = (WRITE_BYTES_MAX as u64).min(file.size - present);
        if length > limit {
            return Err(StoreError::WriteTooLong { path: file.path.clone(), bytes: length, limit });
        }
        let on_disk = folder.join("files").join(&file.path);
        let of_write = |error| StoreError::of_write(error, &on_disk, file.size - present);
        if let Some(parent) = on_disk.parent() {
            durable::folder(parent).map_err(of_write)?;
        }
        let mut out = append_to(&on_disk).map_err(of_write)?;
        if let Err(error) = out.write_all(bytes) {
            // Back to the length before, so that a retry starts at a known place.
            out.set_len(present)?;
            return Err(of_write(error));
        }
        Ok(())
    }

    /// Adds the bytes of a file of this host to a staged file, from where that ends now.
    pub fn write_from(
        &self,
        digest: &Digest,
        missing: &MissingFile,
        source: &Path,
    ) -> Result<(), StoreError> {
        let mut from = fs_err::File::open(source)?;
        from.seek(io::SeekFrom::Start(missing.have))?;
        let mut offset = missing.have;
        let mut chunk = vec![0; COPY_CHUNK_BYTES];
        loop {
            match from.read(&mut chunk)? {
                0 => return Ok(()),
                length => self.write(digest, &missing.path, offset, &chunk[..length])?,
            }
            offset = fs_err::metadata(self.staging_of(digest).join("files").join(&missing.path))?.len();
        }
    }

    fn staged_manifest(&self, digest: &Digest) -> Result<Manifest, StoreError> {
        let path = self.staging_of(digest).join("manifest.json");
        let manifest: Manifest = read_json(&path)?.ok_or(StoreError::NotStaged { digest: *digest })?;
        // What is on disk is checked again: the folder's name is what the operator asked for.
        check_manifest(&manifest)?;
        if manifest.digest() == *digest {
            return Ok(manifest);
        }
        Err(StoreError::Unreadable { path, why: "it is the manifest of another release".to_owned() })
    }

    /// Checks every staged file and publishes the release by one rename. Answers whether anything was done:
    /// when the release is there already, only a newer capsule is taken over.
    pub fn publish(&mut self, digest: &Digest, capsule: &Capsule) -> Result<bool, StoreError> {
        let capsule_bytes = serde_json::to_vec(capsule).map_err(io::Error::from)?;
        if capsule.release.digest == *digest && self.is_published(&capsule.release)? {
            self.verify(&capsule.release)?;
            return self.refresh_capsule(&capsule.release, &capsule_bytes);
        }
        let manifest = self.staged_manifest(digest)?;
        let release = manifest.release();
        if capsule.release != release {
            return Err(StoreError::OtherCapsule { capsule: capsule.release.clone(), staged: release });
        }
        let folder = self.staging_of(digest);
        // All are checked before the first is closed: one that is not right can still be written to.
        for file in &manifest.files {
            check(&folder.join("files"), file)?;
        }
        for file in &manifest.files {
            seal(&folder.join("files"), file)?;
        }
        write_capsule(&folder.join("capsule.json"), &capsule_bytes)?;
        let manifest_path = folder.join("manifest.json");
        fs_err::set_permissions(&manifest_path, PermissionsExt::from_mode(0o444))?;
        durable::sync(&manifest_path)?;
        seal_folders(&folder.join("files"))?;
        durable::sync(&folder)?;

        let releases = self.releases();
        durable::folder(&releases)?;
        let place = self.folder_of(&release.tag);
        fs_err::rename(&folder, &place)?;
        // The top folder is closed after the rename: only root may move a folder that it cannot write to.
        fs_err::set_permissions(&place, PermissionsExt::from_mode(0o555))?;
        durable::sync(&releases)?;
        durable::sync(&self.root.join("staging"))?;
        durable::sync(&self.root)?;
        Ok(true)
    }

    fn refresh_capsule(&self, release: &Release, bytes: &[u8]) -> Result<bool, StoreError> {
        let folder = self.folder_of(&release.tag);
        let path = folder.join("capsule.json");
        if fs_err::read(&path).is_ok_and(|present| present == bytes) {
            return Ok(false);
        }
        fs_err::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
        let written = write_capsule(&path, bytes);
        fs_err::set_permissions(&folder, PermissionsExt::from_mode(0o555))?;
        written.map(|()| true)
    }
}

fn append_to(path: &Path) -> io::Result<fs_err::File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = fs_err::OpenOptions::new();
    options.append(true).create(true).mode(0o644).custom_flags(flags).open(path)
}

/// How many bytes of a file are staged. One that is longer than it can be, or is no file, is dropped.
fn staged_length(folder: &Path, file: &ManifestFile) -> Result<u64, StoreError> {
    let path = folder.join("files").join(&file.path);
    match fs_err::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= file.size => Ok(metadata.len()),
        Ok(metadata) if metadata.is_dir() => {
            fs_err::remove_dir_all(&path)?;
            Ok(0)
        }
        Ok(_) => {
            fs_err::remove_file(&path)?;
            Ok(0)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Checks one staged file; a wrong one is dropped.
fn check(files: &Path, file: &ManifestFile) -> Result<(), StoreError> {
    let path = files.join(&file.path);
    if file.size == 0 && !path.exists() {
        if let Some(parent) = path.parent() {
            durable::folder(parent)?;
        }
        append_to(&path)?;
    }
    let incomplete = |have| StoreError::Incomplete { path: file.path.clone(), have, size: file.size };
    let (identity, found) = match hash_file(&path) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(incomplete(0)),
        Err(error) => return Err(error.into()),
    };
    if identity.size < file.size {
        return Err(incomplete(identity.size));
    }
    if found != file.sha256 {
        fs_err::remove_file(&path)?;
        return Err(StoreError::StagedWrong { path: file.path.clone(), expected: file.sha256, found });
    }
    Ok(())
}

/// Gives a checked file its final mode and fsyncs it.
fn seal(files: &Path, file: &ManifestFile) -> Result<(), StoreError> {
    let path = files.join(&file.path);
    let mode = if file.executable { 0o555 } else { 0o444 };
    fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))?;
    durable::sync(&path).map_err(|error| StoreError::of_write(error, &path, file.size))
}

/// Closes and fsyncs every folder below `folder` and itself, the innermost first.
fn seal_folders(folder: &Path) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            seal_folders(&entry.path())?;
        }
    }
    fs_err::set_permissions(folder, PermissionsExt::from_mode(0o555))?;
    Ok(durable::sync(folder)?)
}

/// For the agent alone: a unit's files are in it, and what their owner kept from others must not be read here.
fn write_capsule(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    durable::write(path, bytes, 0o400).map_err(|error| StoreError::of_write(error, path, bytes.len() as u64))
}
