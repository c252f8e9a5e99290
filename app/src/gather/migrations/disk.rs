//! Reads a folder of this machine. A link is followed only to a file that lies inside the folder.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use unship_core::tools::MigrationFile;

use super::places::{SEARCH_DEPTH_MAX, folder_of, never_entered};
use super::{
    Budget, DEPTH_MAX, GatherError, Gathered, HEAD_BYTES, PROJECT_BYTES_MAX, PROJECT_NAMES, Skipped,
    ancestors, gathered, is_read, read_whole,
};

/// Most entries that are looked at while the folder is searched for.
const SEARCH_ENTRIES_MAX: usize = 200_000;

pub(super) fn read(project: &Path, named: Option<&Path>) -> Result<Gathered, GatherError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| GatherError::Io { path, source }
    };
    let root = project.canonicalize().map_err(io(project))?;
    let (folder, shown) = if let Some(named) = named {
        let full = root.join(named).canonicalize().map_err(io(named))?;
        let shown = full.strip_prefix(&root).unwrap_or(&full);
        let shown = text(shown.to_owned())?;
        (full, shown)
    } else {
        let shown = search(&root)?;
        (root.join(&shown), shown)
    };
    if !folder.is_dir() {
        return Err(io(named.unwrap_or(&folder))(std::io::ErrorKind::NotADirectory.into()));
    }
    let mut reader =
        Reader { root: &folder, budget: Budget::default(), files: Vec::new(), skipped: Vec::new() };
    reader.folder(&folder, "", 0)?;
    let Reader { files, skipped, .. } = reader;
    Ok(gathered(shown.clone(), None, files, &project_files(&root, &shown), skipped))
}

fn text(folder: PathBuf) -> Result<String, GatherError> {
    folder
        .into_os_string()
        .into_string()
        .map_err(|name| GatherError::BadName { shown: name.to_string_lossy().into_owned() })
}

struct Reader<'a> {
    root: &'a Path,
    budget: Budget,
    files: Vec<MigrationFile>,
    skipped: Vec<Skipped>,
}

impl Reader<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), GatherError> {
        let io = |source| GatherError::Io { path: folder.to_owned(), source };
        for entry in fs_err::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                // No tool takes a migration of such a name.
                Err(name) => {
                    let path = format!("{prefix}{}", name.to_string_lossy());
                    self.skipped.push(Skipped { path, reason: "its name is not valid UTF-8" });
                    continue;
                }
            };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(io)?;
            if kind.is_dir() {
                if depth < DEPTH_MAX && !name.starts_with('.') {
                    self.folder(&entry.path(), &format!("{path}/"), depth + 1)?;
                }
            } else if kind.is_file() {
                self.file(&entry.path(), path)?;
            } else if kind.is_symlink() {
                self.link(&entry.path(), path)?;
            } else {
                self.skipped.push(Skipped { path, reason: "not a regular file" });
            }
        }
        Ok(())
    }

    fn link(&mut self, full: &Path, path: String) -> Result<(), GatherError> {
        let reason = match full.canonicalize() {
            Err(_) => "a link that leads nowhere",
            Ok(target) if !target.starts_with(self.root) => "a link that leads out of the folder",
            Ok(target) if !target.is_file() => "a link to something that is not a file",
            Ok(target) => return self.file(&target, path),
        };
        self.skipped.push(Skipped { path, reason });
        Ok(())
    }

    fn file(&mut self, full: &Path, path: String) -> Result<(), GatherError> {
        let folder = self.root.display().to_string();
        let file = if is_read(&path) {
            let opened = fs_err::File::open(full).and_then(|file| Ok((file.metadata()?.len(), file)));
            match opened {
                Ok((length, file)) => {
                    let unread = self.budget.take(&folder, length)?;
                    // The file may grow while it is read: the limit holds all the same.
                    let max = if unread.is_some() { HEAD_BYTES } else { length };
                    let mut bytes = Vec::new();
                    match (file.take(max).read_to_end(&mut bytes), unread) {
                        (Ok(_), None) => read_whole(path, bytes),
                        (Ok(_), unread) => MigrationFile { path, bytes, unread },
                        (Err(error), _) => unreadable(path, &error),
                    }
                }
                Err(error) => {
                    self.budget.take(&folder, 0)?;
                    unreadable(path, &error)
                }
            }
        } else {
            self.budget.take(&folder, 0)?;
            MigrationFile::new(path, Vec::new())
        };
        self.files.push(file);
        Ok(())
    }
}

fn unreadable(path: String, error: &std::io::Error) -> MigrationFile {
    MigrationFile { path, bytes: Vec::new(), unread: Some(format!("it cannot be read: {}", error.kind())) }
}

/// Looks for the migrations folder below `root`.
fn search(root: &Path) -> Result<String, GatherError> {
    let mut paths = Vec::new();
    let mut waiting = vec![(root.to_owned(), String::new(), 0_usize)];
    let mut looked_at = 0_usize;
    while let Some((folder, prefix, depth)) = waiting.pop() {
        // A folder that may not be read holds no migrations that could be used.
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            looked_at += 1;
            if looked_at > SEARCH_ENTRIES_MAX {
                let what = format!("`{}`", root.display());
                let (found, max) = (looked_at as u64, SEARCH_ENTRIES_MAX as u64);
                return Err(GatherError::TooMuch { what, found, max, unit: "files" });
            }
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            let path = format!("{prefix}{name}");
            if kind.is_dir() && depth < SEARCH_DEPTH_MAX + DEPTH_MAX && !never_entered(&name) {
                waiting.push((entry.path(), format!("{path}/"), depth + 1));
            } else if !kind.is_dir() {
                paths.push(path);
            }
        }
    }
    folder_of(paths.iter().map(String::as_str), &format!("`{}`", root.display()))
}

fn project_files(root: &Path, folder: &str) -> Vec<MigrationFile> {
    let mut found = Vec::new();
    for above in ancestors(folder) {
        for name in PROJECT_NAMES {
            let full = root.join(&above).join(name);
            let Ok(file) = fs_err::File::open(&full) else { continue };
            let mut bytes = Vec::new();
            let read = file.take(PROJECT_BYTES_MAX as u64).read_to_end(&mut bytes);
            if read.is_ok() {
                let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
                found.push(MigrationFile::new(path, bytes));
            }
        }
    }
    found
}
