//! A fresh worktree of the tag with the files that git does not have.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use fs_err::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use unship_core::release::Tag;

use crate::config::RelativePath;
use crate::ports::SourceError;
use crate::source::GitSource;

/// The largest file that is copied.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// A file that is one line of at most this length is taken for a password, and one shorter than that is not.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 4..=4_096;

/// A worktree that is there.
pub struct Checkout {
    /// What is checked out.
    pub tag: Tag,
    /// Its commit.
    pub commit: String,
    /// Where.
    pub place: PathBuf,
}

fn refused(message: String, hint: &str) -> SourceError {
    SourceError { message, hint: Some(hint.to_owned()) }
}

impl Checkout {
    /// Makes it anew: what an earlier build left in another is newer than the sources that are checked out now, and
    /// would be taken for their build.
    pub async fn make(
        source: &GitSource,
        tag: &Tag,
        place: &Path,
        untracked: &[RelativePath],
    ) -> Result<Checkout, SourceError> {
        let commit = source.repository.commit_of(tag).await?;
        let top = source.repository.top()?;
        // Before anything is made: what is missing is missing now.
        for path in untracked {
            plain_file(&top, path)?;
        }
        source.repository.remove_worktree(place).await;
        if let Some(parent) = place.parent() {
            fs_err::create_dir_all(parent)
                .map_err(|error| SourceError { message: error.to_string(), hint: None })?;
        }
        source.repository.add_worktree(place, &commit).await?;
        let checkout = Checkout { tag: tag.clone(), commit, place: place.to_owned() };
        for path in untracked {
            if let Err(error) = copy(&top, place, path, tag) {
                checkout.remove(source).await;
                return Err(error);
            }
        }
        Ok(checkout)
    }

    /// Removes it with all that was built in it.
    pub async fn remove(&self, source: &GitSource) {
        source.repository.remove_worktree(&self.place).await;
    }
}

impl Drop for Checkout {
    /// One that was not used, or whose command failed, leaves nothing behind either; git forgets it at the next one.
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.place);
    }
}

/// The path of a declared file, which must be a plain file of the repository's folder: nothing on the way to it may
/// be a symlink, which could lead anywhere.
fn plain_file(top: &Path, path: &RelativePath) -> Result<PathBuf, SourceError> {
    let place = top.join(path.as_str());
    let mut at = top.to_owned();
    for part in path.as_str().split('/') {
        at.push(part);
        let Ok(found) = fs_err::symlink_metadata(&at) else {
            return Err(refused(
                format!("`{path}`, which the deploy command needs, is not in `{}`", top.display()),
                "put it there, or take it out of `command.untracked`",
            ));
        };
        if found.is_symlink() {
            return Err(refused(
                format!("`{}`, which leads to a file of `command.untracked`, is a symlink", at.display()),
                "name the file that it leads to, if that is in the repository's folder; else copy it there",
            ));
        }
        let last = at == place;
        if last && (!found.is_file() || found.len() > FILE_BYTES_MAX) {
            return Err(refused(
                format!("`{path}` of `command.untracked` is no plain file of at most {FILE_BYTES_MAX} bytes"),
                "name each file by itself",
            ));
        }
    }
    Ok(place)
}

/// Copies a declared file into the worktree, readable for its owner alone. The tag's own folders are not trusted
/// either: a symlink among them would take the file elsewhere.
fn copy(top: &Path, worktree: &Path, path: &RelativePath, tag: &Tag) -> Result<(), SourceError> {
    let from = plain_file(top, path)?;
    let failed = |error: std::io::Error| SourceError {
        message: format!("cannot copy `{path}` into the worktree: {error}"),
        hint: None,
    };
    let mut at = worktree.to_owned();
    let (folders, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        match fs_err::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(refused(
                    format!("{tag} has `{}` where the folder of `{path}` must be", part.escape_debug()),
                    "choose another place for the file",
                ));
            }
            Err(_) => fs_err::create_dir(&at).map_err(failed)?,
        }
    }
    at.push(name);
    let bytes = fs_err::read(&from).map_err(failed)?;
    let executable = fs_err::metadata(&from).map_err(failed)?.permissions().mode() & 0o100;
    let mut options = fs_err::OpenOptions::new();
    // New only: it follows no symlink, and a file of the tag's own is not overwritten.
    match options.write(true).create_new(true).mode(0o600 | executable).open(&at) {
        Ok(mut file) => file.write_all(&bytes).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(refused(
            format!("{tag} has a `{path}` of its own"),
            "take it out of `command.untracked`: git has it",
        )),
        Err(error) => Err(failed(error)),
    }
}

/// The content of declared files that are one line: a vault's password, a token.
pub fn passwords(source: &GitSource, untracked: &[RelativePath]) -> Vec<String> {
    let Ok(top) = source.repository.top() else { return Vec::new() };
    let content = untracked.iter().filter_map(|path| {
        let text = fs_err::read_to_string(plain_file(&top, path).ok()?).ok()?;
        let text = text.trim();
        (PASSWORD_BYTES.contains(&text.len()) && text.lines().count() == 1).then(|| text.to_owned())
    });
    content.collect()
}
