//! Accepting connections, and ending without losing one.
//!
//! After SIGTERM ([`Stop`] is set):
//! - nothing more is accepted, but whatever was accepted is served, read or not;
//! - requests and streams that are running finish;
//! - every response begun from then on says `Connection: close`, and its connection closes;
//! - an idle connection is not closed under a client that is about to use it: it stays open for
//!   `idle`, and a request that arrives by then is answered (with `Connection: close`);
//! - after `max` whatever is left is cut, and the exit status says so.
//!
//! The graceful shutdown that comes with the server library closes idle connections at once.
//! A request on its way to such a connection is lost, and a client cannot repeat a POST.

mod activity;
mod connection;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tower_service::Service;

/// After an error that is not one connection's own, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub idle: Duration,
    pub max: Duration,
}

/// Since when the process is asked to stop; `None` while it is not.
pub type Stop = Option<Instant>;

#[derive(Debug, Default)]
pub struct Counters {
    pub open: AtomicU64,
    pub accepted: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// No connection was left.
    Drained,
    /// The hard limit came first.
    Cut { connections: u64 },
}

pub struct Server {
    pub listener: TcpListener,
    /// Does somebody else hold this socket too, so that connections still queued in it are theirs?
    pub shared: bool,
    pub limits: Limits,
    pub counters: Arc<Counters>,
}

/// What answers requests: an axum router does.
pub trait Handler:
    Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Body>, Infallible>> + Send,
    > + Clone
    + Send
    + 'static
{
}

impl<T> Handler for T where
    T: Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Future<Output = Result<Response<Body>, Infallible>> + Send,
        > + Clone
        + Send
        + 'static
{
}

impl Server {
    /// Serves until `stop` is set and everything accepted by then has been served.
    pub async fn run<H: Handler>(self, handler: H, mut stop: watch::Receiver<Stop>) -> Ended {
        // Every connection holds a sender; the receiver ends when the last one is gone.
        let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
        let spawn = |stream: TcpStream| {
            self.counters.accepted.fetch_add(1, Ordering::Relaxed);
            let open = Open::new(self.counters.clone());
            let serving = connection::serve(stream, handler.clone(), stop.clone(), self.limits.idle);
            let alive = alive.clone();
            tokio::spawn(async move {
                serving.await;
                drop((open, alive));
            });
        };

        let mut stopping = stop.clone();
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(Option::is_some) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => spawn(stream),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!("cannot accept: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }

        if self.shared {
            // What is queued in the shared socket is accepted by whoever serves next.
            drop(self.listener);
        } else {
            // With the socket goes its queue: take out what clients believe to be connected.
            drain_queue(self.listener, spawn);
        }

        let since = stop.borrow_and_update().unwrap_or_else(Instant::now);
        drop(alive);
        tokio::select! {
            biased;
            _ = all_gone.recv() => Ended::Drained,
            () = tokio::time::sleep_until(since + self.limits.max) => {
                Ended::Cut { connections: self.counters.open.load(Ordering::Relaxed) }
            }
        }
    }
}

/// Takes every connection out of the accept queue, then closes the listener.
fn drain_queue(listener: TcpListener, spawn: impl Fn(TcpStream)) {
    let Ok(listener) = listener.into_std() else { return };
    // tokio's listeners do not block: the end of the queue is an error of kind WouldBlock.
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    spawn(stream);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Counts a connection as open for as long as it exists, however it ends.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
