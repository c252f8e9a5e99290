//! The fence of a host: one fsynced file that names the run which may act here, compared inside a lock that
//! is held for the whole request. An operator who was thought dead and comes back is refused here and not
//! where it would trust itself.
//!
//! Owns `<root>/epoch` and `<root>/epoch.lock`. Never decides whether a run may be taken over: that is the
//! lease's matter; the host only sees to it that the higher number wins for good.

use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::FlockOperation;
use unship_core::protocol::{Epoch, EpochRecord, Holder, Refusal};
use unship_core::release::RunId;

use crate::durable;

/// How long a request waits for another one to finish before it gives up.
pub const LOCK_WAIT_MS_MAX: u64 = 5_000;

/// The wait between two looks at the lock: `flock` has no time limit of its own.
const LOCK_LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Whoever can open the lock file can hold it, and keep every operator from taking a release back.
const LOCK_MODE: u32 = 0o600;

/// What the lock file may hold: the name of who has it.
const LOCK_NOTE_BYTES_MAX: u64 = 512;

/// What is written by hand in place of a damaged record, with a number for N.
const MENDED: &str =
    r#"{"epoch":N,"holder":{"run":"mended","who":"by-hand","since":0,"what":"mend the epoch"},"ended":true}"#;

/// Why the epoch could not be compared, claimed or ended.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The host answered, and the answer is no.
    #[error(transparent)]
    Refused(Refusal),
    /// Another request holds the lock.
    #[error("the host is busy for another request: {holder} holds `{}` (waited {waited_ms} ms)", .path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// What the lock file says about its holder.
        holder: String,
        /// How long this request waited.
        waited_ms: u64,
    },
    /// The file is there and is not an epoch record: nothing may be guessed from it.
    #[error("the epoch file `{}` cannot be read: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        why: String,
    },
    /// The claim's holder names another run than the request.
    #[error("the claim of run `{asked}` names run `{named}` as its holder")]
    OtherRun {
        /// The run that asks.
        asked: RunId,
        /// The run in the holder.
        named: RunId,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl EpochError {
    /// What can be run to see or mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            EpochError::Busy { .. } => {
                Some("wait for the other run, or see who it is with `unship lock show`".to_owned())
            }
            EpochError::Unreadable { path, .. } => Some(format!(
                "do not remove it: the numbers would begin again at 1 and an old run could act. Make sure that no run is active, then write `{MENDED}` to `{}`, with a number in place of N that is 1 more than the highest in the other hosts' `epoch` files and in the runs' journals",
                path.display()
            )),
            EpochError::Refused(Refusal::StaleEpoch { .. }) => {
                Some("another run has the host; see it with `unship lock show`".to_owned())
            }
            _ => None,
        }
    }
}

/// The epoch file of a host.
#[derive(Debug, Clone)]
pub struct EpochFile {
    path: PathBuf,
    lock_path: PathBuf,
}

impl EpochFile {
    /// The epoch file under `root`; nothing is touched yet.
    pub fn new(root: &Path) -> EpochFile {
        EpochFile { path: root.join("epoch"), lock_path: root.join("epoch.lock") }
    }

    /// What the file says; `None` when the host was never claimed.
    pub fn read(&self) -> Result<Option<EpochRecord>, EpochError> {
        let bytes = match fs_err::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(EpochError::Unreadable { path: self.path.clone(), why: error.to_string() }),
        }
    }

    /// Takes the lock for one request of `run`, waiting at most `wait_ms_max`. The lock goes with the value,
    /// and with the process if that is killed.
    pub fn lock(&self, run: &RunId, wait_ms_max: u64) -> Result<EpochLock<'_>, EpochError> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(LOCK_MODE);
        let mut file = options.open(&self.lock_path)?;
        // One that an older agent made; what cannot be had must not stop a rollback.
        let _ = file.set_permissions(PermissionsExt::from_mode(LOCK_MODE));
        let began = Instant::now();
        while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
                return Err(io::Error::from(error).into());
            }
            let waited_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            if waited_ms >= wait_ms_max {
                let mut holder = String::new();
                let _ = (&mut file).take(LOCK_NOTE_BYTES_MAX).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    note => note.to_owned(),
                };
                return Err(EpochError::Busy { path: self.lock_path.clone(), holder, waited_ms });
            }
            std::thread::sleep(LOCK_LOOK_AGAIN);
        }
        // Only for the error text of others; a full disk must not stop a rollback here.
        let note = format!("run `{run}` in process {}\n", std::process::id());
        let _ = file.rewind().and_then(|()| file.write_all(note.as_bytes()));
        let _ = file.set_len(note.len() as u64);
        Ok(EpochLock { file: self, _lock: file })
    }
}

/// The held lock: the only way to compare or change the epoch.
#[derive(Debug)]
pub struct EpochLock<'a> {
    file: &'a EpochFile,
    _lock: fs_err::File,
}

impl EpochLock<'_> {
    /// Whether `run` may act with `epoch`: it must be the run that claimed last and not have ended.
    pub fn check(&self, run: &RunId, epoch: Epoch) -> Result<EpochRecord, EpochError> {
        let Some(record) = self.file.read()? else {
            return Err(EpochError::Refused(Refusal::NotClaimed));
        };
        if record.epoch == epoch && record.holder.run == *run {
            return if record.ended { Err(EpochError::Refused(Refusal::NotClaimed)) } else { Ok(record) };
        }
        if epoch > record.epoch {
            return Err(EpochError::Refused(Refusal::NotClaimed));
        }
        Err(stale(epoch, record))
    }

    /// Claims the host for `run`. The epoch must be higher than any before, or be the run's own again, so
    /// that a resumed run can ask twice. Answers whether anything was written.
    pub fn claim(&self, run: &RunId, epoch: Epoch, holder: &Holder) -> Result<bool, EpochError> {
        if holder.run != *run {
            return Err(EpochError::OtherRun { asked: run.clone(), named: holder.run.clone() });
        }
        let wanted = EpochRecord { epoch, holder: holder.clone(), ended: false };
        match self.file.read()? {
            Some(record) if record == wanted => return Ok(false),
            Some(record) if epoch > record.epoch => {}
            Some(record) if epoch == record.epoch && record.holder.run == *run => {}
            Some(record) => return Err(stale(epoch, record)),
            None => {}
        }
        self.write(&wanted)?;
        Ok(true)
    }

    /// Ends the claim of `run`; the epoch stays, so that the number is never used twice. Answers whether
    /// anything was written.
    pub fn unclaim(&self, run: &RunId, epoch: Epoch) -> Result<bool, EpochError> {
        match self.file.read()? {
            Some(record) if record.ended && record.epoch == epoch && record.holder.run == *run => Ok(false),
            _ => {
                let record = self.check(run, epoch)?;
                self.write(&EpochRecord { ended: true, ..record })?;
                Ok(true)
            }
        }
    }

    fn write(&self, record: &EpochRecord) -> Result<(), EpochError> {
        let bytes = serde_json::to_vec(record).map_err(io::Error::from)?;
        Ok(durable::write(&self.file.path, &bytes, 0o644)?)
    }
}

fn stale(yours: Epoch, now: EpochRecord) -> EpochError {
    EpochError::Refused(Refusal::StaleEpoch { yours: yours.0, now: Box::new(now) })
}

#[cfg(test)]
#[path = "epoch_tests.rs"]
mod tests;
