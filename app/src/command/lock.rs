//! The lock that the deploy command inherits. It is held as long as unship or anything that the command started
//! lives, so a command that outlived unship is seen, and never run a second time beside itself.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use unship_core::release::{RunId, Tag};
use unship_core::time::Timestamp;

use crate::ports::SourceError;

/// The most processes that are named.
const NAMED_MAX: usize = 8;

/// The lock, held.
pub struct Lock {
    file: File,
    folder: PathBuf,
}

/// What is written down while a command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// For which run.
    pub run: RunId,
    /// Of which release.
    pub tag: Tag,
    /// The command's process, which leads its group.
    pub pid: u32,
    /// When it was started.
    pub since: Timestamp,
}

/// A command that runs, or another unship that prepares one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What was written down when it was started; none while it is prepared.
    pub record: Option<Record>,
    /// Who holds the lock: process ids and names.
    pub processes: Vec<(u32, String)>,
}

impl Lock {
    fn path(folder: &Path) -> PathBuf {
        folder.join("lock")
    }

    /// Takes the lock of a folder, or says who has it.
    pub fn take(folder: &Path) -> Result<Result<Lock, Running>, SourceError> {
        let path = Self::path(folder);
        let failed = |error: &dyn fmt::Display| SourceError {
            message: format!("the lock of deploy commands `{}` failed: {error}", path.display()),
            hint: None,
        };
        fs_err::create_dir_all(folder).map_err(|error| failed(&error))?;
        let mut options = fs_err::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|error| failed(&error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Ok(Lock { file, folder: folder.to_owned() })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Err(Running::read(folder, &path))),
            Err(error) => Err(failed(&error)),
        }
    }

    /// For the command to inherit.
    pub fn share(&self) -> std::io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }

    /// Writes down what runs.
    pub fn record(&self, record: &Record) -> std::io::Result<()> {
        let path = self.folder.join("running.json");
        let aside = self.folder.join("running.json.new");
        fs_err::write(&aside, serde_json::to_vec(record)?)?;
        fs_err::rename(aside, path)
    }

    /// Nothing runs any more.
    pub fn clear(&self) {
        // A record without a holder of the lock says nothing.
        let _ = fs_err::remove_file(self.folder.join("running.json"));
    }
}

impl Running {
    fn read(folder: &Path, lock: &Path) -> Running {
        let record = fs_err::read(folder.join("running.json")).ok();
        let record = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Running { record, processes: holders(lock) }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match &self.record {
            Some(record) => format!(
                "wait for it; or, if it hangs, end it with `kill -TERM -- -{}`, look with `unship status`, then go on",
                record.pid
            ),
            None => "wait for it".into(),
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.record {
            Some(Record { run, tag, .. }) => {
                write!(f, "the deploy command of {tag} from run {run} still runs")?;
            }
            None => f.write_str("another unship prepares a deploy command here")?,
        }
        let named: Vec<String> =
            self.processes.iter().take(NAMED_MAX).map(|(pid, name)| format!("{name} ({pid})")).collect();
        if named.is_empty() { Ok(()) } else { write!(f, ": {}", named.join(", ")) }
    }
}

/// The processes that have the file open, as far as they can be seen.
fn holders(path: &Path) -> Vec<(u32, String)> {
    let Ok(wanted) = fs_err::metadata(path) else { return Vec::new() };
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<(u32, String)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let Ok(open) = fs_err::read_dir(format!("/proc/{pid}/fd")) else { return false };
            open.filter_map(Result::ok).any(|fd| {
                let same =
                    |found: &std::fs::Metadata| found.dev() == wanted.dev() && found.ino() == wanted.ino();
                fs_err::metadata(fd.path()).is_ok_and(|found| same(&found))
            })
        })
        .map(|pid| {
            let name = fs_err::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim().to_owned())
        })
        .collect();
    found.sort_unstable();
    found
}
