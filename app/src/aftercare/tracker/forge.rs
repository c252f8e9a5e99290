//! What differs between the forges: paths, names of fields, how a token is shown.

use serde_json::{Value, json};
use unship_core::time::Timestamp;

use super::Listed;
use crate::aftercare::courier::Auth;

/// Which software keeps the issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forge {
    /// docs.github.com/rest/issues/issues, version 2022-11-28.
    GitHub,
    /// docs.gitlab.com/api/issues and /api/notes, version 4.
    GitLab,
    /// Forgejo's and Gitea's `/api/v1`, as an instance's `/swagger.v1.json` describes it.
    Forgejo,
}

impl Forge {
    pub(super) fn headers(self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("accept", "application/json".into())];
        if self == Forge::GitHub {
            headers.push(("x-github-api-version", "2022-11-28".into()));
        }
        headers
    }

    pub(super) fn auth(self) -> Auth {
        match self {
            Forge::GitHub => Auth::Header("authorization", "Bearer "),
            Forge::GitLab => Auth::Header("private-token", ""),
            Forge::Forgejo => Auth::Header("authorization", "token "),
        }
    }

    /// The path of the issues.
    pub(super) fn issues(self, project: &str) -> String {
        match self {
            Forge::GitHub | Forge::Forgejo => format!("/repos/{}/issues", path(project)),
            Forge::GitLab => format!("/projects/{}/issues", escaped(project)),
        }
    }

    /// Issues with the label. Forgejo wants a label's number to set it, so there the open ones are looked through.
    pub(super) fn labelled(self, project: &str, label: &str) -> String {
        let issues = self.issues(project);
        let label = escaped(label);
        match self {
            Forge::GitHub => {
                format!("{issues}?state=all&labels={label}&sort=updated&direction=desc&per_page=100")
            }
            Forge::GitLab => {
                format!("{issues}?labels={label}&order_by=updated_at&sort=desc&per_page=100")
            }
            Forge::Forgejo => format!("{issues}?state=open&type=issues&limit=50"),
        }
    }

    /// Issues since a point in time: whoever may not set labels has none on his issues.
    pub(super) fn recent(self, project: &str, since: Timestamp) -> String {
        let issues = self.issues(project);
        let since = moment(since);
        match self {
            Forge::GitHub => {
                format!("{issues}?state=all&since={since}&sort=created&direction=desc&per_page=100")
            }
            Forge::GitLab => {
                format!("{issues}?updated_after={since}&order_by=created_at&sort=desc&per_page=100")
            }
            Forge::Forgejo => format!("{issues}?state=all&type=issues&since={since}&limit=50"),
        }
    }

    /// The path of an issue's comments.
    pub(super) fn comments(self, project: &str, number: u64) -> String {
        let what = match self {
            Forge::GitHub | Forge::Forgejo => "comments",
            Forge::GitLab => "notes",
        };
        format!("{}/{number}/{what}", self.issues(project))
    }

    /// The newest comments of an issue, or all where the newest cannot be asked for.
    pub(super) fn newest_comments(self, project: &str, number: u64, since: Timestamp) -> String {
        let comments = self.comments(project, number);
        let since = moment(since);
        match self {
            Forge::GitHub => format!("{comments}?since={since}&per_page=100"),
            Forge::GitLab => format!("{comments}?sort=desc&per_page=100"),
            Forge::Forgejo => format!("{comments}?since={since}"),
        }
    }

    /// The body of a request that opens an issue.
    pub(super) fn new_issue(self, title: &str, body: &str, label: &str) -> Value {
        match self {
            Forge::GitHub => json!({ "title": title, "body": body, "labels": [label] }),
            Forge::GitLab => json!({ "title": title, "description": body, "labels": label }),
            Forge::Forgejo => json!({ "title": title, "body": body }),
        }
    }

    /// An issue as this forge writes it; none for what is no issue.
    pub(super) fn listed(self, value: &Value) -> Option<Listed> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        if value.get("pull_request").is_some_and(|pull| !pull.is_null()) {
            return None;
        }
        let (number, body) = match self {
            Forge::GitHub | Forge::Forgejo => ("number", "body"),
            Forge::GitLab => ("iid", "description"),
        };
        Some(Listed {
            number: value.get(number)?.as_u64()?,
            open: text("state").is_some_and(|state| state.starts_with("open")),
            text: text(body).unwrap_or_default().to_owned(),
            place: self.place(value),
        })
    }

    /// Where an issue can be looked at.
    pub(super) fn place(self, value: &Value) -> Option<String> {
        let name = match self {
            Forge::GitHub | Forge::Forgejo => "html_url",
            Forge::GitLab => "web_url",
        };
        let place = value.get(name).and_then(Value::as_str)?;
        (place.starts_with("https://") || place.starts_with("http://")).then(|| place.to_owned())
    }
}

/// A point in time as the three of them take it (RFC 3339).
fn moment(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    escaped(&at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Each part of a path, percent-encoded (RFC 3986, 2.1).
fn path(project: &str) -> String {
    project.split('/').map(escaped).collect::<Vec<_>>().join("/")
}

/// Everything that is not unreserved, percent-encoded (RFC 3986, 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
