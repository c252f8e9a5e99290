//! The logs of instances: plain files that outlive the child runner, with a limit.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much of a log is kept aside when it is cut.
const KEPT_BYTES: u64 = 1 << 20;
/// The most log files; the oldest go.
const FILES_MAX: usize = 64;

/// The log of a unit's instances of one release.
pub(super) fn path_of(runtime: &Path, unit: &str, tag: &str) -> PathBuf {
    runtime.join("log").join(format!("{unit}@{tag}.log"))
}

/// Opens a log for appending; answers where it ends now.
pub(super) fn open(path: &Path) -> io::Result<(fs_err::File, u64)> {
    let file = fs_err::OpenOptions::new().append(true).create(true).open(path)?;
    let end = file.metadata()?.len();
    Ok((file, end))
}

/// Cuts a log that is too long: its last part is kept in `<name>.1`. Instances append, so what they write
/// next lands at the new end. Lines written between the copy and the cut are lost; a log is no ledger.
pub(super) fn cut(path: &Path, bytes_max: u64) -> io::Result<bool> {
    let mut file = match fs_err::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if length <= bytes_max {
        return Ok(false);
    }
    let mut kept = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(KEPT_BYTES)))?;
    (&mut file).take(KEPT_BYTES).read_to_end(&mut kept)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    // A full disk is a reason to cut, not to keep: what cannot be kept is lost.
    let _ = fs_err::write(PathBuf::from(name), &kept);
    file.set_len(0)?;
    Ok(true)
}

/// Removes the oldest logs when there are too many.
pub(super) fn prune(runtime: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(runtime.join("log"))? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let surplus = files.len().saturating_sub(FILES_MAX);
    for (_, path) in &files[..surplus] {
        fs_err::remove_file(path)?;
    }
    Ok(())
}

/// The child runner's own log.
#[derive(Debug)]
pub(super) struct RunnerLog {
    path: PathBuf,
    bytes_max: u64,
}

impl RunnerLog {
    pub(super) fn new(runtime: &Path, bytes_max: u64) -> RunnerLog {
        RunnerLog { path: runtime.join("supervise.log"), bytes_max }
    }

    /// Adds a line. That a line cannot be written stops nothing.
    pub(super) fn say(&self, line: &str) {
        let _ = cut(&self.path, self.bytes_max);
        if let Ok((mut file, _)) = open(&self.path) {
            let _ = writeln!(file, "{} {line}", crate::clock::now().0);
        }
    }
}
