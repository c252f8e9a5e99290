//! Where samples go: one list with a limit, which others may look at while the load runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use super::sample::{Recording, RequestKind, Sample};

/// The most samples kept: more than an hour at 500 a second, about 170 MB.
pub const SAMPLES_MAX: usize = 2_000_000;
/// The most different header texts kept; a service that sends more gets none of the later ones recorded.
const TEXTS_MAX: usize = 10_000;

/// The samples of a running load.
pub struct Recorder {
    began: Instant,
    began_wall_us: i64,
    requests: Vec<RequestKind>,
    samples: Mutex<Vec<Sample>>,
    texts: Mutex<HashMap<String, Arc<str>>>,
    unrecorded: AtomicU64,
    late: AtomicU64,
    open_at_stop: AtomicU64,
}

impl Recorder {
    /// An empty recorder; the load's clock starts now.
    pub fn new(requests: Vec<RequestKind>) -> Recorder {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Recorder {
            began: Instant::now(),
            began_wall_us: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX),
            requests,
            samples: Mutex::new(Vec::with_capacity(65_536)),
            texts: Mutex::new(HashMap::new()),
            unrecorded: AtomicU64::new(0),
            late: AtomicU64::new(0),
            open_at_stop: AtomicU64::new(0),
        }
    }

    /// Microseconds since the load began.
    pub fn now_us(&self) -> u64 {
        self.us(Instant::now())
    }

    /// A point in time as microseconds since the load began.
    pub fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// When the load began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Keeps a sample, or counts it as unrecorded when the list is full.
    pub fn record(&self, sample: Sample) {
        let mut samples = lock(&self.samples);
        if samples.len() < SAMPLES_MAX {
            samples.push(sample);
        } else {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that this program sent too late.
    pub fn late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a stream that ran well until the load was stopped.
    pub fn open_at_stop(&self) {
        self.open_at_stop.fetch_add(1, Ordering::Relaxed);
    }

    /// One copy of a header's text, shared by all samples that carry it.
    pub fn text(&self, text: Option<String>) -> Option<Arc<str>> {
        let text = text?;
        let mut texts = lock(&self.texts);
        if let Some(known) = texts.get(&text) {
            return Some(Arc::clone(known));
        }
        if texts.len() >= TEXTS_MAX {
            return None;
        }
        let shared: Arc<str> = text.as_str().into();
        texts.insert(text, Arc::clone(&shared));
        Some(shared)
    }

    /// The samples that ended at `since_us` or later. They are added by one thread as they end, so the
    /// list is in that order.
    pub fn samples_since(&self, since_us: u64) -> Vec<Sample> {
        let samples = lock(&self.samples);
        samples[samples.partition_point(|sample| sample.end_us < since_us)..].to_vec()
    }

    /// Hands out everything; the recorder is empty afterwards.
    pub fn recording(&self) -> Recording {
        Recording {
            requests: self.requests.clone(),
            samples: std::mem::take(&mut *lock(&self.samples)),
            unrecorded: self.unrecorded.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            open_at_stop: self.open_at_stop.load(Ordering::Relaxed),
            began_wall_us: self.began_wall_us,
        }
    }
}

/// A panic elsewhere leaves a list of whole samples behind: it is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
