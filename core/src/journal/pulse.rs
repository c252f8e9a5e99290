//! How the service answered while a run acted, seen from outside.

use serde::{Deserialize, Serialize};

use crate::release::HostName;

/// One question to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// When it was asked, in milliseconds since this process took up the run.
    pub at_ms: u64,
    /// How long the answer took, in microseconds; none when no good one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

/// The questions to one host, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// The host.
    pub host: HostName,
    /// What was asked of it.
    pub beats: Vec<Beat>,
}

impl Pulse {
    /// How many questions had no good answer.
    pub fn missed(&self) -> usize {
        self.beats.iter().filter(|beat| beat.took_us.is_none()).count()
    }

    /// The middle and the longest of the times that answers took, in microseconds; none without an answer.
    pub fn middle_and_longest_us(&self) -> Option<(u64, u64)> {
        let mut times: Vec<u64> = self.beats.iter().filter_map(|beat| beat.took_us).collect();
        times.sort_unstable();
        Some((*times.get(times.len() / 2)?, *times.last()?))
    }
}
