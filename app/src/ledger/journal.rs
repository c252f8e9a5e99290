//! The local journal: one file a run, one line an entry, on the disk before the act.
//!
//! A line is the chained digest of everything up to it, a space, and the entry as JSON. A last line that was
//! cut off by a crash is dropped: its act was never begun, because an append returns only when the line is
//! on the disk. A wrong line anywhere else is damage and is named.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err::os::unix::fs::OpenOptionsExt;
use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use unship_core::journal::Entry;
use unship_core::release::{Digest, RunId};

use super::local::private_folder;
use crate::ports::{Journal, JournalFailure, Journals};

/// The largest journal that is read. A run of a thousand steps writes less than a tenth of it.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How long to wait for another process's append, which takes a fraction of a millisecond.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// A folder with one file per run that has not been closed, and those that have in `ended/`. A second folder is
/// the reserve, for runs that must not fail because the first cannot be written.
#[derive(Debug, Clone)]
pub struct JournalFolder {
    /// Where journals are made, in the order in which it is tried.
    writable: Vec<PathBuf>,
    /// Where journals are looked for.
    places: Vec<PathBuf>,
}

impl JournalFolder {
    /// The journals in a folder, which is made if it is not there.
    pub fn open(folder: &Path) -> Result<JournalFolder, JournalFailure> {
        make_folder(folder).map_err(|error| failure(folder, &error))?;
        Ok(JournalFolder { writable: vec![folder.to_owned()], places: vec![folder.to_owned()] })
    }

    /// The journals in a folder and in its reserve. The reserve is written only with `break_glass`, and only
    /// when the folder cannot be.
    pub fn with_reserve(
        folder: &Path,
        reserve: &Path,
        break_glass: bool,
    ) -> Result<JournalFolder, JournalFailure> {
        let places = vec![folder.to_owned(), reserve.to_owned()];
        if !break_glass {
            return Ok(JournalFolder { places, ..JournalFolder::open(folder)? });
        }
        Ok(JournalFolder { writable: places.clone(), places })
    }

    /// Where the run's file is, or would be made first.
    fn path(&self, run: &RunId) -> PathBuf {
        let name = format!("{run}.journal");
        let mut paths = self.places.iter().map(|place| place.join(&name));
        paths
            .find(|path| path.exists())
            .unwrap_or_else(|| self.places.first().unwrap_or(&PathBuf::new()).join(&name))
    }
}

/// Journals name commands, hosts and what these said: they are for their owner alone.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    private_folder(&folder.join("ended"))
}

fn create_in(folder: &Path, name: &str) -> std::io::Result<(PathBuf, File)> {
    make_folder(folder)?;
    let path = folder.join(name);
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
    // The file's name must survive a crash as well as its content.
    File::open(folder)?.sync_all()?;
    Ok((path, file))
}

fn failure(place: &Path, why: &impl ToString) -> JournalFailure {
    JournalFailure { place: place.display().to_string(), why: why.to_string() }
}

impl Journals for JournalFolder {
    fn create(&self, run: &RunId) -> Result<Box<dyn Journal>, JournalFailure> {
        let name = format!("{run}.journal");
        let mut failed = None;
        for folder in &self.writable {
            match create_in(folder, &name) {
                Ok((path, file)) => {
                    let chain = first_link();
                    return Ok(Box::new(JournalFile { path, file, chain, length: 0, broken: false }));
                }
                Err(error) => failed = failed.or(Some(failure(&folder.join(&name), &error))),
            }
        }
        Err(failed.unwrap_or_else(|| failure(Path::new(&name), &"there is no place for it")))
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
        let mut runs = Vec::new();
        for (index, folder) in self.places.iter().enumerate() {
            let items = match fs_err::read_dir(folder) {
                Ok(items) => items,
                // The reserve is seldom there; with the glass broken the first place may be gone.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(_) if self.writable.len() > 1 && index == 0 => continue,
                Err(error) => return Err(failure(folder, &error)),
            };
            for item in items {
                let name = item.map_err(|error| failure(folder, &error))?.file_name();
                let run = name.to_str().and_then(|name| name.strip_suffix(".journal"));
                runs.extend(run.and_then(|run| run.parse::<RunId>().ok()));
            }
        }
        runs.sort();
        runs.dedup();
        Ok(runs)
    }

    fn close(&self, run: &RunId) -> Result<(), JournalFailure> {
        let path = self.path(run);
        let folder = path.parent().unwrap_or(Path::new("."));
        let aside = folder.join("ended").join(format!("{run}.journal"));
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
