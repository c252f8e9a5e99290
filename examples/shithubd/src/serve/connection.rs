//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::activity::{Activity, Tracked, Watched};
use super::{Handler, Stop};
use crate::version;

/// How long a connection may take for its next request head, waiting for its first byte included.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// While a request runs, how often to look whether the connection has become idle.
const RECHECK: Duration = Duration::from_millis(50);

pub async fn serve<H: Handler>(
    stream: TcpStream,
    handler: H,
    mut stop: watch::Receiver<Stop>,
    idle: Duration,
) {
    // Small responses must not wait for more to send with them.
    let _ = stream.set_nodelay(true);
    let activity = Activity::new();
    let answering = service_fn({
        let (activity, stop) = (activity.clone(), stop.clone());
        move |request| answer(request, handler.clone(), activity.clone(), stop.clone())
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(Watched::new(TokioIo::new(stream), activity.clone()), answering);
    let mut connection = pin!(connection);

    tokio::select! {
        biased;
        ended = connection.as_mut() => return log(ended),
        _ = stop.wait_for(Option::is_some) => {}
    }
    let asked = stop.borrow().unwrap_or_else(tokio::time::Instant::now);
    loop {
        // From the last use or from the signal, whichever is later.
        let due = match activity.idle_since() {
            Some(since) => since.max(asked) + idle,
            None => tokio::time::Instant::now() + RECHECK,
        };
        tokio::select! {
            // The connection first: bytes that have arrived are read before it is taken for idle.
            biased;
            ended = connection.as_mut() => return log(ended),
            () = tokio::time::sleep_until(due) => {}
        }
        if activity.idle_since().is_some_and(|since| since.max(asked) + idle <= tokio::time::Instant::now()) {
            connection.as_mut().graceful_shutdown();
            return log(connection.await);
        }
    }
}

async fn answer<H: Handler>(
    request: Request<Incoming>,
    mut handler: H,
    activity: Activity,
    stop: watch::Receiver<Stop>,
) -> Result<Response<Tracked>, Infallible> {
    let running = activity.begin();
    poll_fn(|context| handler.poll_ready(context)).await?;
    let mut response = handler.call(request).await?;
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(version::SERVER));
    headers.insert("x-instance", HeaderValue::from(std::process::id()));
    // Looked at as late as possible: a request that began before the signal may end after it.
    if stop.borrow().is_some() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Tracked::new(body, running)))
}

/// Clients that go away are their own business; what they did is at most worth a debug line.
fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!("connection ended: {error}");
    }
}
