//! Small files that must be whole after a power cut: written beside, fsynced, renamed, folder fsynced.
//!
//! Modes are what is asked for, whatever the umask: an agent has that of a login or of sudo, and a service must be
//! able to read its release although its host's logins make files for themselves alone.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt;

/// Replaces `path` by a file with `bytes`; after it returns, a power cut cannot bring the old content back,
/// and at no time is there half a file.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, mode, true)?;
    sync_folder_of(path)
}

/// Like [`write`] without the fsyncs: whole after a crash of the program, maybe lost after a power cut. For
/// what describes running processes, which a power cut ends anyway.
pub(crate) fn write_volatile(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, mode, false)
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let beside = beside(path);
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&beside)?;
    let written = file
        .set_permissions(PermissionsExt::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| if sync { file.sync_all() } else { Ok(()) });
    drop(file);
    if let Err(error) = written.and_then(|()| fs_err::rename(&beside, path)) {
        // The old file still stands; a full disk should not keep the failed one as well.
        let _ = fs_err::remove_file(&beside);
        return Err(error);
    }
    Ok(())
}

/// Makes a folder that everybody may enter and its owner alone may change, and those above it that are missing. One
/// that is there keeps its mode; so that none is left behind with another one, its name comes last.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let beside = beside(path);
    match fs_err::create_dir(&beside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs_err::set_permissions(&beside, PermissionsExt::from_mode(0o755))?;
    match fs_err::rename(&beside, path) {
        // Another agent was faster.
        Err(_) if path.is_dir() => fs_err::remove_dir(&beside),
        renamed => renamed,
    }
}

/// The name under which the new content is prepared. One writer at a time: callers hold a lock.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// Makes `link` a symlink to `target`, atomically and durably, whatever `link` was before.
pub(crate) fn swap_symlink(link: &Path, target: &Path) -> io::Result<()> {
    let beside = beside(link);
    match fs_err::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs_err::os::unix::fs::symlink(target, &beside)?;
    fs_err::rename(&beside, link)?;
    sync_folder_of(link)
}

/// Removes a file or symlink if it is there, durably. Answers whether it was there.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs_err::remove_file(path) {
        Ok(()) => sync_folder_of(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Fsyncs a file or folder by its path.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    fs_err::File::open(path)?.sync_all()
}

/// Fsyncs the folder that holds `path`.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
