//! The host's clocks: wall time for records, a stopwatch for costs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use unship_core::time::Timestamp;

/// Wall time now.
pub(crate) fn now() -> Timestamp {
    timestamp_of(SystemTime::now())
}

/// A point of the file system's or the system's clock; 0 for anything before 1970.
pub(crate) fn timestamp_of(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Microseconds since `start`.
pub(crate) fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
