//! From an artifact to its manifest, and the rules for paths in a manifest that came from outside.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt;
use sha2::{Digest as _, Sha256};
use unship_core::capsule::{Manifest, ManifestFile};
use unship_core::release::{Digest, ServiceName, Tag};

use super::StoreError;

/// The most files in a release.
pub const FILES_MAX: usize = 100_000;
/// The most folders above a file.
pub const DEPTH_MAX: usize = 32;
/// The longest path in a manifest; with a root before it, it stays below the kernel's 4,096.
pub const PATH_BYTES_MAX: usize = 1_024;
/// The longest name of one file or folder: the limit of every Linux file system.
const NAME_BYTES_MAX: usize = 255;
/// How much of a file is in memory while it is hashed.
const HASH_CHUNK_BYTES: usize = 256 << 10;

/// The manifest of an artifact on the operator's disk: a file becomes `bin/<its name>`, a folder's files keep
/// their paths. A symlink or a special file in it is an error: its meaning would change on another host.
pub fn manifest_of(service: &ServiceName, tag: &Tag, artifact: &Path) -> Result<Manifest, StoreError> {
    let metadata = fs_err::symlink_metadata(artifact)?;
    let mut files = Vec::new();
    if metadata.is_dir() {
        gather(artifact, "", 0, &mut files)?;
    } else if metadata.is_file() {
        let name = artifact.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(StoreError::BadArtifact {
            path: artifact.to_owned(),
            rule: "has a name that is not UTF-8",
        })?;
        let mut file = manifest_file(artifact, format!("bin/{name}"))?;
        // A build tool that forgot the bit would otherwise be found out only when the release is started.
        file.executable = true;
        files.push(file);
    } else {
        return Err(StoreError::BadArtifact {
            path: artifact.to_owned(),
            rule: "is neither a file nor a folder",
        });
    }
    files.sort();
    let manifest = Manifest { service: service.clone(), tag: tag.clone(), files };
    check_manifest(&manifest)?;
    Ok(manifest)
}

fn gather(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<ManifestFile>,
) -> Result<(), StoreError> {
    if depth > DEPTH_MAX {
        return Err(StoreError::BadArtifact { path: folder.to_owned(), rule: "is nested too deeply" });
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(StoreError::BadArtifact { path, rule: "has a name that is not UTF-8" });
        };
        let inside = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            gather(&path, &inside, depth + 1, files)?;
        } else if kind.is_file() {
            if files.len() >= FILES_MAX {
                return Err(StoreError::BadManifest { rule: "has too many files" });
            }
            files.push(manifest_file(&path, inside)?);
        } else {
            return Err(StoreError::BadArtifact { path, rule: "is a symlink or a special file" });
        }
    }
    Ok(())
}

fn manifest_file(path: &Path, inside: String) -> Result<ManifestFile, StoreError> {
    let (identity, sha256) = hash_file(path)?;
    Ok(ManifestFile { path: inside, size: identity.size, executable: identity.mode & 0o100 != 0, sha256 })
}

/// Refuses a manifest that could write outside its release or means different things on different disks.
pub fn check_manifest(manifest: &Manifest) -> Result<(), StoreError> {
    if manifest.files.is_empty() {
        return Err(StoreError::BadManifest { rule: "names no file" });
    }
    if manifest.files.len() > FILES_MAX {
        return Err(StoreError::BadManifest { rule: "has too many files" });
    }
    let mut total: u64 = 0;
    let mut paths = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for file in &manifest.files {
        let path = file.path.as_str();
        check_path(path).map_err(|rule| hostile(path, rule))?;
        // Folded, so that a release means the same on a disk that does not tell cases apart.
        let folded = path.to_lowercase();
        for (at, _) in folded.match_indices('/') {
            folders.insert(folded[..at].to_owned());
        }
        if !paths.insert(folded) {
            return Err(hostile(path, "is there twice, or differs from another only by case"));
        }
        total = total
            .checked_add(file.size)
            .ok_or(StoreError::BadManifest { rule: "has files larger than any disk" })?;
    }
    match paths.intersection(&folders).next() {
        Some(path) => Err(hostile(path, "is a file and a folder")),
        None => Ok(()),
    }
}

fn hostile(path: &str, rule: &'static str) -> StoreError {
    StoreError::HostilePath { path: path.chars().take(200).collect(), rule }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.len() > PATH_BYTES_MAX {
        return Err("is too long");
    }
    if path.starts_with('/') {
        return Err("is absolute");
    }
    if path.chars().any(char::is_control) {
        return Err("has control characters");
    }
    if path.contains('\\') {
        return Err("has a backslash");
    }
    let mut depth = 0;
    for name in path.split('/') {
        match name {
            "" => return Err("has an empty part"),
            "." | ".." => return Err("has a part `.` or `..`"),
            name if name.len() > NAME_BYTES_MAX => return Err("has a part that is too long"),
            _ => depth += 1,
        }
    }
    if depth > DEPTH_MAX + 1 { Err("is nested too deeply") } else { Ok(()) }
}

/// What the kernel says of a file; equal identities mean that the file was not touched in between.
///
/// This is sound because `ctime` moves at every change of content, mode, owner or links, and no call sets it
/// to a chosen value: `utimensat` sets only atime and mtime, and moves ctime itself. What is left is someone
/// who sets the machine's clock or writes to the raw disk, which is root, who could replace unship as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    mtime_ns: i128,
    pub(super) ctime_ns: i128,
}

impl Identity {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Identity {
        let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Identity {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mode: metadata.permissions().mode() & 0o7777,
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads a file once: its identity, which did not change meanwhile, and the digest of its content. Follows no
/// symlink.
pub(super) fn hash_file(path: &Path) -> io::Result<(Identity, Digest)> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = fs_err::OpenOptions::new();
    hash_open(options.read(true).custom_flags(flags).open(path)?)
}

/// The same of a file that is open already: one that /proc leads to has no other name.
pub(super) fn hash_open(mut file: fs_err::File) -> io::Result<(Identity, Digest)> {
    let before = Identity::of(&file.metadata()?);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hasher.update(&chunk[..length]),
        }
    }
    let after = Identity::of(&file.metadata()?);
    if before != after {
        return Err(io::Error::other(format!("`{}` changes while it is read", file.path().display())));
    }
    Ok((before, Digest::from_bytes(hasher.finalize().into())))
}
