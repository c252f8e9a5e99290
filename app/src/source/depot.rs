//! Artifacts on the operator's machine: `<depot>/artifacts/<digest>/files/`, with manifest and capsule beside
//! them, and `<depot>/builds/<key>` that says which digest a build gave.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use unship_core::capsule::{Capsule, Manifest};
use unship_core::release::{Digest, Release};

use crate::ports::{Artifact, SourceError};

/// The folder.
#[derive(Debug, Clone)]
pub struct Depot {
    folder: PathBuf,
}

fn failed(what: &str, error: &impl ToString) -> SourceError {
    SourceError { message: format!("{what}: {}", error.to_string()), hint: None }
}

impl Depot {
    /// A depot in a folder, which is made when something is put into it.
    pub fn at(folder: &Path) -> Depot {
        Depot { folder: folder.to_owned() }
    }

    /// Where worktrees and half copied artifacts go.
    pub fn scratch(&self) -> PathBuf {
        self.folder.join("scratch")
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.folder.join("artifacts").join(digest.to_string())
    }

    /// Where the files of a release are, if they are kept.
    pub fn files_of(&self, digest: &Digest) -> PathBuf {
        self.place(digest).join("files")
    }

    /// What an earlier build of the same key gave, if it is still here.
    pub fn built(&self, key: &Digest) -> Option<Digest> {
        let text = fs_err::read_to_string(self.folder.join("builds").join(key.to_string())).ok()?;
        let digest = text.trim().parse().ok()?;
        self.place(&digest).is_dir().then_some(digest)
    }

    /// Remembers what a build gave.
    pub fn remember(&self, key: &Digest, digest: &Digest) -> Result<(), SourceError> {
        let folder = self.folder.join("builds");
        fs_err::create_dir_all(&folder)
            .and_then(|()| fs_err::write(folder.join(key.to_string()), digest.to_string()))
            .map_err(|error| failed("cannot remember the build", &error))
    }

    /// Copies the files of a manifest in, with their capsule. What is there already is left as it is, but the
    /// capsule is replaced: it is evidence of now.
    pub fn keep(&self, manifest: &Manifest, from: &Path, capsule: &Capsule) -> Result<(), SourceError> {
        let digest = manifest.digest();
        let place = self.place(&digest);
        let cannot = |error: std::io::Error| failed("cannot keep the artifact", &error);
        if !place.join("files").is_dir() {
            // What was kept without its files is in the way of the whole.
            let _ = fs_err::remove_dir_all(&place);
            let half = self.scratch().join(format!("{digest}.{}", std::process::id()));
            let _ = fs_err::remove_dir_all(&half);
            for file in &manifest.files {
                let to = half.join("files").join(&file.path);
                if let Some(parent) = to.parent() {
                    fs_err::create_dir_all(parent).map_err(cannot)?;
                }
                // A single file is its own artifact; a folder's files keep their paths.
                let source = if from.is_file() { from.to_owned() } else { from.join(&file.path) };
                fs_err::copy(source, &to).map_err(cannot)?;
                let mode = if file.executable { 0o755 } else { 0o644 };
                fs_err::set_permissions(&to, Permissions::from_mode(mode)).map_err(cannot)?;
            }
            fs_err::create_dir_all(self.folder.join("artifacts")).map_err(cannot)?;
            if let Err(error) = fs_err::rename(&half, &place) {
                let _ = fs_err::remove_dir_all(&half);
                // Another command kept the same artifact meanwhile: the same digest is the same content.
                if !place.is_dir() {
                    return Err(cannot(error));
                }
            }
        }
        write_json(&place.join("manifest.json"), manifest)?;
        write_json(&place.join("capsule.json"), capsule)
    }

    /// Keeps what is known of a release whose files are not here: enough to compare it with others.
    pub fn keep_papers(&self, manifest: &Manifest, capsule: &Capsule) -> Result<(), SourceError> {
        let place = self.place(&manifest.digest());
        fs_err::create_dir_all(&place).map_err(|error| failed("cannot keep what is known of it", &error))?;
        write_json(&place.join("manifest.json"), manifest)?;
        write_json(&place.join("capsule.json"), capsule)
    }

    /// A release that was kept. The host checks every byte that it is sent, so this reads only the papers.
    pub fn get(&self, release: &Release) -> Result<Artifact, SourceError> {
        let place = self.place(&release.digest);
        let missing = |_| SourceError {
            message: format!("the artifact of {release} ({}) is not on this machine", release.digest.short()),
            hint: Some(format!("build it with `unship deploy {release} --dry-run`")),
        };
        let manifest = fs_err::read(place.join("manifest.json")).map_err(missing)?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| failed("cannot read a manifest", &error))?;
        let capsule = fs_err::read(place.join("capsule.json")).map_err(missing)?;
        let capsule =
            Capsule::from_json(&capsule).map_err(|error| failed("cannot read a capsule", &error))?;
        Ok(Artifact { manifest, folder: self.files_of(&release.digest), capsule })
    }
}

impl Depot {
    /// Keeps another capsule of a release whose artifact is here.
    pub fn keep_capsule(&self, capsule: &Capsule) -> Result<(), SourceError> {
        write_json(&self.place(&capsule.release.digest).join("capsule.json"), capsule)
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), SourceError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| failed("cannot write JSON", &error))?;
    // Renamed into place, so that a reader sees the old text or the new one.
    let aside = path.with_extension(format!("tmp{}", std::process::id()));
    fs_err::write(&aside, bytes)
        .and_then(|()| fs_err::rename(&aside, path))
        .map_err(|error| failed("cannot write", &error))
}
