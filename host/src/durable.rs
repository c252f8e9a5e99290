//! Small files that must be whole after a power cut: written beside, fsynced, renamed, folder fsynced.

use std::io::{self, Write};
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
    let written = file.write_all(bytes).and_then(|()| if sync { file.sync_all() } else { Ok(()) });
    drop(file);
    if let Err(error) = written.and_then(|()| fs_err::rename(&beside, path)) {
        // The old file still stands; a full disk should not keep the failed one as well.
        let _ = fs_err::remove_file(&beside);
        return Err(error);
    }
    Ok(())
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
