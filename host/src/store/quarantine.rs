//! Marks on releases that must not be started on this host again: one file a digest, so that other
//! deployers can look as well.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use unship_core::protocol::{QuarantinedRelease, StoredRelease};
use unship_core::release::{Digest, Release};

use super::{Found, Store, StoreError, read_json};
use crate::durable;

impl Store {
    fn quarantine_path(&self, release: &Release) -> PathBuf {
        // The digest and not the tag: the same artifact under another tag is the same bad release.
        self.root.join("quarantine").join(format!("{}.json", release.digest))
    }

    /// Why the release must not be started here, if that is so.
    pub fn quarantined(&self, release: &Release) -> Result<Option<String>, StoreError> {
        let mark: Option<QuarantinedRelease> = read_json(&self.quarantine_path(release))?;
        Ok(mark.map(|mark| mark.reason))
    }

    /// All marks, by tag. A mark that cannot be read is named, and counts for every release of `stored` with
    /// the digest in its name: such a release is not started here either.
    pub fn quarantine_list(&self, stored: &[StoredRelease]) -> Found<QuarantinedRelease> {
        let mut marks = Found::default();
        let folder = self.root.join("quarantine");
        let entries = match fs_err::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return marks,
            Err(error) => {
                marks.troubles.push(error.to_string());
                return marks;
            }
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => {
                    marks.troubles.push(error.to_string());
                    continue;
                }
            };
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read_json(&path) {
                Ok(mark) => marks.found.extend(mark),
                Err(error) => {
                    let reason = error.to_string();
                    let name = path.file_stem().and_then(OsStr::to_str);
                    let digest = name.and_then(|name| name.parse::<Digest>().ok());
                    let named = stored.iter().filter(|stored| Some(stored.release.digest) == digest);
                    marks.found.extend(named.map(|stored| QuarantinedRelease {
                        release: stored.release.clone(),
                        reason: reason.clone(),
                    }));
                    marks.troubles.push(reason);
                }
            }
        }
        marks.found.sort_by(|a: &QuarantinedRelease, b| a.release.tag.cmp(&b.release.tag));
        marks.troubles.sort_unstable();
        marks
    }

    /// Puts the mark on a release, stored here or not. Answers whether anything was written.
    pub fn quarantine(&self, release: &Release, reason: &str) -> Result<bool, StoreError> {
        let mark = QuarantinedRelease { release: release.clone(), reason: reason.to_owned() };
        let path = self.quarantine_path(release);
        if read_json::<QuarantinedRelease>(&path).is_ok_and(|present| present.as_ref() == Some(&mark)) {
            return Ok(false);
        }
        durable::folder(&self.root.join("quarantine"))?;
        let bytes = serde_json::to_vec(&mark).map_err(io::Error::from)?;
        durable::write(&path, &bytes, 0o644)?;
        Ok(true)
    }

    /// Takes the mark away. Answers whether there was one.
    pub fn lift_quarantine(&self, release: &Release) -> Result<bool, StoreError> {
        let path = self.quarantine_path(release);
        if path.exists() { Ok(durable::remove(&path)?) } else { Ok(false) }
    }
}
