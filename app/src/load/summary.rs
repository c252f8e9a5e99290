//! Figures of a recording: percentiles, and the course of latency over time.

use serde::Serialize;

use super::attribution::Window;
use super::sample::{Recording, Sample};

/// Latencies of a group of requests, in microseconds from when they were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// One stretch of time in the course of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Requests that were due in it.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Latency of those that got a right answer and are not slow on purpose; `None` without any.
    pub latency: Option<Latency>,
}

/// Nearest-rank percentile of sorted values, `None` for none; `per_mille` 500 is the median.
pub fn percentile(sorted: &[u64], per_mille: usize) -> Option<u64> {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied()
}

impl Latency {
    /// Of these latencies, in any order.
    pub fn of(mut latencies_us: Vec<u64>) -> Option<Latency> {
        latencies_us.sort_unstable();
        Some(Latency {
            p50_us: percentile(&latencies_us, 500)?,
            p99_us: percentile(&latencies_us, 990)?,
            max_us: *latencies_us.last()?,
        })
    }
}

/// Latency of the samples that count for it: right answers to requests that are not slow on purpose.
pub fn latency<'a>(recording: &Recording, samples: impl Iterator<Item = &'a Sample>) -> Option<Latency> {
    Latency::of(samples.filter(|sample| counts(recording, sample)).map(Sample::latency_us).collect())
}

/// The course of the load over `window`, in `count` stretches of equal length by the time that requests
/// were due.
pub fn course(recording: &Recording, window: Window, count: usize) -> Vec<Bucket> {
    let mut latencies: Vec<Vec<u64>> = vec![Vec::new(); count];
    let mut buckets = vec![Bucket::default(); count];
    let length = (window.until_us.saturating_sub(window.from_us) + 1).max(1);
    for sample in &recording.samples {
        if !(window.from_us..=window.until_us).contains(&sample.scheduled_us) {
            continue;
        }
        let offset = u128::from(sample.scheduled_us - window.from_us);
        let Ok(index) = usize::try_from(offset * count as u128 / u128::from(length)) else { continue };
        let Some(bucket) = buckets.get_mut(index) else { continue };
        bucket.requests += 1;
        bucket.failed += u64::from(recording.failed(sample));
        if counts(recording, sample) {
            latencies[index].push(sample.latency_us());
        }
    }
    for (bucket, latencies) in buckets.iter_mut().zip(latencies) {
        bucket.latency = Latency::of(latencies);
    }
    buckets
}

fn counts(recording: &Recording, sample: &Sample) -> bool {
    let slow = recording.requests.get(usize::from(sample.request)).is_some_and(|kind| kind.slow);
    !slow && !recording.failed(sample)
}

#[cfg(test)]
mod tests;
