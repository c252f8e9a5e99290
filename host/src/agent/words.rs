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

/// The last lines of a log after `from`, without control characters: they go to an operator's terminal.
pub(super) fn last_lines(log: &Path, from: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs_err::File::open(log)?;
        let end = file.metadata()?.len();
        // A log that was cut is shorter than it was.
        let from = if from > end { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).take(LINE_CHARS_MAX).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

/// The hint that goes with a failed instance.
pub(super) fn log_hint(log: &Path, lines: &[String]) -> String {
    let mut hint = format!("its log is `{}`", log.display());
    if lines.is_empty() {
        hint.push_str("; it wrote nothing");
    } else {
        hint.push_str(", which ends with:");
        for line in lines {
            hint.push_str("\n  ");
            hint.push_str(line);
        }
    }
    hint
}
