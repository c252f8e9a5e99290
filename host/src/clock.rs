//! The host's clocks: wall time for records, a stopwatch for costs.

use std::io;
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

/// Microseconds of the clock that systemd calls monotonic.
pub(crate) fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (s, ns) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    s.saturating_mul(1_000_000).saturating_add(ns / 1_000)
}

/// When a process was started, in clock ticks since boot. With the pid and the boot it names a process for
/// good; an exec does not change it.
pub(crate) fn start_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything, so count from its end;
    // the start time is field 22 of proc(5), the twentieth after the name.
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    ticks.ok_or_else(|| io::Error::other(format!("`/proc/{pid}/stat` has no start time")))
}
