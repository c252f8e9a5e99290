//! What a systemd unit runs, whoever put it there: what a host saw of it, and which release that is.
//!
//! Releases that another tool brings to the hosts are not in unship's store. A process is known by the digest of
//! the file that it executes, compared with the manifests of the releases that are known.

use serde::{Deserialize, Serialize};

use crate::capsule::{Manifest, ManifestFile};
use crate::release::{Digest, Release, ServiceName, Tag};
use crate::time::Timestamp;

/// A systemd unit as a host saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningUnit {
    /// Its name, for example `shithubd.service`.
    pub unit: String,
    /// What systemd says of it: `active (running)`, or `not-found`.
    pub state: String,
    /// Whether it is started and says that it is ready.
    pub ready: bool,
    /// The main process; none when it does not run.
    pub process: Option<RunningProcess>,
    /// How often systemd started it again by itself.
    pub restarts: u32,
    /// The file that the next start would execute; none when it cannot be read.
    pub on_disk: Option<ProgramFile>,
    /// The user that it runs as; empty for root.
    pub user: String,
    /// What systemd runs before the service, as it is written: a command a line, words separated by spaces.
    pub before_start: Vec<String>,
    /// The unit file and its drop-ins.
    pub files: Vec<UnitFile>,
}

/// The main process of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// Process id.
    pub pid: u32,
    /// systemd's InvocationID: another one at every start.
    pub invocation: String,
    /// When it was started, on the host's clock.
    pub started_at: Timestamp,
    /// What it executes, through /proc, also when the name leads elsewhere by now.
    pub program: ProgramFile,
}

/// A file that can be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFile {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

/// A unit file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// Its path.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl ProgramFile {
    /// The release that this file is when it is all that the release has, under `path`.
    pub fn manifest(&self, service: &ServiceName, tag: &Tag, path: &str) -> Manifest {
        let file =
            ManifestFile { path: path.to_owned(), size: self.size, executable: true, sha256: self.sha256 };
        Manifest { service: service.clone(), tag: tag.clone(), files: vec![file] }
    }
}

/// A release with what is known of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRelease {
    /// The release.
    pub release: Release,
    /// Its files; without them it is known only if a single file is all that it has.
    pub manifest: Option<Manifest>,
}

/// The release whose file under `path` is `program`: the last of `known` that fits.
pub fn release_of(
    program: &ProgramFile,
    path: &str,
    service: &ServiceName,
    known: &[KnownRelease],
) -> Option<Release> {
    let fits = |known: &&KnownRelease| match &known.manifest {
        Some(manifest) => {
            manifest.files.iter().any(|file| file.path == path && file.sha256 == program.sha256)
        }
        None => program.manifest(service, &known.release.tag, path).digest() == known.release.digest,
    };
    known.iter().rev().find(fits).map(|known| known.release.clone())
}

/// How a release is called that runs and that nobody told unship of: by its digest.
pub fn unknown_release(program: &ProgramFile, path: &str, service: &ServiceName) -> Option<Release> {
    let tag: Tag = format!("unknown-{}", program.sha256.short()).parse().ok()?;
    Some(program.manifest(service, &tag, path).release())
}

#[cfg(test)]
mod tests;
