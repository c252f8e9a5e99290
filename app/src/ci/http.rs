//! Asking an API page by page.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::failure;
use crate::ports::{Answered, CheckFailure, HeaderText, Method, Outgoing, Secret, Sender};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// How long a rate limit is waited for at most: a rollback does not wait for a full hour.
const RETRY_MS_MAX: u64 = 3_000;

/// How often a request is sent again: these only read.
const TRIES_MAX: usize = 3;

/// A forge's API.
pub struct Api {
    /// Sends.
    pub sender: Arc<dyn Sender>,
    /// Where it is, without a slash at its end.
    pub url: String,
    /// A file with a token.
    pub token_file: Option<PathBuf>,
    /// How long all requests about one commit may take, milliseconds.
    pub time_ms_max: u64,
}

/// How an API wants its token.
pub(super) struct Dialect {
    /// The header.
    pub header: &'static str,
    /// What stands before the token in it.
    pub before: &'static str,
    /// Headers that every request has.
    pub headers: &'static [(&'static str, &'static str)],
}

/// All requests about one commit, within one limit.
pub(super) struct Asking<'a> {
    api: &'a Api,
    dialect: &'a Dialect,
    until: Instant,
    token: Option<Secret>,
}

impl Api {
    /// Begins to ask; the time runs from here.
    pub(super) fn ask<'a>(&'a self, dialect: &'a Dialect) -> Result<Asking<'a>, CheckFailure> {
        let token = match &self.token_file {
            Some(file) => {
                let text = fs_err::read_to_string(file).map_err(|error| CheckFailure {
                    message: format!("cannot read the token for CI: {error}"),
                    hint: Some("`token_file` in [ci] names a file that holds it and nothing else".into()),
                })?;
                Some(Secret::new(&format!("{}{}", dialect.before, text.trim())))
            }
            None => None,
        };
        let until = Instant::now() + Duration::from_millis(self.time_ms_max);
        Ok(Asking { api: self, dialect, until, token })
    }
}

impl Asking<'_> {
    /// The answer to `GET path` with status 200; none for status 404.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<(T, Answered)>, CheckFailure> {
        for attempt in 1..=TRIES_MAX {
            let left = self.until.saturating_duration_since(Instant::now());
            let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            if left_ms == 0 {
                return Err(failure(format!("CI gave no answer within {} ms", self.api.time_ms_max)));
            }
            let answered = self.api.sender.send(&self.request(path, left_ms)).await;
            let answered = answered.map_err(|error| failure(format!("CI does not answer: {error}")))?;
            match answered.status {
                200 => {
                    let read = serde_json::from_slice(&answered.body);
                    let value =
                        read.map_err(|error| failure(format!("CI answers something else: {error}")))?;
                    return Ok(Some((value, answered)));
                }
                404 => return Ok(None),
                401 => {
                    return Err(CheckFailure {
                        message: "CI refuses the token (401)".into(),
                        hint: Some("see `token_file` in [ci]".into()),
                    });
                }
                status => {
                    let wait = wait_ms(&answered).filter(|ms| *ms < left_ms.min(RETRY_MS_MAX));
                    let Some(ms) = wait.filter(|_| attempt < TRIES_MAX) else {
                        return Err(refused(status, &answered));
                    };
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
            }
        }
        Err(failure("CI gave no answer"))
    }

    fn request(&self, path: &str, time_ms_max: u64) -> Outgoing {
        let plain =
            |(name, value): &(&'static str, &'static str)| (*name, HeaderText::Plain((*value).to_owned()));
        let mut headers: Vec<_> = self.dialect.headers.iter().map(plain).collect();
        headers
            .extend(self.token.iter().map(|token| (self.dialect.header, HeaderText::Secret(token.clone()))));
        Outgoing {
            method: Method::Get,
            url: Secret::new(&format!("{}{path}", self.api.url.trim_end_matches('/'))),
            headers,
            body: Vec::new(),
            time_ms_max,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }
}

/// How long to wait before asking again; none where asking again is no use.
fn wait_ms(answered: &Answered) -> Option<u64> {
    let named = answered.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    match answered.status {
        403 | 429 => named.map(|seconds| seconds.saturating_mul(1_000)),
        500 | 502 | 503 | 504 => Some(named.map_or(300, |seconds| seconds.saturating_mul(1_000))),
        _ => None,
    }
}

fn refused(status: u16, answered: &Answered) -> CheckFailure {
    let limited = status == 429 || answered.header("x-ratelimit-remaining") == Some("0");
    let hint = match (limited, status) {
        (true, _) => Some("a token has a higher rate limit: `token_file` in [ci]".into()),
        (false, 300..=399) => Some("it has moved: write its new address in `url` of [ci]".into()),
        (false, 403) => Some("the token in `token_file` of [ci] must be allowed to read checks".into()),
        _ => None,
    };
    let why = if limited { "its rate limit is used up" } else { "it refuses" };
    CheckFailure { message: format!("CI answers {status}: {why}"), hint }
}
