//! Watches one statement: is it taking too long, is it filling the disk?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Statements shorter than this are not looked at; nearly all are.
const GRACE: Duration = Duration::from_millis(300);
/// How often a long statement is looked at. A fast disk takes some 100 MB in that time.
const INTERVAL: Duration = Duration::from_millis(100);

/// Why a statement was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Time,
    Disk,
}

#[derive(Debug)]
pub(super) struct Guard {
    deadline: Instant,
    data: Option<PathBuf>,
    bytes_before: Option<u64>,
    bytes_max: u64,
}

impl Guard {
    pub fn new(deadline: Instant, data: Option<PathBuf>, bytes_max: u64) -> Self {
        Self { deadline, data, bytes_before: None, bytes_max }
    }

    /// Returns when the statement has to be stopped.
    pub async fn tripped(&mut self) -> Stop {
        tokio::time::sleep(GRACE.min(self.deadline.saturating_duration_since(Instant::now()))).await;
        loop {
            if Instant::now() >= self.deadline {
                return Stop::Time;
            }
            if let Some(data) = &self.data {
                let bytes = bytes_below(data);
                // What the first statements of a second wrote is little beside the limit.
                let before = *self.bytes_before.get_or_insert(bytes);
                if bytes.saturating_sub(before) > self.bytes_max {
                    return Stop::Disk;
                }
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            tokio::time::sleep(INTERVAL.min(left)).await;
        }
    }
}

/// Bytes in files below a directory. Files that vanish while we look count as nothing.
fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
