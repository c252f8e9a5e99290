//! The latest ends of processes: what a panic loop is known by. One line each in `<runtime>/exits`, so that
//! a successor of a killed child runner knows them too.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use unship_core::protocol::InstanceExit;

/// The most that are remembered; the protocol's limit.
const EXITS_MAX: usize = 1_000;
/// When the file is written anew with only what is remembered.
const LINES_MAX: usize = 4 * EXITS_MAX;

#[derive(Debug)]
pub(super) struct Exits {
    path: PathBuf,
    latest: VecDeque<InstanceExit>,
    lines: usize,
}

impl Exits {
    /// Reads what a predecessor left. A line cut short by its end is left out.
    pub(super) fn open(runtime: &Path) -> io::Result<Exits> {
        let path = runtime.join("exits");
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut exits = Exits { path, latest: VecDeque::new(), lines: 0 };
        for exit in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            exits.remember(exit);
        }
        Ok(exits)
    }

    fn remember(&mut self, exit: InstanceExit) {
        if self.latest.len() == EXITS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(exit);
        self.lines += 1;
    }

    /// Adds one.
    pub(super) fn add(&mut self, exit: InstanceExit) -> io::Result<()> {
        self.remember(exit);
        if self.lines > LINES_MAX {
            let mut text = Vec::new();
            for exit in &self.latest {
                serde_json::to_writer(&mut text, exit)?;
                text.push(b'\n');
            }
            self.lines = self.latest.len();
            return crate::durable::write_volatile(&self.path, &text, 0o600);
        }
        let mut line = serde_json::to_vec(&self.latest.back())?;
        line.push(b'\n');
        fs_err::OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(&line)
    }

    /// The latest, oldest first.
    pub(super) fn latest(&self) -> Vec<InstanceExit> {
        self.latest.iter().cloned().collect()
    }
}
