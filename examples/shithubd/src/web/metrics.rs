//! Prometheus metrics, in the text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use crate::store::jobs;
use crate::version;

/// Upper bounds of the duration buckets, in milliseconds and as Prometheus writes them.
const BUCKETS: [(u64, &str); 8] = [
    (1, "0.001"),
    (5, "0.005"),
    (10, "0.01"),
    (50, "0.05"),
    (100, "0.1"),
    (500, "0.5"),
    (2_500, "2.5"),
    (10_000, "10"),
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Default)]
pub struct Metrics {
    by_class: [AtomicU64; CLASSES.len()],
    by_duration: [AtomicU64; BUCKETS.len()],
    requests: AtomicU64,
    micros: AtomicU64,
    issues: AtomicU64,
    stars: AtomicU64,
}

/// What was written through this instance since it started.
#[derive(Clone, Copy)]
pub struct Happened {
    pub issues: u64,
    pub stars: u64,
}

impl Metrics {
    pub fn issue_created(&self) {
        self.issues.fetch_add(1, Ordering::Relaxed);
    }

    pub fn star_given(&self) {
        self.stars.fetch_add(1, Ordering::Relaxed);
    }

    pub fn happened(&self) -> Happened {
        Happened { issues: self.issues.load(Ordering::Relaxed), stars: self.stars.load(Ordering::Relaxed) }
    }
}

/// Counts a request when its response begins; how long a body streams is not its duration.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    let took = begun.elapsed();
    let metrics = &app.metrics;
    let class = usize::from(response.status().as_u16() / 100).saturating_sub(1).min(CLASSES.len() - 1);
    metrics.by_class[class].fetch_add(1, Ordering::Relaxed);
    metrics.requests.fetch_add(1, Ordering::Relaxed);
    metrics.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    if let Some(bucket) = BUCKETS.iter().position(|(limit, _)| took.as_millis() < u128::from(*limit)) {
        metrics.by_duration[bucket].fetch_add(1, Ordering::Relaxed);
    }
    response
}

pub async fn show(State(app): State<App>) -> Response {
    let mut text = String::with_capacity(2048);
    // Writing to a String cannot fail.
    let _ = write(&mut text, &app);
    match jobs::count(&app.db).await {
        Ok(jobs) => {
            let _ = head(&mut text, "shithubd_jobs_waiting", "gauge", "Jobs in the queue.")
                .and_then(|()| writeln!(text, "shithubd_jobs_waiting {jobs}"));
        }
        // The other metrics are most wanted when the database is in trouble.
        Err(error) => tracing::warn!("metrics without the job count: {error}"),
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn write(text: &mut String, app: &App) -> std::fmt::Result {
    let metrics = &app.metrics;
    head(text, "shithubd_build_info", "gauge", "The release that runs.")?;
    writeln!(text, "shithubd_build_info{{version=\"{}\"}} 1", version::TAG)?;

    head(text, "shithubd_requests_total", "counter", "Requests by class of status.")?;
    for (class, count) in CLASSES.iter().zip(&metrics.by_class) {
        writeln!(text, "shithubd_requests_total{{class=\"{class}\"}} {}", count.load(Ordering::Relaxed))?;
    }

    let name = "shithubd_request_duration_seconds";
    head(text, name, "histogram", "Time until the response began.")?;
    let mut below = 0;
    for ((_, limit), count) in BUCKETS.iter().zip(&metrics.by_duration) {
        below += count.load(Ordering::Relaxed);
        writeln!(text, "{name}_bucket{{le=\"{limit}\"}} {below}")?;
    }
    let requests = metrics.requests.load(Ordering::Relaxed).max(below);
    let micros = metrics.micros.load(Ordering::Relaxed);
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {requests}")?;
    writeln!(text, "{name}_sum {}.{:06}", micros / 1_000_000, micros % 1_000_000)?;
    writeln!(text, "{name}_count {requests}")?;

    let happened = metrics.happened();
    for (name, kind, help, value) in [
        ("shithubd_issues_created_total", "counter", "Issues created here.", happened.issues),
        ("shithubd_stars_given_total", "counter", "Stars given here.", happened.stars),
        (
            "shithubd_connections_accepted_total",
            "counter",
            "Connections accepted.",
            app.connections.accepted.load(Ordering::Relaxed),
        ),
        (
            "shithubd_connections_open",
            "gauge",
            "Connections open.",
            app.connections.open.load(Ordering::Relaxed),
        ),
        ("shithubd_draining", "gauge", "1 after SIGTERM.", u64::from(app.stop.borrow().is_some())),
    ] {
        head(text, name, kind, help)?;
        writeln!(text, "{name} {value}")?;
    }
    Ok(())
}
