//! Sends what is due when it is due, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::exchange::{Answer, exchange, not_connected};
use super::mix::{Mix, Variables};
use super::plan::{LoadPlan, PlanError, STREAMS_MAX};
use super::pool::Pool;
use super::recorder::Recorder;
use super::sample::{Outcome, Recording, RequestKind, Sample, TransportKind};

/// A request sent later than this after it was due counts as late: this program was slow, not the service.
const LATE_AFTER: Duration = Duration::from_millis(50);
/// The shortest time between the ends of one stream and the next, so that a service that refuses streams
/// is not hammered.
const STREAM_PAUSE: Duration = Duration::from_millis(20);
/// How long streams may run on after the load was told to stop, so that one that is about to end is seen
/// to end well.
const STREAM_GRACE: Duration = Duration::from_secs(5);
/// Sockets and files that this program needs besides those of the load.
const OTHER_FILES: u64 = 128;

/// A running load. Dropping it stops it; [`Load::stop`] also hands out what it recorded.
pub struct Load {
    recorder: Arc<Recorder>,
    cancel: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// Why a load could not start or end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The thread or its runtime could not be made.
    #[error("the load could not be started: {source}")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// The process may not open enough sockets for the plan.
    #[error("the load needs {needed} open files and this process may have {limit}")]
    Files {
        /// What the plan needs.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The thread died; what it recorded cannot be trusted to be complete.
    #[error("the load stopped by itself")]
    Died,
}

/// What every task of a load shares.
struct Run {
    recorder: Arc<Recorder>,
    address: SocketAddr,
    host: HeaderValue,
    timeout: Duration,
    in_flight: AtomicUsize,
    in_flight_max: usize,
    pool: Mutex<Pool>,
}

/// One request that is due.
struct Due {
    index: usize,
    scheduled_us: u64,
    keep_alive: bool,
}

impl Load {
    /// Starts sending to `address`, with `variables` for the plan's `{name}`.
    pub fn start(plan: &LoadPlan, address: SocketAddr, variables: &Variables) -> Result<Load, LoadError> {
        plan.check()?;
        let mix = Mix::new(plan, variables)?;
        allow_files(plan)?;
        let thread_error = |source| LoadError::Thread { source };
        let host = HeaderValue::from_str(&address.to_string())
            .map_err(|error| thread_error(io::Error::other(error)))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread_error)?;

        let kinds = plan.requests.iter().map(|request| RequestKind {
            name: request.name.clone(),
            method: request.method.clone(),
            expect_status: request.expect_status,
            slow: request.slow || request.stream,
        });
        let recorder = Arc::new(Recorder::new(kinds.collect()));
        let run = Arc::new(Run {
            recorder: Arc::clone(&recorder),
            address,
            host,
            timeout: Duration::from_millis(plan.timeout_ms),
            in_flight: AtomicUsize::new(0),
            in_flight_max: plan.in_flight_max,
            pool: Mutex::new(Pool::new(&plan.think_ms, plan.in_flight_max)),
        });
        let cancel = CancellationToken::new();
        let (rate, stop) = (plan.rate_per_s, cancel.clone());
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || runtime.block_on(generate(run, mix, rate, stop)))
            .map_err(thread_error)?;
        Ok(Load { recorder, cancel, thread: Some(thread) })
    }

    /// Microseconds since the load began: the clock of its samples.
    pub fn now_us(&self) -> u64 {
        self.recorder.now_us()
    }

    /// A point in time on the same clock.
    pub fn us(&self, at: Instant) -> u64 {
        self.recorder.us(at)
    }

    /// A look at the samples that ended at `since_us` or later, in the order in which they ended.
    pub fn samples_since(&self, since_us: u64) -> Vec<Sample> {
        self.recorder.samples_since(since_us)
    }

    /// Sends nothing more, waits until what is in flight is answered or timed out, and hands out
    /// everything. Takes at most the plan's timeout or [`STREAM_GRACE`], whichever is longer.
    pub async fn stop(mut self) -> Result<Recording, LoadError> {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            if !joined.unwrap_or(false) {
                return Err(LoadError::Died);
            }
        }
        Ok(self.recorder.recording())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Raises this process's soft limit of open files to what the plan can need.
fn allow_files(plan: &LoadPlan) -> Result<(), LoadError> {
    // In flight, idle, streams.
    let needed = 2 * plan.in_flight_max as u64 + STREAMS_MAX as u64 + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(limit) = maximum.filter(|&maximum| maximum < needed) {
        return Err(LoadError::Files { needed, limit });
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| LoadError::Thread { source: error.into() })
}

