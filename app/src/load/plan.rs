//! What is sent, as data: the `load` table of `unship.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most requests a second that one thread is trusted to send on time.
pub const RATE_PER_S_MAX: u32 = 20_000;
/// The most requests that may be in flight at once.
pub const IN_FLIGHT_MAX: usize = 4_000;
/// The most streams that are held open.
pub const STREAMS_MAX: usize = 64;

/// The load on a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadPlan {
    /// Requests a second, evenly spaced, answered or not.
    pub rate_per_s: u32,
    /// The part of the requests whose client keeps its connection, 0 to 1; the others say
    /// `Connection: close`.
    pub keep_alive_share: f64,
    /// How long a keep-alive client leaves its connection idle between two requests, milliseconds; the
    /// clients take these values in turn. Short times find services that lose requests on shutdown.
    pub think_ms: Vec<u64>,
    /// How long a request may take, connecting and body included, before it counts as failed.
    pub timeout_ms: u64,
    /// How many requests may be in flight; one that is due while so many are is counted as `shed`, a
    /// failure, and not sent.
    pub in_flight_max: usize,
    /// The requests.
    pub requests: Vec<RequestPlan>,
}

impl Default for LoadPlan {
    fn default() -> LoadPlan {
        LoadPlan {
            rate_per_s: 200,
            keep_alive_share: 0.5,
            // The three at which field tests saw a service lose 186, 33 and 3 requests over 20 flips.
            think_ms: vec![0, 20, 200],
            timeout_ms: 10_000,
            in_flight_max: 400,
            requests: Vec::new(),
        }
    }
}

/// One kind of request. In `path`, `headers` and `body`, `{name}` stands for a value that the scenario's
/// set-up command printed, and `{n}` for a number that no other request has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestPlan {
    /// What the report calls it.
    pub name: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: Option<Body>,
    /// How often it is sent in relation to the others; not used for a stream.
    #[serde(default = "one")]
    pub weight: u32,
    /// The status of a right answer.
    #[serde(default = "ok")]
    pub expect_status: u16,
    /// Held open all the time by one client, which asks again as soon as an answer is complete; it does
    /// not count towards the rate.
    #[serde(default)]
    pub stream: bool,
    /// Takes long on purpose: counted like any other, but left out of the latency figures.
    #[serde(default)]
    pub slow: bool,
}

/// The body of a request: text as it stands, or a table that is sent as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Body {
    /// Sent as it stands.
    Text(String),
    /// Sent as JSON, with `content-type: application/json`.
    Json(serde_json::Value),
}

fn get() -> String {
    "GET".to_owned()
}

fn one() -> u32 {
    1
}

fn ok() -> u16 {
    200
}

/// What is wrong with a load plan; `at` says where, as a person would find it in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at} {rule}")]
pub struct PlanError {
    /// For example `load.rate_per_s`, or `load.requests, the one named "star",`.
    pub at: String,
    /// The rule that it breaks, to follow `at` in a sentence.
    pub rule: String,
}

impl LoadPlan {
    /// Checks what serde cannot: ranges, and that there is something to send.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |at: &str, rule: String| Err(PlanError { at: format!("load.{at}"), rule });
        if !(1..=RATE_PER_S_MAX).contains(&self.rate_per_s) {
            return wrong("rate_per_s", format!("must be from 1 to {RATE_PER_S_MAX}"));
        }
        if !(0.0..=1.0).contains(&self.keep_alive_share) {
            return wrong("keep_alive_share", "must be from 0 to 1".into());
        }
        if self.think_ms.is_empty() || self.think_ms.len() > 100 {
            return wrong("think_ms", "must have from 1 to 100 values".into());
        }
        if !(1..=600_000).contains(&self.timeout_ms) {
            return wrong("timeout_ms", "must be from 1 to 600000".into());
        }
        if !(1..=IN_FLIGHT_MAX).contains(&self.in_flight_max) {
            return wrong("in_flight_max", format!("must be from 1 to {IN_FLIGHT_MAX}"));
        }
        if self.requests.iter().filter(|request| request.stream).count() > STREAMS_MAX {
            return wrong("requests", format!("has more than {STREAMS_MAX} streams"));
        }
        if !self.requests.iter().any(|request| !request.stream && request.weight > 0) {
            return wrong(
                "requests",
                "has nothing to send: no request with a weight that is no stream".into(),
            );
        }
        for request in &self.requests {
            let wrong =
                |rule: &str| wrong(&format!("requests, the one named `{}`,", request.name), rule.to_owned());
            if !request.path.starts_with('/') {
                return wrong("must have a path that starts with `/`");
            }
            if !(100..=599).contains(&request.expect_status) {
                return wrong("must expect a status from 100 to 599");
            }
            if request.weight > 10_000 {
                return wrong("must have a weight of at most 10000");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
