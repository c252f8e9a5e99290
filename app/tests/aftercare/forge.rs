//! A forge that keeps issues, in the shapes that the three document:
//! GitHub docs.github.com/rest/issues/issues and /rest/issues/comments; GitLab docs.gitlab.com/api/issues and
//! /api/notes; Forgejo /swagger.v1.json of an instance, operations issueListIssues, issueCreateIssue,
//! issueGetComments and issueCreateComment. GitHub's requests are checked against its own description in `github`.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use unship::aftercare::{Forge, TrackerCourier};

use super::receiver::{Receiver, lock};

/// Issues with their comments.
#[derive(Default)]
pub struct Kept {
    pub issues: Vec<(Value, Vec<Value>)>,
}

pub struct KeepingForge {
    pub receiver: Receiver,
    pub kept: Arc<Mutex<Kept>>,
    forge: Forge,
}

impl KeepingForge {
    pub fn new(forge: Forge) -> KeepingForge {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let shared = Arc::clone(&kept);
        let receiver = Receiver::new(Arc::new(move |got, stream| {
            let (status, body) = answer(forge, &mut lock(&shared), &got.line, &got.body);
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }));
        KeepingForge { receiver, kept, forge }
    }

    pub fn courier(&self) -> TrackerCourier {
        TrackerCourier {
            forge: self.forge,
            base: self.receiver.url.clone(),
            project: "owner/shithub".into(),
            label: "unship".into(),
        }
    }

    /// Issues and comments on them.
    pub fn counts(&self) -> (usize, usize) {
        let kept = lock(&self.kept);
        (kept.issues.len(), kept.issues.iter().map(|(_, comments)| comments.len()).sum())
    }

    pub fn close_all(&self) {
        for (issue, _) in &mut lock(&self.kept).issues {
            issue["state"] = "closed".into();
        }
    }
}

fn answer(forge: Forge, kept: &mut Kept, line: &str, body: &str) -> (&'static str, Value) {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let below = match forge {
        Forge::GitHub | Forge::Forgejo => path.strip_prefix("/repos/owner/shithub/issues"),
        Forge::GitLab => path.strip_prefix("/projects/owner%2Fshithub/issues"),
    };
    let Some(below) = below else { return ("404 Not Found", json!({ "message": "Not Found" })) };
    let sent: Value = serde_json::from_str(body).unwrap_or_default();
    let number =
        below.trim_start_matches('/').split('/').next().and_then(|number| number.parse::<usize>().ok());
    match (method, number) {
        ("GET", None) => ("200 OK", kept.issues.iter().map(|(issue, _)| issue.clone()).collect()),
        ("GET", Some(number)) => ("200 OK", Value::Array(kept.issues[number - 1].1.clone())),
        ("POST", Some(number)) => {
            kept.issues[number - 1].1.push(json!({ "id": 1, "body": sent["body"] }));
            ("201 Created", json!({ "id": 1 }))
        }
        _ => {
            let number = kept.issues.len() + 1;
            let place = format!("https://forge.example.org/{number}");
            let issue = match forge {
                Forge::GitHub | Forge::Forgejo => json!({
                    "number": number, "state": "open", "title": sent["title"], "body": sent["body"],
                    "html_url": place,
                }),
                Forge::GitLab => json!({
                    "iid": number, "state": "opened", "title": sent["title"], "description": sent["description"],
                    "web_url": place,
                }),
            };
            kept.issues.push((issue.clone(), Vec::new()));
            ("201 Created", issue)
        }
    }
}