async fn generate(run: Arc<Run>, mut mix: Mix, rate_per_s: u32, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let streams = TaskTracker::new();
    let mix_streams: Vec<usize> =
        (0..mix.prepared().len()).filter(|&index| mix.prepared()[index].stream).collect();
    // Requests are made here, once for all tasks; the mix stays with this loop.
    for index in mix_streams {
        let request = mix.prepared()[index].clone();
        streams.spawn(stream(Arc::clone(&run), request, index, stop.clone()));
    }

    let began = run.recorder.began();
    let due_at =
        |n: u64| began + Duration::from_nanos(n.saturating_mul(1_000_000_000) / u64::from(rate_per_s));
    let mut n = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(due_at(n).into()) => {}
        }
        let now = Instant::now();
        while due_at(n) <= now {
            let due_since = now.saturating_duration_since(due_at(n));
            if due_since > LATE_AFTER {
                run.recorder.late();
            }
            let (index, keep_alive) = mix.next();
            let due = Due { index, scheduled_us: run.recorder.us(due_at(n)), keep_alive };
            if run.in_flight.load(Ordering::Relaxed) >= run.in_flight_max {
                let at = run.recorder.now_us();
                run.record(&due, at, false, Answer::failed(TransportKind::Shed));
            } else {
                run.in_flight.fetch_add(1, Ordering::Relaxed);
                let request = mix.prepared()[index].request(n, &run.host, keep_alive);
                let run = Arc::clone(&run);
                tasks.spawn(async move {
                    run.send(due, request).await;
                    run.in_flight.fetch_sub(1, Ordering::Relaxed);
                });
            }
            n += 1;
        }
    }
    tasks.close();
    streams.close();
    // Every task ends by its own timeout; this wait has a limit all the same.
    let _ = timeout(run.timeout * 2, tasks.wait()).await;
    let _ = timeout(STREAM_GRACE * 2, streams.wait()).await;
}

impl Run {
    fn record(&self, due: &Due, start_us: u64, reused: bool, answer: Answer) {
        self.recorder.record(Sample {
            request: u16::try_from(due.index).unwrap_or(u16::MAX),
            scheduled_us: due.scheduled_us,
            start_us,
            end_us: self.recorder.now_us(),
            keep_alive: due.keep_alive,
            reused,
            outcome: answer.outcome,
            server: self.recorder.text(answer.server),
            instance: self.recorder.text(answer.instance),
            retry_after_s: answer.retry_after_s,
        });
    }

    /// One request of the mix, on an idle connection where its client keeps one.
    async fn send(&self, due: Due, request: hyper::Request<http_body_util::Full<hyper::body::Bytes>>) {
        let start_us = self.recorder.now_us();
        let idle = if due.keep_alive { self.pool().take(Instant::now()) } else { None };
        let reused = idle.is_some();
        let whole = async {
            let mut connection = match idle {
                Some(connection) => connection,
                None => match Connection::open(self.address).await {
                    Ok(connection) => connection,
                    Err(error) => return Answer::failed(not_connected(&error)),
                },
            };
            let answer = exchange(&mut connection, request, None).await;
            if due.keep_alive && !answer.closes {
                self.pool().put(connection, Instant::now());
            }
            answer
        };
        let answer =
            timeout(self.timeout, whole).await.unwrap_or_else(|_| Answer::failed(TransportKind::Timeout));
        self.record(&due, start_us, reused, answer);
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client that always has this stream open, until the load is told to stop.
async fn stream(run: Arc<Run>, prepared: super::mix::Prepared, index: usize, stop: CancellationToken) {
    let mut n = 0;
    while !stop.is_cancelled() {
        let start_us = run.recorder.now_us();
        let due = Due { index, scheduled_us: start_us, keep_alive: false };
        let request = prepared.request(n, &run.host, false);
        n += 1;
        let once = async {
            let opened = timeout(run.timeout, Connection::open(run.address)).await;
            match opened {
                Err(_) => Answer::failed(TransportKind::Timeout),
                Ok(Err(error)) => Answer::failed(not_connected(&error)),
                Ok(Ok(mut connection)) => exchange(&mut connection, request, Some(run.timeout)).await,
            }
        };
        let answer = tokio::select! {
            answer = once => answer,
            () = async { stop.cancelled().await; tokio::time::sleep(STREAM_GRACE).await } => {
                run.recorder.open_at_stop();
                return;
            }
        };
        let failed = matches!(answer.outcome, Outcome::Transport(_));
        run.record(&due, start_us, false, answer);
        // After a failure a person's browser would not ask again at once either.
        tokio::time::sleep(if failed { STREAM_PAUSE * 5 } else { STREAM_PAUSE }).await;
    }
}

#[cfg(test)]
mod tests;
