//! Retention: what may be removed from the disk.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use unship_core::release::{Digest, Release};

use super::{Store, StoreError};
use crate::durable;

impl Store {
    /// Removes every stored release that is neither in `keep` nor current, and every staging that is not in
    /// `keep`. The caller puts what runs into `keep`. Answers what was removed.
    pub fn prune(&self, keep: &BTreeSet<Digest>) -> Result<Vec<Release>, StoreError> {
        // An unreadable `current` stops here: what it means must be known before anything is removed.
        let current = self.current()?.map(|release| release.digest);
        let mut removed = Vec::new();
        // What cannot be read is not removed: nobody knows what it is.
        for stored in self.list()?.found {
            let digest = stored.release.digest;
            if keep.contains(&digest) || current == Some(digest) {
                continue;
            }
            self.remove(&stored.release)?;
            removed.push(stored.release);
        }
        let staging = self.root.join("staging");
        if staging.exists() {
            for entry in fs_err::read_dir(&staging)? {
                let entry = entry?;
                let name = entry.file_name();
                let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
                if digest.is_none_or(|digest| !keep.contains(&digest)) {
                    remove_tree(&entry.path())?;
                }
            }
        }
        Ok(removed)
    }

    /// Moves the release out of sight by one rename, then removes it: a crash in between leaves rubbish in
    /// the staging folder, never half a release.
    fn remove(&self, release: &Release) -> Result<(), StoreError> {
        let place = self.folder_of(&release.tag);
        let staging = self.root.join("staging");
        durable::folder(&staging)?;
        let rubbish = staging.join(format!("removed-{}", release.tag));
        if rubbish.exists() {
            remove_tree(&rubbish)?;
        }
        fs_err::set_permissions(&place, PermissionsExt::from_mode(0o755))?;
        fs_err::rename(&place, &rubbish)?;
        durable::sync(&self.releases())?;
        remove_tree(&rubbish)
    }
}

/// Removes a folder whose folders are read-only.
fn remove_tree(path: &Path) -> Result<(), StoreError> {
    if !fs_err::symlink_metadata(path)?.is_dir() {
        return Ok(fs_err::remove_file(path)?);
    }
    open_folders(path)?;
    Ok(fs_err::remove_dir_all(path)?)
}

fn open_folders(folder: &Path) -> Result<(), StoreError> {
    fs_err::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}
