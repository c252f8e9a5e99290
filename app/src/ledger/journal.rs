//! The local journal: one file a run, one line an entry, on the disk before the act.
//!
//! A line is the chained digest of everything up to it, a space, and the entry as JSON. A last line that was
//! cut off by a crash is dropped: its act was never begun, because an append returns only when the line is
//! on the disk. A wrong line anywhere else is damage and is named.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use unship_core::journal::Entry;
use unship_core::release::{Digest, RunId};

use crate::ports::{Journal, JournalFailure, Journals};

/// The largest journal that is read. A run of a thousand steps writes less than a tenth of it.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How long to wait for another process's append, which takes a fraction of a millisecond.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// A folder with one file per run that has not been closed, and those that have in `ended/`.
#[derive(Debug, Clone)]
pub struct JournalFolder {
    folder: PathBuf,
}

impl JournalFolder {
    /// The journals in a folder, which is made if it is not there.
    pub fn open(folder: &Path) -> Result<JournalFolder, JournalFailure> {
        let failed = |error: std::io::Error| failure(folder, &error);
        fs_err::create_dir_all(folder.join("ended")).map_err(failed)?;
        Ok(JournalFolder { folder: folder.to_owned() })
    }

    /// Brings over the journals that were written elsewhere while this folder could not be.
    pub fn bring_over(&self, elsewhere: &Path) -> Result<(), JournalFailure> {
        if !elsewhere.is_dir() {
            return Ok(());
        }
        let failed = |error: std::io::Error| failure(elsewhere, &error);
        let there = JournalFolder { folder: elsewhere.to_owned() };
        for run in there.open_runs()? {
            let half = self.folder.join(format!("{run}.half"));
            fs_err::copy(there.path(&run), &half).map_err(failed)?;
            fs_err::rename(&half, self.path(&run)).map_err(failed)?;
            fs_err::remove_file(there.path(&run)).map_err(failed)?;
        }
        Ok(())
    }

    fn path(&self, run: &RunId) -> PathBuf {
        self.folder.join(format!("{run}.journal"))
    }
}

fn failure(place: &Path, why: &impl ToString) -> JournalFailure {
    JournalFailure { place: place.display().to_string(), why: why.to_string() }
}

impl Journals for JournalFolder {
    fn create(&self, run: &RunId) -> Result<Box<dyn Journal>, JournalFailure> {
        let path = self.path(run);
        let failed = |error: std::io::Error| failure(&path, &error);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed)?;
        // The file's name must survive a crash as well as its content.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Box::new(JournalFile { path, file, chain: first_link(), length: 0, broken: false }))
    }

    fn read(&self, run: &RunId) -> Result<Vec<Entry>, JournalFailure> {
        let path = self.path(run);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failure(&path, &error)),
        };
        Ok(whole_lines(&path, &file)?.0)
    }

    fn open(&self, run: &RunId) -> Result<(Box<dyn Journal>, Vec<Entry>), JournalFailure> {
        let path = self.path(run);
        let failed = |error: std::io::Error| failure(&path, &error);
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(failed)?;
        let locked = Locked::file(&path, &file)?;
        let (entries, chain, length) = whole_lines(&path, &file)?;
        // What follows the last whole line was never on the disk as far as the run knew.
        file.set_len(length).map_err(failed)?;
        drop(locked);
        Ok((Box::new(JournalFile { path, file, chain, length, broken: false }), entries))
    }

    fn open_runs(&self) -> Result<Vec<RunId>, JournalFailure> {
        let failed = |error: std::io::Error| failure(&self.folder, &error);
        let mut runs = Vec::new();
        for item in fs_err::read_dir(&self.folder).map_err(failed)? {
            let name = item.map_err(failed)?.file_name();
            let run = name.to_str().and_then(|name| name.strip_suffix(".journal"));
            runs.extend(run.and_then(|run| run.parse::<RunId>().ok()));
        }
        runs.sort();
        Ok(runs)
    }

    fn close(&self, run: &RunId) -> Result<(), JournalFailure> {
        let path = self.path(run);
        let aside = self.folder.join("ended").join(format!("{run}.journal"));
        match fs_err::rename(&path, aside) {
            // Another command closed it while it merged what the ledger lacked.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| failure(&path, &error)),
        }
    }
}

/// The digest of a line, given that of the line before; of the first line, [`first_link`].
pub(super) fn link(chain: &Digest, json: &str) -> Digest {
    Digest::of(format!("{chain} {json}").as_bytes())
}

/// What the first line is linked to.
pub(super) fn first_link() -> Digest {
    Digest::of(b"")
}

/// The entries, the last digest and the number of bytes that are whole lines.
fn read(bytes: &[u8]) -> Result<(Vec<Entry>, Digest, usize), String> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let text = bytes.get(..whole).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
    let mut chain = first_link();
    let mut entries: Vec<Entry> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let damaged = |what: &str| format!("line {} is damaged: {what}", index + 1);
        let (digest, json) = line.split_once(' ').ok_or_else(|| damaged("it has no digest"))?;
        chain = link(&chain, json);
        if digest != chain.to_string() {
            return Err(damaged("its digest does not fit its content and the lines before it"));
        }
        let entry: Entry = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        if entry.seq != index as u64 {
            return Err(damaged("it is out of order"));
        }
        entries.push(entry);
    }
    Ok((entries, chain, whole))
}

/// The entries of a file, the last digest and the number of bytes that are whole lines.
fn whole_lines(path: &Path, file: &File) -> Result<(Vec<Entry>, Digest, u64), JournalFailure> {
    let mut bytes = Vec::new();
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| failure(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failure(path, &format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let (entries, chain, length) = read(&bytes).map_err(|why| failure(path, &why))?;
    Ok((entries, chain, length as u64))
}

/// A lock on the file for the length of one append or one opening, so that a process that was thought dead
/// and one that goes on in its place cannot write into each other's lines.
struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    fn file(path: &Path, file: &'a File) -> Result<Locked<'a>, JournalFailure> {
        let until = Instant::now() + LOCK_WAIT;
        loop {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Locked(file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < until => {
                    std::thread::sleep(LOCK_RETRY);
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    return Err(failure(path, &"another process is writing it and does not go on"));
                }
                Err(error) => return Err(failure(path, &error)),
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file would let go of it as well.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

struct JournalFile {
    path: PathBuf,
    file: File,
    chain: Digest,
    /// The bytes that this process knows of. More of them are another process's.
    length: u64,
    /// An append failed half way: what follows it could not be read back, so nothing may follow it.
    broken: bool,
}

impl Journal for JournalFile {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFailure> {
        if self.broken {
            return Err(failure(&self.path, &"an earlier entry could not be written"));
        }
        let json = serde_json::to_string(entry).map_err(|error| failure(&self.path, &error))?;
        let chain = link(&self.chain, &json);
        let line = format!("{chain} {json}\n");
        let _locked = Locked::file(&self.path, &self.file)?;
        let length = self.file.metadata().map_err(|error| failure(&self.path, &error))?.len();
        if length != self.length {
            self.broken = true;
            return Err(failure(&self.path, &"another process has gone on with this run"));
        }
        let written = (&self.file).write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.broken = true;
            return Err(failure(&self.path, &error));
        }
        self.chain = chain;
        self.length += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
