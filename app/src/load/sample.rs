//! What became of one request.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unship_core::time::Timestamp;

/// One request and what became of it. Times are microseconds since the load began, on the monotonic
/// clock; [`Recording::wall`] turns them into wall-clock time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which kind of request: an index into [`Recording::requests`].
    pub request: u16,
    /// When it was due.
    pub scheduled_us: u64,
    /// When it was sent, or when the connection was asked for.
    pub start_us: u64,
    /// When the last byte of the answer, or the failure, was seen.
    pub end_us: u64,
    /// Whether the client keeps its connection.
    pub keep_alive: bool,
    /// Whether the connection had carried a request before.
    pub reused: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// The `Server` header of the answer, or of the last one on the connection where this had none.
    pub server: Option<Arc<str>>,
    /// The `X-Instance` header, likewise: a connection is with one process for as long as it lasts.
    pub instance: Option<Arc<str>>,
    /// The seconds of its `Retry-After` header.
    pub retry_after_s: Option<u32>,
}

impl Sample {
    /// Microseconds from when it was due until it was over.
    pub fn latency_us(&self) -> u64 {
        self.end_us.saturating_sub(self.scheduled_us)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole answer with this status.
    Status(u16),
    /// No whole answer.
    Transport(TransportKind),
}

/// Why there was no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportKind {
    /// Nobody listened, or the address could not be reached.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection was closed before an answer began.
    Eof,
    /// The time was up.
    Timeout,
    /// The answer began and its body was cut short.
    BadBody,
    /// What came back was not HTTP.
    Garbled,
    /// A stream began and was cut short.
    IncompleteStream,
    /// It was due while as many as allowed were in flight, and was not sent.
    Shed,
}

impl TransportKind {
    /// Whether the other end dropped an accepted connection, as the end of a process does.
    pub fn is_connection_lost(self) -> bool {
        matches!(
            self,
            TransportKind::Reset
                | TransportKind::Eof
                | TransportKind::BadBody
                | TransportKind::IncompleteStream
        )
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TransportKind::Refused => "connection refused",
            TransportKind::Reset => "connection reset",
            TransportKind::Eof => "closed without an answer",
            TransportKind::Timeout => "timed out",
            TransportKind::BadBody => "answer cut short",
            TransportKind::Garbled => "not an HTTP answer",
            TransportKind::IncompleteStream => "stream cut short",
            TransportKind::Shed => "not sent, too many in flight",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Status(status) => write!(f, "status {status}"),
            Outcome::Transport(kind) => kind.fmt(f),
        }
    }
}

/// What is remembered of a kind of request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKind {
    /// Its name in the plan.
    pub name: String,
    /// Its method.
    pub method: String,
    /// The status of a right answer.
    pub expect_status: u16,
    /// Left out of the latency figures: slow on purpose, or a stream.
    pub slow: bool,
}

/// Everything that a load did.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The kinds of requests, in the order of the plan.
    pub requests: Vec<RequestKind>,
    /// Every request, in the order in which they ended.
    pub samples: Vec<Sample>,
    /// Requests that ended after the recorder was full. Not zero means: the counts are too low.
    pub unrecorded: u64,
    /// Requests that were sent more than 50 ms after they were due, because this program was late.
    pub late: u64,
    /// Streams that were still running well when the load was told to stop.
    pub open_at_stop: u64,
    /// The wall-clock time at which the load began, microseconds since the Unix epoch.
    pub began_wall_us: i64,
}

impl Recording {
    /// Whether a sample is a failure: no whole answer, or another status than the plan expects.
    pub fn failed(&self, sample: &Sample) -> bool {
        let expected = self.requests.get(usize::from(sample.request)).map(|kind| kind.expect_status);
        !matches!(sample.outcome, Outcome::Status(status) if Some(status) == expected)
    }

    /// The name of a kind of request.
    pub fn request_name(&self, request: u16) -> &str {
        self.requests.get(usize::from(request)).map_or("", |kind| &kind.name)
    }

    /// The wall-clock time of a time of this load.
    pub fn wall(&self, us: u64) -> Timestamp {
        let us = i64::try_from(us).unwrap_or(i64::MAX);
        Timestamp(self.began_wall_us.saturating_add(us) / 1_000)
    }

    /// The time of this load at a wall-clock time, negative before it began.
    pub fn load_us(&self, wall: Timestamp) -> i64 {
        wall.0.saturating_mul(1_000).saturating_sub(self.began_wall_us)
    }
}
