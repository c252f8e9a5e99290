//! The few files that say what systemd brings up at boot, on a connection and at a time: drop-ins, links and
//! masks below `/etc/systemd/system`. Each is written whole and fsynced, and only when it differs.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;
use sha2::{Digest as _, Sha256};
use unship_core::release::Digest;

use crate::durable;

/// Where an administrator's units, drop-ins and links are; systemd.unit(5).
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// The drop-in that says which release is meant: after all others, because the last word counts.
const DROP_IN: &str = "zz-unship.conf";
/// Where links are that start a unit at boot, unless the unit has some elsewhere.
const BOOT_WANTS: &str = "multi-user.target.wants";
/// How much is copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The folder of an administrator's units.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// What was at which place before it was changed, since [`Files::begin`].
    before: Vec<(PathBuf, Before)>,
}

/// What was at a place.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    File(Vec<u8>),
    Link(PathBuf),
}

impl Before {
    /// What is there now.
    fn at(path: &Path) -> io::Result<Before> {
        match fs_err::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => Ok(Before::Link(fs_err::read_link(path)?)),
            Ok(_) => Ok(Before::File(fs_err::read(path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Before::Nothing),
            Err(error) => Err(error),
        }
    }
}

impl Files {
    pub(super) fn system() -> Files {
        Files::at(Path::new(SYSTEM_UNITS))
    }

    pub(super) fn at(folder: &Path) -> Files {
        Files { folder: folder.to_owned(), before: Vec::new() }
    }

    /// From here on is remembered what was changed.
    pub(super) fn begin(&mut self) {
        self.before.clear();
    }

    /// Takes back what was changed since [`Files::begin`], the latest first. Answers whether that was anything; what
    /// cannot be taken back does not keep the rest from it, and the first reason is the error.
    pub(super) fn take_back(&mut self) -> io::Result<bool> {
        let before = std::mem::take(&mut self.before);
        let any = !before.is_empty();
        let mut taken_back = Ok(any);
        for (path, before) in before.into_iter().rev() {
            // The one that could not be changed is as it was, and would not let itself be written now either.
            if Before::at(&path).is_ok_and(|present| present == before) {
                continue;
            }
            let one = match before {
                Before::Nothing => durable::remove(&path).map(drop),
                Before::File(bytes) => durable::write(&path, &bytes, 0o644),
                Before::Link(target) => durable::swap_symlink(&path, &target),
            };
            taken_back = taken_back.and_then(|any| one.map(|()| any));
        }
        taken_back
    }

    /// Remembers what is at a place that is about to be changed.
    fn note(&mut self, path: &Path) -> io::Result<()> {
        let before = Before::at(path)?;
        self.before.push((path.to_owned(), before));
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<bool> {
        self.note(path)?;
        let removed = durable::remove(path);
        if matches!(removed, Ok(false)) {
            self.before.pop();
        }
        removed
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.note(path)?;
        durable::swap_symlink(path, target)
    }

    /// Writes the drop-in of a unit; `None` takes it away. Answers whether that was a change.
    pub(super) fn drop_in(&mut self, unit: &str, text: Option<&str>) -> io::Result<bool> {
        let folder = self.folder.join(format!("{unit}.d"));
        let path = folder.join(DROP_IN);
        let Some(text) = text else { return self.remove(&path) };
        if fs_err::read_to_string(&path).is_ok_and(|found| found == text) {
            return Ok(false);
        }
        self.note(&path)?;
        durable::folder(&folder)?;
        durable::write(&path, text.as_bytes(), 0o644)?;
        durable::sync(&self.folder)?;
        Ok(true)
    }

    /// Makes `wanted`, and no other instance of the template, start at boot. `source` is the template's file.
    /// Answers whether that was a change.
    pub(super) fn boot(&mut self, template: &str, wanted: Option<&str>, source: &str) -> io::Result<bool> {
        let mut changed = false;
        let mut folders = Vec::new();
        for link in self.boot_links(template)? {
            let folder = link.parent().map(Path::to_owned).unwrap_or_default();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
            if link.file_name().and_then(|name| name.to_str()) != wanted {
                changed |= self.remove(&link)?;
            }
        }
        let Some(wanted) = wanted else { return Ok(changed) };
        if folders.is_empty() {
            folders.push(self.folder.join(BOOT_WANTS));
        }
        for folder in folders {
            let link = folder.join(wanted);
            if fs_err::symlink_metadata(&link).is_ok() {
                continue;
            }
            durable::folder(&folder)?;
            self.link(&link, Path::new(source))?;
            changed = true;
        }
        Ok(changed)
    }

    /// The links that start an instance of the template at boot.
    fn boot_links(&self, template: &str) -> io::Result<Vec<PathBuf>> {
        let mut links = Vec::new();
        for entry in fs_err::read_dir(&self.folder)? {
            let folder = entry?.path();
            if !folder.extension().is_some_and(|end| end == "wants" || end == "requires") {
                continue;
            }
            for link in fs_err::read_dir(&folder)? {
                let link = link?;
                let name = link.file_name().into_string().unwrap_or_default();
                if super::escape::instance_of(template, &name).is_some() {
                    links.push(link.path());
                }
            }
        }
        links.sort_unstable();
        Ok(links)
    }

    /// Keeps an instance from being started by anybody. Answers whether that was a change.
    pub(super) fn mask(&mut self, instance: &str) -> io::Result<bool> {
        let path = self.folder.join(instance);
        // A unit file of that name is the administrator's own.
        if fs_err::symlink_metadata(&path).is_ok() {
            return Ok(false);
        }
        self.link(&path, Path::new("/dev/null"))?;
        Ok(true)
    }

    /// Whether there is a mask.
    pub(super) fn is_masked(&self, instance: &str) -> bool {
        fs_err::read_link(self.folder.join(instance)).is_ok_and(|target| target == Path::new("/dev/null"))
    }

    /// Takes the mask away. Answers whether there was one.
    pub(super) fn unmask(&mut self, instance: &str) -> io::Result<bool> {
        if self.is_masked(instance) { self.remove(&self.folder.join(instance)) } else { Ok(false) }
    }
}

/// Puts a copy of `source` in the place of `path` by a rename: a program that runs cannot be written to, and
/// what runs keeps the file that it has. The copy must have the digest. Answers whether that was a change.
pub(super) fn swap_file(path: &Path, source: &Path, sha256: &Digest) -> io::Result<bool> {
    if crate::store::hash_through(path).is_ok_and(|(_, found)| found == *sha256) {
        return Ok(false);
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".unship");
    let beside = path.with_file_name(name);
    let mode = fs_err::metadata(path).map_or(0o755, |found| found.permissions().mode() & 0o7777);
    let copied = copy(source, &beside, mode, sha256);
    if let Err(error) = copied.and_then(|()| fs_err::rename(&beside, path)) {
        let _ = fs_err::remove_file(&beside);
        return Err(error);
    }
    durable::sync_folder_of(path)?;
    Ok(true)
}

fn copy(source: &Path, to: &Path, mode: u32, sha256: &Digest) -> io::Result<()> {
    match fs_err::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut from = fs_err::File::open(source)?;
    // Its owner's alone until it is whole, whatever the umask: who has it open can write to it afterwards.
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk)? {
            0 => break,
            length => {
                hasher.update(&chunk[..length]);
                file.write_all(&chunk[..length])?;
            }
        }
    }
    if Digest::from_bytes(hasher.finalize().into()) != *sha256 {
        return Err(io::Error::other(format!("`{}` changed while it was copied", source.display())));
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
