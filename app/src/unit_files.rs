//! Unit files on a disk: writes those that `unship init --systemd` offers, reads those that people wrote, and
//! installs none without being told to. Never replaces a file that says something else.

use std::path::{Path, PathBuf};

use unship_core::protocol::{OverlapGap, ServiceSpec};
use unship_core::units::{Parsed, UnitText, gaps_of_files};

/// Where an administrator's units are; systemd.unit(5).
pub const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// The largest unit file that is read, and the most drop-ins of one unit.
const FILE_BYTES_MAX: u64 = 1 << 20;
const DROP_INS_MAX: usize = 256;

/// Why unit files could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum UnitFilesError {
    /// There is such a file, and it says something else.
    #[error("`{}` is there and says something else", .path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// A file that is too large to be a unit.
    #[error("`{}` has {bytes} bytes; the limit is {FILE_BYTES_MAX}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The system failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Writes the files into a folder, all of them or none. Answers those that were not there yet.
pub fn write(folder: &Path, files: &[UnitText]) -> Result<Vec<PathBuf>, UnitFilesError> {
    let mut missing = Vec::new();
    for file in files {
        let path = folder.join(&file.name);
        match read(&path)? {
            Some(text) if text == file.text => {}
            Some(_) => return Err(UnitFilesError::Differs { path }),
            None => missing.push((path, &file.text)),
        }
    }
    fs_err::create_dir_all(folder)?;
    for (path, text) in &missing {
        fs_err::write(path, text)?;
    }
    Ok(missing.into_iter().map(|(path, _)| path).collect())
}

/// What the units in a folder miss for `overlap`, unit by unit; those of which there is no file are left out.
pub fn gaps(folder: &Path, service: &ServiceSpec) -> Result<Vec<(String, Vec<OverlapGap>)>, UnitFilesError> {
    let mut all = Vec::new();
    for unit in &service.units {
        let Some(names) = &unit.systemd else { continue };
        let file = parsed(folder, &names.unit)?;
        let socket = names.socket.as_ref().map(|socket| parsed(folder, socket)).transpose()?.flatten();
        if file.is_some() || socket.is_some() {
            all.push((unit.name.clone(), gaps_of_files(service, unit, file.as_ref(), socket.as_ref())));
        }
    }
    Ok(all)
}

/// A unit's file with its drop-ins, as systemd reads them; nothing where there is no file.
fn parsed(folder: &Path, name: &str) -> Result<Option<Parsed>, UnitFilesError> {
    let Some(text) = read(&folder.join(name))? else { return Ok(None) };
    let mut parsed = Parsed::default();
    parsed.add(&text);
    let mut drop_ins: Vec<PathBuf> = match fs_err::read_dir(folder.join(format!("{name}.d"))) {
        Ok(entries) => entries.take(DROP_INS_MAX).filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    drop_ins.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    drop_ins.sort_unstable();
    for path in drop_ins {
        parsed.add(&read(&path)?.unwrap_or_default());
    }
    Ok(Some(parsed))
}

fn read(path: &Path) -> Result<Option<String>, UnitFilesError> {
    let bytes = match fs_err::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if bytes > FILE_BYTES_MAX {
        return Err(UnitFilesError::TooLarge { path: path.to_owned(), bytes });
    }
    Ok(Some(String::from_utf8_lossy(&fs_err::read(path)?).into_owned()))
}

#[cfg(test)]
mod tests;
