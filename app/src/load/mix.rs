//! The plan, made ready: variables filled in, and an order that keeps the weights without chance.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};

use super::plan::{Body, LoadPlan, PlanError, RequestPlan};

/// Values for `{name}`, as the set-up command printed them.
pub type Variables = BTreeMap<String, String>;

/// One kind of request, with everything filled in but `{n}`.
#[derive(Clone)]
pub struct Prepared {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
    numbered: bool,
    weight: i64,
    /// Held open by a client of its own.
    pub stream: bool,
}

impl Prepared {
    fn new(plan: &RequestPlan, variables: &Variables) -> Result<Prepared, PlanError> {
        let wrong =
            |rule: String| PlanError { at: format!("load.requests, the one named `{}`,", plan.name), rule };
        let fill = |text: &str| fill(text, variables).map_err(&wrong);
        let method = Method::from_bytes(plan.method.as_bytes())
            .map_err(|_| wrong(format!("has the method `{}`, which is none", plan.method)))?;
        let path = fill(&plan.path)?;
        number(&path, 0)
            .parse::<Uri>()
            .map_err(|error| wrong(format!("has the path `{path}`, which is none: {error}")))?;

        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("unship-load"));
        let body = match &plan.body {
            None => String::new(),
            Some(Body::Text(text)) => fill(text)?,
            Some(Body::Json(value)) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                fill_json(value, variables).map_err(&wrong)?.to_string()
            }
        };
        for (name, value) in &plan.headers {
            let name: HeaderName =
                name.parse().map_err(|_| wrong(format!("has the header name `{name}`, which is none")))?;
            // The value may hold a token: the message names the header only.
            let value = HeaderValue::from_str(&fill(value)?)
                .map_err(|_| wrong(format!("has a value for `{name}` that no header can carry")))?;
            headers.insert(name, value);
        }
        let numbered = path.contains("{n}") || body.contains("{n}");
        let weight = if plan.stream { 0 } else { i64::from(plan.weight) };
        Ok(Prepared { method, path, headers, body, numbered, weight, stream: plan.stream })
    }

    /// The request number `n` to `host`, which is what the `Host` header says.
    pub fn request(&self, n: u64, host: &HeaderValue, keep_alive: bool) -> Request<Full<Bytes>> {
        let (path, body) = if self.numbered {
            (number(&self.path, n), number(&self.body, n))
        } else {
            (self.path.clone(), self.body.clone())
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = self.method.clone();
        // Digits in the place of digits: what parsed with 0 parses with n.
        *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(HOST, host.clone());
        if !keep_alive {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        request
    }
}

/// Fills in every `{name}`. What looks like none (`{}`, `{"a":1}`) stays; a name without a value is an
/// error, except `n`, which is filled in for each request.
fn fill(text: &str, variables: &Variables) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        filled.push_str(before);
        let name = after[1..].split('}').next().filter(|name| {
            name.len() + 1 < after.len()
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        });
        match name {
            Some("n") => filled.push_str("{n}"),
            Some(name) => match variables.get(name) {
                Some(value) => filled.push_str(value),
                None => return Err(format!("uses `{{{name}}}`, which the set-up command did not print")),
            },
            None => {
                filled.push('{');
                rest = &after[1..];
                continue;
            }
        }
        rest = &after[name.map_or(0, str::len) + 2..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Fills in the strings of a JSON value, so that a value with a quote in it stays one string.
fn fill_json(value: &serde_json::Value, variables: &Variables) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Value::String(fill(text, variables)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill_json(item, variables)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, item)| Ok((key.clone(), fill_json(item, variables)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

fn number(text: &str, n: u64) -> String {
    text.replace("{n}", &n.to_string())
}

/// The next request to send, without chance: two runs of one plan send the same.
pub struct Mix {
    prepared: Vec<Prepared>,
    credit: Vec<i64>,
    keep_alive_credit: Vec<f64>,
    keep_alive_share: f64,
}

impl Mix {
    /// Fills in the plan's variables and checks that every request can be sent.
    pub fn new(plan: &LoadPlan, variables: &Variables) -> Result<Mix, PlanError> {
        let prepared = plan
            .requests
            .iter()
            .map(|request| Prepared::new(request, variables))
            .collect::<Result<Vec<_>, _>>()?;
        let count = prepared.len();
        Ok(Mix {
            prepared,
            credit: vec![0; count],
            keep_alive_credit: vec![0.0; count],
            keep_alive_share: plan.keep_alive_share,
        })
    }

    /// All kinds, in the order of the plan.
    pub fn prepared(&self) -> &[Prepared] {
        &self.prepared
    }

    /// The kind that is due next, by smooth weighted round robin, and whether its client keeps its
    /// connection. The share is kept for each kind by itself, so that no kind is always sent one way.
    pub fn next(&mut self) -> (usize, bool) {
        let total: i64 = self.prepared.iter().map(|prepared| prepared.weight).sum();
        for (credit, prepared) in self.credit.iter_mut().zip(&self.prepared) {
            *credit += prepared.weight;
        }
        let due = (0..self.credit.len())
            .filter(|&index| self.prepared[index].weight > 0)
            .max_by_key(|&index| (self.credit[index], std::cmp::Reverse(index)))
            .unwrap_or(0);
        self.credit[due] -= total;

        self.keep_alive_credit[due] += self.keep_alive_share;
        let keep_alive = self.keep_alive_credit[due] >= 1.0 - 1e-9;
        if keep_alive {
            self.keep_alive_credit[due] -= 1.0;
        }
        (due, keep_alive)
    }
}

#[cfg(test)]
mod tests;
