//! One line a rollback, at the end of a file.

use std::io::{Read, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use fs_err::OpenOptions;
use rustix::fs::{FlockOperation, flock};
use unship_core::aftercare::Notice;

use crate::ports::{Aftercare, CheckFailure};

/// How much of the end of the file is searched for a notice that was brought before: a run is told when it
/// ends, or by one of the next commands.
const SEARCHED_BYTES_MAX: u64 = 1 << 20;

/// A file for people to read.
#[derive(Debug, Clone)]
pub struct NoteFile {
    /// The file; made if it is not there.
    pub path: PathBuf,
}

impl NoteFile {
    fn add(&self, notice: &Notice) -> std::io::Result<()> {
        use std::io::Seek;
        if let Some(folder) = self.path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        // Two commands that merge the same run at once must not both find it missing.
        flock(&file, FlockOperation::LockExclusive)?;
        let start = file.metadata()?.len().saturating_sub(SEARCHED_BYTES_MAX);
        file.seek(std::io::SeekFrom::Start(start))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        let key = format!("run {}\n", notice.run);
        if end.windows(key.len()).any(|window| window == key.as_bytes()) {
            return Ok(());
        }
        let time = jiff::Timestamp::from_millisecond(notice.at.0).unwrap_or_default();
        let time = time.strftime("%Y-%m-%d %H:%M:%S UTC");
        // A line that an earlier write left half is ended first.
        let gap = if end.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
        file.write_all(format!("{gap}{time}  {}\n", notice.line()).as_bytes())?;
        file.sync_data()
    }
}

#[async_trait]
impl Aftercare for NoteFile {
    async fn tell(&self, notice: &Notice) -> Result<(), CheckFailure> {
        self.add(notice).map_err(|error| CheckFailure {
            message: format!("the note was not written: {error}"),
            hint: Some("it is written by the next command that can; see `aftercare.note_file`".into()),
        })
    }
}

#[cfg(test)]
mod tests;
