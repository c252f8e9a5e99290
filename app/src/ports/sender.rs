//! HTTP to others: one request, one answer. No redirect is followed, nothing is sent twice, and every part has a
//! limit; what an answer means is its caller's.

use async_trait::async_trait;

/// A secret text, for example a token. It prints as `[redacted]` and is in no error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret; blanks and line ends around it are no part of it.
    pub fn new(text: &str) -> Secret {
        Secret(text.trim().to_owned())
    }

    /// The text, for the one who sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Adds or acts.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// Anybody may read it.
    Plain(String),
    /// Nobody may read it.
    Secret(Secret),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// What it does.
    pub method: Method,
    /// Where it goes: `https://` or `http://`, host, path. A secret stands in a header, never here, unless the whole
    /// address is one.
    pub url: Secret,
    /// Its headers, besides those that every request has.
    pub headers: Vec<(&'static str, HeaderText)>,
    /// Its body; none is sent when it is empty.
    pub body: Vec<u8>,
    /// How long everything may take, from looking up the name to the end of the answer, in milliseconds.
    pub time_ms_max: u64,
    /// How many bytes of the answer's body are read at most; an answer with more is an error.
    pub answer_bytes_max: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The headers, with their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answered {
    /// The first header of that name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {why}")]
pub struct SendError {
    /// The host that was to answer, without path and credentials.
    pub host: String,
    /// Why; no part of a secret is in it.
    pub why: String,
    /// Whether the request may have reached the host all the same.
    pub may_have_arrived: bool,
}

/// Sends requests.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one request, once, and reads its answer, whatever its status.
    async fn send(&self, request: &Outgoing) -> Result<Answered, SendError>;
}
