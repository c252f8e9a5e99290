//! How an instance's failure is told: what ended it, and the last it wrote.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use unship_core::protocol::{EXIT_STATUS_UNKNOWN, InstanceExit};

/// How much of a log is told.
const TAIL_BYTES: u64 = 4 << 10;
const TAIL_LINES: usize = 8;
/// The longest line that is told.
const LINE_CHARS_MAX: usize = 300;

/// `status 101`, `signal 9`, or that nobody saw.
pub(super) fn end_of(exit: &InstanceExit) -> String {
    match exit.status {
        EXIT_STATUS_UNKNOWN => "an unknown status (it was no child of this child runner)".to_owned(),
        status if status < 0 => format!("signal {}", status.unsigned_abs()),
        status => format!("status {status}"),
    }
}

/// The last that an instance wrote, and where the rest is.
pub(super) struct Log {
    place: String,
    lines: Vec<String>,
}

impl Log {
    /// The end of a file after `from`.
    pub(super) fn file(path: &Path, from: u64) -> Log {
        let mut bytes = Vec::new();
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = fs_err::File::open(path)?;
            let end = file.metadata()?.len();
            // A log that was cut is shorter than it was.
            let from = if from > end { 0 } else { from };
            file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
        Log { place: format!("`{}`", path.display()), lines: last_lines(&text) }
    }

    /// What systemd's unit wrote to the journal.
    pub(super) fn of_unit(unit: &str, text: &str) -> Log {
        Log { place: format!("`journalctl -u '{unit}'`"), lines: last_lines(text) }
    }

    /// The last line.
    pub(super) fn last(&self) -> Option<&String> {
        self.lines.last()
    }

    /// The hint that goes with a failed instance.
    pub(super) fn hint(&self) -> String {
        let mut hint = format!("its log is {}", self.place);
        if self.lines.is_empty() {
            hint.push_str("; it wrote nothing");
        } else {
            hint.push_str(", which ends with:");
            for line in &self.lines {
                hint.push_str("\n  ");
                hint.push_str(line);
            }
        }
        hint
    }
}

/// The last lines of a text, without control characters: they go to an operator's terminal.
fn last_lines(text: &str) -> Vec<String> {
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}
