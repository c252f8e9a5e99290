//! What a courier is: a pure function from a notice, and from what was answered so far, to the next thing to do.

use unship_core::aftercare::{Issue, Notice, Suspects};
use unship_core::time::Timestamp;

use super::mail::Mail;
use crate::ports::Method;

/// What is brought.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// The notice.
    pub notice: &'a Notice,
    /// What makes this delivery one, for receivers that know one twice.
    pub key: &'a str,
    /// It may have arrived before.
    pub may_repeat: bool,
    /// The commits that the bad release added.
    pub suspects: &'a Suspects,
}

impl Letter<'_> {
    /// The follow-up issue.
    pub fn issue(&self) -> Issue {
        Issue::of(self.notice, self.suspects, self.key, time_text)
    }

    /// The notice for programs.
    pub fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "key": self.key,
            "may_repeat": self.may_repeat,
            "text": unship_core::aftercare::message(self.notice, self.may_repeat),
            "notice": self.notice,
        })
    }
}

/// A point in time for people, in UTC to the second.
pub fn time_text(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What a courier does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask something; asking twice changes nothing.
    Look(Request),
    /// Send it: the one request that people notice.
    Act(Request),
    /// It is there.
    Delivered {
        /// Where it can be looked at.
        place: Option<String>,
    },
    /// It was not taken.
    Failed {
        /// Why.
        why: String,
        /// Whether to try again.
        retry: Retry,
    },
    /// It may have been taken.
    InDoubt {
        /// Why that is not known.
        why: String,
    },
}

/// Whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// With the usual waits.
    Later,
    /// Not before so long, as the receiver asked.
    After {
        /// In milliseconds.
        ms: u64,
    },
    /// Somebody has to mend something first.
    Never,
}

/// What can be done when it is not known whether a sending arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The receiver can be asked whether it has it.
    LookUp,
    /// The receiver knows the key and takes the second for the first.
    Key,
    /// Neither: it is sent once more at most, and says that it may repeat.
    AtMostOnce,
}

/// What a courier brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Notes: every notice.
    Note,
    /// Follow-up issues.
    Issue,
}

/// Brings notices to one place. It sends nothing: it says what to send.
pub trait Courier: Send + Sync {
    /// What it brings.
    fn role(&self) -> Role;
    /// What can be done when it is not known whether a sending arrived.
    fn repeat(&self) -> Repeat;
    /// What to do next, given the answers to all that was done before.
    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step;
}

/// Something to carry out. No secret is in it: the carrier puts those in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Over HTTP.
    Http(HttpRequest),
    /// By mail.
    Mail(Mail),
    /// Run a program with this on its standard input.
    Program {
        /// The program and its arguments.
        words: Vec<String>,
        /// Its standard input.
        input: Vec<u8>,
    },
    /// Add to a file, unless it is there.
    Append {
        /// The file; made if it is not there.
        path: std::path::PathBuf,
        /// What the file holds when this was added before.
        marker: String,
        /// What is added.
        text: String,
        /// When the file holds the first of these, the second is added in place of the text.
        instead: Option<(String, String)>,
    },
}

/// Where an HTTP request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Below this address.
    Plain(String),
    /// The address itself is the secret.
    Secret,
}

/// How an HTTP request shows that it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// It does not.
    None,
    /// A header that holds the token after these words.
    Header(&'static str, &'static str),
    /// A header that holds the HMAC-SHA256 of the body (RFC 2104) in hex, after `sha256=`.
    Signature(&'static str),
}

/// An HTTP request without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// What it does.
    pub method: Method,
    /// Where it goes.
    pub base: Base,
    /// Path and query, added to the base.
    pub path: String,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// How it shows that it may.
    pub auth: Auth,
    /// Its body.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Over HTTP.
    Http {
        /// The status.
        status: u16,
        /// How long the receiver wants to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
        /// The body.
        body: Vec<u8>,
    },
    /// It was done.
    Done,
}

/// What an answer over HTTP means for an act; nothing when the receiver took it.
pub fn refused(status: u16, retry_after_ms: Option<u64>) -> Option<Step> {
    let failed = |why: String, retry: Retry| Some(Step::Failed { why, retry });
    let later = retry_after_ms.map_or(Retry::Later, |ms| Retry::After { ms });
    match status {
        200..=299 => None,
        300..=399 => failed(
            format!("it answered {status}: the address leads elsewhere; write down where"),
            Retry::Never,
        ),
        // Somebody may put another token there at any time.
        401 | 403 => failed(format!("it answered {status}: the token may not do this"), later),
        // A gateway that got no answer cannot say what became of the request (RFC 9110, 15.6.3 and 15.6.5).
        502 | 504 => Some(Step::InDoubt { why: format!("a gateway answered {status}") }),
        408 | 425 | 429 | 500.. => failed(format!("it answered {status}"), later),
        _ => failed(format!("it answered {status}: it does not take this"), Retry::Never),
    }
}

/// The end of a delivery that is one request.
pub fn judged(answer: &Answer) -> Step {
    match answer {
        Answer::Http { status, retry_after_ms, .. } => {
            refused(*status, *retry_after_ms).unwrap_or(Step::Delivered { place: None })
        }
        Answer::Done => Step::Delivered { place: None },
    }
}
