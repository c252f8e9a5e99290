//! What travels with a release: the manifest that proves its files, and the capsule that holds everything
//! a rollback needs, so that at rollback time nothing but the hosts and the database has to answer.

use serde::{Deserialize, Serialize};

use crate::ci::CiProof;
use crate::evidence::Evidence;
use crate::flags::{FlagName, FlagState};
use crate::release::{Digest, Release, ServiceName, Tag};
use crate::schema::Catalog;
use crate::time::Timestamp;
use crate::verdict::SpanVerdict;

/// The capsule format this program writes. A capsule of a newer format is refused, never guessed at.
pub const CAPSULE_FORMAT: u32 = 1;

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Path inside the release, `/`-separated, without `..` and never absolute.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Whether the file may be executed.
    pub executable: bool,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

/// The files of a release. Its digest is the release's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The service that the release belongs to.
    pub service: ServiceName,
    /// The tag that names it.
    pub tag: Tag,
    /// The files, sorted by path.
    pub files: Vec<ManifestFile>,
}

impl Manifest {
    /// The identity of the release: the digest over every file's path, mode, size and content digest, in
    /// path order. The tag is not part of it: the same artifact under two tags is one release.
    pub fn digest(&self) -> Digest {
        let mut files: Vec<&ManifestFile> = self.files.iter().collect();
        files.sort();
        let mut text = String::from("unship manifest 1\n");
        for file in files {
            let mode = if file.executable { 'x' } else { '-' };
            // The length before the path keeps a path with a newline from posing as two files.
            text.push_str(&format!(
                "{} {mode} {} {} {}\n",
                file.sha256,
                file.size,
                file.path.len(),
                file.path
            ));
        }
        Digest::of(text.as_bytes())
    }

    /// The release that this manifest describes.
    pub fn release(&self) -> Release {
        Release { tag: self.tag.clone(), digest: self.digest() }
    }

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// A migration file as the release carried it; the down of a bad release is run from here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsuleFile {
    /// Path in the repository.
    pub path: String,
    /// SHA-256 of the text.
    pub sha256: Digest,
    /// The text.
    pub text: String,
}

/// Everything that a rollback needs to know of a release, gathered when it was deployed. Evidence, not a
/// plan: what to do with it is decided at rollback time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capsule {
    /// [`CAPSULE_FORMAT`].
    pub format: u32,
    /// The release it belongs to.
    pub release: Release,
    /// The commit that the tag named.
    pub commit: Evidence<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Unit and configuration files of the release.
    pub units: Vec<CapsuleFile>,
    /// Migration files, ups and downs, in path order.
    pub migrations: Evidence<Vec<CapsuleFile>>,
    /// Queries that the release sends.
    pub queries: Evidence<Vec<CapsuleFile>>,
    /// The file of flags that the release itself carries.
    pub flags: Evidence<Vec<CapsuleFile>>,
    /// The flags around its deploy.
    #[serde(default)]
    pub flag_era: FlagEra,
    /// What CI said of its commit.
    #[serde(default)]
    pub ci: Evidence<CiProof>,
    /// The schema that its migrations leave, as a throwaway database had it.
    #[serde(default)]
    pub schema: Evidence<Catalog>,
    /// Verdicts of this release towards earlier known-good ones.
    pub verdicts: Evidence<Vec<CapsuleVerdict>>,
}

/// The flags of the environment around the deploy of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagEra {
    /// Right before it was brought out.
    pub before: Evidence<Vec<FlagState>>,
    /// Right after it was brought out.
    pub after: Evidence<Vec<FlagState>>,
    /// Flags that the files of its tag name and those of the release that it replaced do not.
    pub introduced: Evidence<Vec<FlagName>>,
}

/// What was found out, at deploy, about going back from this release to an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsuleVerdict {
    /// The earlier release.
    pub target: Release,
    /// The verdict, with its reasons.
    pub span: SpanVerdict,
}

/// Why a capsule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapsuleError {
    /// Written by a newer unship.
    #[error("the capsule has format {found}; this unship reads format {CAPSULE_FORMAT} and older")]
    Newer {
        /// The format it has.
        found: u32,
    },
    /// Not a capsule at all.
    #[error("the capsule cannot be read: {why}")]
    Unreadable {
        /// The reader's reason.
        why: String,
    },
}

impl Capsule {
    /// Reads a capsule from its JSON. The format is looked at first, so that a newer capsule is named as
    /// newer and not as broken.
    pub fn from_json(bytes: &[u8]) -> Result<Capsule, CapsuleError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| CapsuleError::Unreadable { why: error.to_string() };
        let Format { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format > CAPSULE_FORMAT {
            return Err(CapsuleError::Newer { found: format });
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}
