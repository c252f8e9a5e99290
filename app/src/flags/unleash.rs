//! Flags on an Unleash server, through its admin API, in one project and one of the server's environments.
//!
//! What is asked: `GET /api/admin/projects/{project}/features`, `GET /api/admin/search/events` for who and when,
//! `POST /api/admin/projects/{project}/features/{feature}/environments/{environment}/on` and `.../off`, as the server
//! describes them at `/docs/openapi.json`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use unship_core::flags::{FlagName, FlagState, FlagValue};
use unship_core::time::Timestamp;

use super::{FLAGS_MAX, failure, name, time};
use crate::ports::{
    Acting, Answered, CheckFailure, FlagSource, HeaderText, Method, Outgoing, Secret, Sender,
};

/// The largest answer that is read: some kilobytes a flag.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How many of the newest events are looked at for who changed a flag; the server gives no more at once.
const EVENTS_MAX: usize = 1_000;

/// A server.
pub struct UnleashServer {
    /// Sends.
    pub sender: Arc<dyn Sender>,
    /// Where it is, without `/api`.
    pub url: String,
    /// A file with an admin token.
    pub token_file: PathBuf,
    /// The project.
    pub project: String,
    /// The server's environment.
    pub environment: String,
    /// How long one request may take, milliseconds.
    pub time_ms_max: u64,
}

#[derive(Deserialize)]
struct Features {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    name: String,
    #[serde(default)]
    environments: Vec<InEnvironment>,
}

#[derive(Deserialize)]
struct InEnvironment {
    name: String,
    enabled: bool,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    r#type: String,
    created_at: String,
    created_by: String,
    environment: Option<String>,
    feature_name: Option<String>,
}

/// Who turned a flag on or off last, and when.
type Changes = HashMap<String, (Option<Timestamp>, String)>;

impl UnleashServer {
    async fn ask(&self, method: Method, path: &str) -> Result<Answered, CheckFailure> {
        let token = fs_err::read_to_string(&self.token_file).map_err(|error| CheckFailure {
            message: format!("cannot read the token for Unleash: {error}"),
            hint: Some("`flags.unleash.token_file` names a file that holds it and nothing else".into()),
        })?;
        let url = format!("{}/api/admin{path}", self.url.trim_end_matches('/'));
        let request = Outgoing {
            method,
            url: Secret::new(&url),
            headers: vec![
                ("authorization", HeaderText::Secret(Secret::new(&token))),
                ("accept", HeaderText::Plain("application/json".into())),
            ],
            body: Vec::new(),
            time_ms_max: self.time_ms_max,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answered = self.sender.send(&request).await;
        let answered = answered.map_err(|error| failure(format!("Unleash does not answer: {error}")))?;
        match answered.status {
            200..=299 => Ok(answered),
            401 | 403 => Err(CheckFailure {
                message: format!("Unleash refuses the token ({})", answered.status),
                hint: Some(
                    "it must be an admin token, or a personal one that may update environments".into(),
                ),
            }),
            404 => Err(CheckFailure {
                message: format!("Unleash does not know `{path}`"),
                hint: Some("see `project` and `environment` in [flags.unleash]".into()),
            }),
            status => Err(failure(format!("Unleash answers {status}"))),
        }
    }

    fn project_path(&self) -> String {
        format!("/projects/{}/features", segment(&self.project))
    }

    /// Best effort: who changed a flag is good to know, and no reason to leave it on.
    async fn changes(&self) -> Changes {
        let path =
            format!("/search/events?project=IS%3A{}&offset=0&limit={EVENTS_MAX}", segment(&self.project));
        let Ok(answered) = self.ask(Method::Get, &path).await else { return Changes::new() };
        let Ok(Events { events }) = serde_json::from_slice(&answered.body) else { return Changes::new() };
        let mut changes = Changes::new();
        for event in events {
            let toggled = matches!(
                event.r#type.as_str(),
                "feature-environment-enabled" | "feature-environment-disabled"
            );
            let here = event.environment.as_deref() == Some(self.environment.as_str());
            if let (true, true, Some(feature)) = (toggled, here, event.feature_name) {
                let at = time(&event.created_at);
                let known = changes.entry(feature).or_insert((at, event.created_by.clone()));
                if known.0 < at {
                    *known = (at, event.created_by);
                }
            }
        }
        changes
    }
}

#[async_trait]
impl FlagSource for UnleashServer {
    fn name(&self) -> String {
        format!("Unleash, project {}, environment {}", self.project, self.environment)
    }

    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure> {
        let answered = self.ask(Method::Get, &self.project_path()).await?;
        let listed: Features = serde_json::from_slice(&answered.body)
            .map_err(|error| failure(format!("Unleash gives no list of flags: {error}")))?;
        if listed.features.len() > FLAGS_MAX {
            return Err(failure(format!("Unleash has more than {FLAGS_MAX} flags in one project")));
        }
        let mut changes = self.changes().await;
        let mut states = Vec::new();
        let mut seen = listed.features.is_empty();
        for feature in listed.features {
            let here = feature.environments.iter().find(|known| known.name == self.environment);
            seen |= here.is_some();
            let (changed_at, changed_by) = match changes.remove(&feature.name) {
                Some((at, by)) => (at, Some(by)),
                None => (None, None),
            };
            let value = FlagValue { on: here.is_some_and(|here| here.enabled), raw: None };
            states.push(FlagState { name: name(&feature.name)?, value, changed_at, changed_by });
        }
        if seen {
            return Ok(states);
        }
        Err(CheckFailure {
            message: format!("no flag of the project is in an environment `{}` of Unleash", self.environment),
            hint: Some("name the server's environment in `flags.unleash.environment`".into()),
        })
    }

    async fn set(&self, flag: &FlagName, to: &FlagValue, _: &Acting) -> Result<(), CheckFailure> {
        let state = if to.on { "on" } else { "off" };
        let (feature, environment) = (segment(flag.as_str()), segment(&self.environment));
        let path = format!("{}/{feature}/environments/{environment}/{state}", self.project_path());
        self.ask(Method::Post, &path).await.map(|_| ())
    }

    async fn install(&self, _: &str, _: Option<&str>, _: &Acting) -> Result<(), CheckFailure> {
        Err(failure("flags on an Unleash server are in no file"))
    }
}

/// A text as one segment of a path or one value of a query (RFC 3986, 2.3): nothing in it means anything.
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    // A dot alone is a step in a path, also when it is encoded.
    if encoded.bytes().all(|byte| byte == b'.') { encoded.replace('.', "%2E") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(segment("new_search"), "new_search");
        assert_eq!(segment("a/../b?c=d&e#f g"), "a%2F..%2Fb%3Fc%3Dd%26e%23f%20g");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
