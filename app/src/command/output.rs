//! What a command says: written by it into a file, so that it goes on unharmed when unship is gone, and read from
//! there for the terminal. Kept with the run, bounded, without secrets.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{FallocateFlags, fallocate};
use unship_core::release::{RunId, Tag};

use crate::plain::plain;
use crate::ports::Progress;
use crate::secrets::Secrets;

/// How much of an output is kept. One that grows beyond it loses its beginning.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// How much is left of one that grew beyond it.
const OUTPUT_BYTES_LEFT: u64 = 1 << 20;
/// How many outputs are kept.
const OUTPUTS_MAX: usize = 50;
/// The longest line on the terminal.
const LINE_CHARS_MAX: usize = 400;
/// How much is read in one look.
const LOOK_BYTES_MAX: u64 = 1 << 20;
/// The last lines that an error repeats.
const LAST_LINES: usize = 3;

/// The output of a command that runs.
pub struct Output {
    raw: PathBuf,
    read: u64,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
    last: Vec<String>,
    /// The beginning was let go.
    let_go: bool,
}

fn folder_of(folder: &Path) -> PathBuf {
    folder.join("output")
}

impl Output {
    /// A new file for the output of a run's command, with the end to give to it. Only its owner may read it: it may
    /// hold what is masked later.
    pub fn create(folder: &Path, run: &RunId, tag: &Tag) -> std::io::Result<(Output, File)> {
        let folder = folder_of(folder);
        fs_err::create_dir_all(&folder)?;
        let raw = folder.join(format!("{run}.{tag}.raw"));
        let mut options = fs_err::OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&raw)?;
        let read = file.metadata()?.len();
        Ok((Output { raw, read, begun: Vec::new(), last: Vec::new(), let_go: false }, file))
    }

    /// Where it is kept in the end.
    pub fn kept(&self) -> PathBuf {
        self.raw.with_extension("log")
    }

    /// Shows what was added since the last look, and lets go of the beginning of what grew too long.
    pub fn look(&mut self, secrets: &Secrets, progress: &dyn Progress) -> std::io::Result<()> {
        self.read_on(secrets, progress)?;
        if self.read <= OUTPUT_BYTES_MAX {
            return Ok(());
        }
        // The room is given back and the file keeps its length: cutting it would lose what is written in this moment.
        let file = fs_err::OpenOptions::new().write(true).open(&self.raw)?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, flags, 0, self.read - OUTPUT_BYTES_LEFT)?;
        if !self.let_go {
            self.let_go = true;
            progress.note("its output is longer than what is kept; the beginning is let go");
        }
        Ok(())
    }

    fn read_on(&mut self, secrets: &Secrets, progress: &dyn Progress) -> std::io::Result<()> {
        let mut file = fs_err::File::open(&self.raw)?;
        file.seek(SeekFrom::Start(self.read))?;
        // No more in one look than what was there when it began: a flood has no end.
        let mut there = file.metadata()?.len().saturating_sub(self.read);
        while there > 0 {
            let mut bytes = Vec::new();
            let count = Read::by_ref(&mut file).take(there.min(LOOK_BYTES_MAX)).read_to_end(&mut bytes)?;
            if count == 0 {
                break;
            }
            there -= count as u64;
            self.read += count as u64;
            self.begun.extend_from_slice(&bytes);
            self.show_lines(secrets, progress);
        }
        Ok(())
    }

    fn show_lines(&mut self, secrets: &Secrets, progress: &dyn Progress) {
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.show(&line, secrets, progress);
        }
        // A line without an end is shown in pieces, so that the buffer has one.
        if self.begun.len() as u64 > LOOK_BYTES_MAX {
            let line = std::mem::take(&mut self.begun);
            self.show(&line, secrets, progress);
        }
    }

    fn show(&mut self, line: &[u8], secrets: &Secrets, progress: &dyn Progress) {
        // Masked before it is cut: half a secret is one too.
        let line = secrets.redact(String::from_utf8_lossy(line).trim_end());
        let line = plain(&line.chars().take(LINE_CHARS_MAX).collect::<String>());
        if line.trim().is_empty() {
            return;
        }
        progress.said(&line);
        self.last.push(line);
        if self.last.len() > LAST_LINES {
            self.last.remove(0);
        }
    }

    /// The command has ended: shows the rest, and keeps all of it without secrets. The last lines.
    pub fn end(mut self, secrets: &Secrets, progress: &dyn Progress) -> std::io::Result<String> {
        self.read_on(secrets, progress)?;
        let rest = std::mem::take(&mut self.begun);
        self.show(&rest, secrets, progress);
        mask(&self.raw, secrets)?;
        if let Some(folder) = self.raw.parent() {
            prune(folder)?;
        }
        Ok(if self.last.is_empty() { "it said nothing".into() } else { self.last.join(" | ") })
    }
}

fn mask(raw: &Path, secrets: &Secrets) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut file = fs_err::File::open(raw)?;
    let length = file.metadata()?.len();
    // Of one that grew longer than that, the beginning may have been let go.
    let from = if length > OUTPUT_BYTES_MAX { length - OUTPUT_BYTES_LEFT } else { 0 };
    file.seek(SeekFrom::Start(from))?;
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = secrets.redact(&String::from_utf8_lossy(&bytes));
    let kept = raw.with_extension("log");
    let mut options = fs_err::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&kept)?;
    file.write_all(text.as_bytes())?;
    fs_err::remove_file(raw)
}

/// Outputs of commands whose unship was killed: nobody had masked them yet.
pub fn mask_left(folder: &Path, secrets: &Secrets) {
    let Ok(entries) = fs_err::read_dir(folder_of(folder)) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.path().extension().is_some_and(|extension| extension == "raw") {
            // What cannot be masked stays readable for its owner alone, and is tried again.
            let _ = mask(&entry.path(), secrets);
        }
    }
}

/// Names begin with the time, so the oldest come first.
fn prune(folder: &Path) -> std::io::Result<()> {
    let mut kept: Vec<PathBuf> = fs_err::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    kept.sort();
    let old = kept.len().saturating_sub(OUTPUTS_MAX);
    kept.drain(..old).try_for_each(fs_err::remove_file)
}
