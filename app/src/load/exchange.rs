//! One request on one connection: what was sent, what came back, and the name of what went wrong.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HeaderMap, RETRY_AFTER, SERVER};
use hyper::{Request, Response};
use tokio::time::timeout;

use super::connection::{Connection, OpenError};
use super::sample::{Outcome, TransportKind};

/// What came back.
pub struct Answer {
    /// What became of the request.
    pub outcome: Outcome,
    /// `Server`.
    pub server: Option<String>,
    /// `X-Instance`.
    pub instance: Option<String>,
    /// The seconds of `Retry-After`.
    pub retry_after_s: Option<u32>,
    /// Whether the service said, or showed, that the connection is over.
    pub closes: bool,
}

impl Answer {
    /// The answer of a request that got none.
    pub fn failed(kind: TransportKind) -> Answer {
        Answer {
            outcome: Outcome::Transport(kind),
            server: None,
            instance: None,
            retry_after_s: None,
            closes: true,
        }
    }
}

/// Sends a request and reads the whole answer, keeping none of the body. Never retries. A stream may take
/// as long as it likes, but not longer than `stream_gap_max` for its head or between two parts; other
/// requests are bounded as a whole by the caller.
pub async fn exchange(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    stream_gap_max: Option<Duration>,
) -> Answer {
    let gap_max = stream_gap_max.unwrap_or(Duration::MAX);
    let lost = |connection: &Connection, kind| {
        let (server, instance) = connection.peer.clone();
        Answer { server, instance, ..Answer::failed(kind) }
    };
    let response = match timeout(gap_max, connection.sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return lost(connection, before_answer(&error)),
        Err(_) => return lost(connection, TransportKind::Timeout),
    };
    let server = header(response.headers(), SERVER.as_str());
    let instance = header(response.headers(), "x-instance");
    let retry_after_s = header(response.headers(), RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
    connection.peer = (server.clone(), instance.clone());
    let closes = says_close(&response);
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let outcome = loop {
        match timeout(gap_max, body.frame()).await {
            Ok(Some(Ok(_))) => {}
            Ok(None) => break Outcome::Status(status),
            Ok(Some(Err(error))) => {
                break Outcome::Transport(within_answer(&error, stream_gap_max.is_some()));
            }
            Err(_) => break Outcome::Transport(TransportKind::Timeout),
        }
    };
    let closes = closes || matches!(outcome, Outcome::Transport(_));
    Answer { outcome, server, instance, retry_after_s, closes }
}

/// The kind of a connection that could not be had.
pub fn not_connected(error: &OpenError) -> TransportKind {
    match error {
        OpenError::Connect(error) if error.kind() == io::ErrorKind::ConnectionReset => TransportKind::Reset,
        OpenError::Connect(error) if error.kind() == io::ErrorKind::TimedOut => TransportKind::Timeout,
        OpenError::Connect(_) => TransportKind::Refused,
        OpenError::Handshake(error) => before_answer(error),
    }
}

fn before_answer(error: &hyper::Error) -> TransportKind {
    if is_reset(error) {
        TransportKind::Reset
    } else if error.is_parse() {
        TransportKind::Garbled
    } else {
        TransportKind::Eof
    }
}

fn within_answer(error: &hyper::Error, stream: bool) -> TransportKind {
    if stream {
        TransportKind::IncompleteStream
    } else if is_reset(error) {
        TransportKind::Reset
    } else {
        TransportKind::BadBody
    }
}

/// Whether an error comes from a reset connection, however deep hyper wrapped it.
fn is_reset(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
            );
        }
        source = inner.source();
    }
    false
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    // Longer ones are nobody's name, and would be kept for every request.
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= 200).map(str::to_owned)
}

fn says_close<B>(response: &Response<B>) -> bool {
    response.headers().get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("close")))
    })
}
