//! Marks on releases that must not be started on this host again: one file a digest, so that other
//! deployers can look as well.

use std::io;
use std::path::PathBuf;

use unship_core::protocol::QuarantinedRelease;
use unship_core::release::Release;

use super::{Store, StoreError, read_json};
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

    /// All marks, by tag.
    pub fn quarantine_list(&self) -> Result<Vec<QuarantinedRelease>, StoreError> {
        let entries = match fs_err::read_dir(self.root.join("quarantine")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut marks: Vec<QuarantinedRelease> = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                marks.extend(read_json(&path)?);
            }
        }
        marks.sort_by(|a: &QuarantinedRelease, b| a.release.tag.cmp(&b.release.tag));
        Ok(marks)
    }

    /// Puts the mark on a release, stored here or not. Answers whether anything was written.
    pub fn quarantine(&self, release: &Release, reason: &str) -> Result<bool, StoreError> {
        let mark = QuarantinedRelease { release: release.clone(), reason: reason.to_owned() };
        let path = self.quarantine_path(release);
        if read_json::<QuarantinedRelease>(&path).is_ok_and(|present| present.as_ref() == Some(&mark)) {
            return Ok(false);
        }
        fs_err::create_dir_all(self.root.join("quarantine"))?;
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
