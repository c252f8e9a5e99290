//! A service's migrations, from a folder on disk or from a commit, without touching the work tree.
//!
//! Everything read is bounded: number of files, size of each, size of all, depth of folders, time of git.
//! What is passed over (links that lead out, submodules) is named. A file that is too long, or that cannot be
//! read, is handed over as one: its step gets that for an answer, and the others theirs.

mod disk;
pub(in crate::gather) mod git;
pub(in crate::gather) mod places;

use std::path::{Path, PathBuf};
use std::time::Duration;

use unship_core::tools::{Detection, FILE_BYTES_MAX, FILES_MAX, MigrationFile, Tool, detect_in, too_long};

/// Most bytes of all files of a folder together.
pub const TOTAL_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Deepest folder below the migrations folder that is looked into.
pub const DEPTH_MAX: usize = 4;

/// How much of a file is read that is not read as a whole, in bytes: enough to tell the tool by.
const HEAD_BYTES: u64 = 64 * 1024;

/// Largest project file (`Cargo.toml`, `go.mod`) that is looked at, in bytes.
const PROJECT_BYTES_MAX: usize = 1024 * 1024;

/// Project files that can tell which tool is in use.
const PROJECT_NAMES: [&str; 5] = ["Cargo.toml", "go.mod", "sqlx.toml", "diesel.toml", "package.json"];

/// Longest wait for one git command.
pub const GIT_WAIT_MAX: Duration = Duration::from_mins(1);

/// Where the migrations are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of this machine: the project's, or with `folder` the migrations folder itself below it.
    Disk { project: PathBuf, folder: Option<PathBuf> },
    /// A commit of a repository, named by anything git takes for one: `v1.4.0`, `HEAD~2`, a hash.
    Commit { repository: PathBuf, revision: String, folder: Option<String> },
}

/// A file that was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub path: String,
    pub reason: &'static str,
}

/// The files of one migrations folder, as core takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// The migrations folder below the project, with `/` between folders; empty for the project itself.
    pub folder: String,
    /// The commit they come from, in full; none from disk.
    pub commit: Option<String>,
    /// Sorted by path, relative to `folder`. Only files that can be migrations have their bytes.
    pub files: Vec<MigrationFile>,
    /// Which tool they look like, with what the project around them says.
    pub detection: Detection,
    pub skipped: Vec<Skipped>,
}

impl Gathered {
    /// The path below the project of a file of the folder, for messages and annotations.
    pub fn project_path(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", self.folder) }
    }
}

/// Why migrations could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error("`{}` cannot be read: {}", .path.display(), .source.kind())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no folder with migrations in {place}")]
    NoFolder { place: String },
    #[error("several folders could hold the migrations of {place}: {}", .folders.join(", "))]
    SeveralFolders { place: String, folders: Vec<String> },
    #[error("`{folder}` is not a folder of {place}")]
    NotAFolder { folder: String, place: String },
    #[error("{what} has {found} {unit}, more than the limit of {max}")]
    TooMuch { what: String, found: u64, max: u64, unit: &'static str },
    #[error("the name of the folder `{shown}` is not valid UTF-8")]
    BadName { shown: String },
    #[error("git could not be run")]
    NoGit {
        #[source]
        source: std::io::Error,
    },
    #[error("`{revision}` is no commit of `{}`", .repository.display())]
    NoCommit { repository: PathBuf, revision: String },
    #[error("`git {command}` failed: {message}")]
    Git { command: &'static str, message: String },
    #[error("`git {command}` did not finish within {seconds} s")]
    GitSlow { command: &'static str, seconds: u64 },
}

impl GatherError {
    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            GatherError::NoFolder { .. } => Some("name it with `--migrations DIR`".to_owned()),
            GatherError::SeveralFolders { folders, .. } => {
                let first = folders.first().map(String::as_str).unwrap_or_default();
                Some(format!("name one, for example `--migrations {first}`"))
            }
            GatherError::NoCommit { .. } => {
                Some("run `git fetch --tags`; a shallow clone has no older tags".to_owned())
            }
            GatherError::NoGit { .. } => Some("install git".to_owned()),
            _ => None,
        }
    }
}

/// Gathers the migrations from `source`.
pub async fn gather(source: &Source) -> Result<Gathered, GatherError> {
    match source {
        Source::Disk { project, folder } => {
            let (project, folder) = (project.clone(), folder.clone());
            let read = tokio::task::spawn_blocking(move || disk::read(&project, folder.as_deref()));
            read.await.unwrap_or_else(|error| {
                Err(GatherError::Io { path: PathBuf::new(), source: std::io::Error::other(error) })
            })
        }
        Source::Commit { repository, revision, folder } => {
            git::read(repository, revision, folder.as_deref()).await
        }
    }
}

/// True for a file whose bytes a reader may look at; others are only named.
fn is_read(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let is_sql = Path::new(&name).extension().is_some_and(|extension| extension == "sql");
    // golang-migrate takes any ending after `.up.` and `.down.`.
    is_sql || name == "metadata.toml" || name.contains(".up.") || name.contains(".down.")
}

/// A file that was read as a whole. A git-lfs pointer is not the file: it would be sent as SQL.
fn read_whole(path: String, bytes: Vec<u8>) -> MigrationFile {
    let is_pointer = bytes.starts_with(b"version https://git-lfs.github.com/spec/");
    let unread =
        is_pointer.then(|| "it is a git-lfs pointer, not the file itself; run `git lfs pull`".to_owned());
    MigrationFile { path, bytes, unread }
}

/// Counts what has been read against the limits.
#[derive(Default)]
struct Budget {
    files: usize,
    bytes: usize,
}

impl Budget {
    /// One more file of `bytes` bytes. Why it is not to be read as a whole, if so.
    fn take(&mut self, folder: &str, bytes: u64) -> Result<Option<String>, GatherError> {
        self.files += 1;
        if self.files > FILES_MAX {
            let (found, max) = (self.files as u64, FILES_MAX as u64);
            return Err(GatherError::TooMuch { what: format!("`{folder}`"), found, max, unit: "files" });
        }
        if bytes > FILE_BYTES_MAX as u64 {
            return Ok(Some(too_long(bytes)));
        }
        let total = self.bytes.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
        if total > TOTAL_BYTES_MAX {
            return Ok(Some(format!(
                "with it the folder has more than the limit of {TOTAL_BYTES_MAX} bytes; load bulk data outside \
                 of migrations"
            )));
        }
        self.bytes = total;
        Ok(None)
    }
}

fn gathered(
    folder: String,
    commit: Option<String>,
    mut files: Vec<MigrationFile>,
    project: &[MigrationFile],
    mut skipped: Vec<Skipped>,
) -> Gathered {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    let detection = detect_in(&files, project);
    Gathered { folder, commit, files, detection, skipped }
}

/// The folders from the project's root down to `folder`, nearest first: where project files are looked for.
fn ancestors(folder: &str) -> Vec<String> {
    let mut found: Vec<String> =
        Path::new(folder).ancestors().skip(1).filter_map(|path| path.to_str()).map(str::to_owned).collect();
    if found.is_empty() {
        found.push(String::new());
    }
    found
}

/// The tool to read the files with: the one asked for, or the one found without doubt.
pub fn tool_of(gathered: &Gathered, asked: Option<Tool>) -> Option<Tool> {
    asked.or_else(|| gathered.detection.tool())
}

#[cfg(test)]
mod tests;
