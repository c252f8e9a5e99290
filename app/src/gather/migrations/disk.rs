//! Reads a folder of this machine. A link is followed only to a file that lies inside the folder.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use unship_core::tools::MigrationFile;

use super::places::{SEARCH_DEPTH_MAX, folder_of, never_entered};
use super::{
    Budget, DEPTH_MAX, GatherError, Gathered, PROJECT_BYTES_MAX, PROJECT_NAMES, Skipped, ancestors, gathered,
    is_read, refuse_pointer,
};

/// Most entries that are looked at while the folder is searched for.
const SEARCH_ENTRIES_MAX: usize = 200_000;

pub(super) fn read(project: &Path, folder: Option<&Path>) -> Result<Gathered, GatherError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| GatherError::Io { path, source }
    };
    let root = project.canonicalize().map_err(io(project))?;
    let (folder, shown) = if let Some(folder) = folder {
        let full = root.join(folder).canonicalize().map_err(io(folder))?;
        let shown = full.strip_prefix(&root).unwrap_or(&full);
        let shown = text(shown.to_owned(), &root)?;
        (full, shown)
    } else {
        let shown = search(&root)?;
        (root.join(&shown), shown)
    };
    if !folder.is_dir() {
        return Err(GatherError::NotAFolder { folder: shown, place: format!("`{}`", root.display()) });
    }
    let mut reader =
        Reader { root: &folder, budget: Budget::default(), files: Vec::new(), skipped: Vec::new() };
    reader.folder(&folder, "", 0)?;
    let Reader { files, skipped, .. } = reader;
    Ok(gathered(shown.clone(), None, files, &project_files(&root, &shown), skipped))
}

fn text(path: PathBuf, folder: &Path) -> Result<String, GatherError> {
    path.into_os_string().into_string().map_err(|name| GatherError::BadName {
        folder: folder.display().to_string(),
        shown: name.to_string_lossy().into_owned(),
    })
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
            let name = text(PathBuf::from(entry.file_name()), folder)?;
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
        let io = |source| GatherError::Io { path: full.to_owned(), source };
        let mut bytes = Vec::new();
        if is_read(&path) {
            let file = fs_err::File::open(full).map_err(io)?;
            let length = file.metadata().map_err(io)?.len();
            self.budget.take(&self.root.display().to_string(), &path, length)?;
            // The file may grow while it is read: the limit holds all the same.
            file.take(length).read_to_end(&mut bytes).map_err(io)?;
            refuse_pointer(&path, &bytes)?;
        } else {
            self.budget.take(&self.root.display().to_string(), &path, 0)?;
        }
        self.files.push(MigrationFile { path, bytes });
        Ok(())
    }
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
                found.push(MigrationFile { path, bytes });
            }
        }
    }
    found
}
