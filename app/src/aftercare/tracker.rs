//! Issues at GitHub, GitLab and Forgejo: one course for all of them, and what differs in a [`Forge`] each.
//!
//! Look among the issues with the label, then among those of the last days; whoever finds this very notice is done.
//! Where an issue about the same failure is open, look through its comments and add one; else open an issue.

mod forge;

pub use forge::Forge;

use serde_json::Value;

use super::courier::{Answer, Courier, HttpRequest, Letter, Repeat, Request, Retry, Role, Step, refused};
use crate::ports::Method;

/// How long before the run an issue about it can have been opened, in milliseconds: clocks differ.
const EARLIER_MS: i64 = 3_600_000;

/// Files issues.
#[derive(Debug, Clone)]
pub struct TrackerCourier {
    /// Which software.
    pub forge: Forge,
    /// The address of its API.
    pub base: String,
    /// Owner and name of the repository; for GitLab its path or number.
    pub project: String,
    /// The label of the issues.
    pub label: String,
}

/// An issue as a forge lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    number: u64,
    open: bool,
    text: String,
    place: Option<String>,
}

impl Courier for TrackerCourier {
    fn role(&self) -> Role {
        Role::Issue
    }

    fn repeat(&self) -> Repeat {
        Repeat::LookUp
    }

    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step {
        let issue = letter.issue();
        // What every look gave, in order.
        let mut known: Vec<Listed> = Vec::new();
        let since = unship_core::time::Timestamp(letter.notice.at.0 - EARLIER_MS);
        let looks =
            [self.forge.labelled(&self.project, &self.label), self.forge.recent(&self.project, since)];
        for (index, look) in looks.into_iter().enumerate() {
            match so_far.get(index) {
                None => return Step::Look(self.request(Method::Get, look, None)),
                Some(answer) => match self.listed(answer) {
                    Ok(listed) => known.extend(listed),
                    Err(step) => return step,
                },
            }
        }
        if let Some(there) = known.iter().find(|listed| listed.text.contains(&issue.marker)) {
            return Step::Delivered { place: there.place.clone() };
        }
        let rest = so_far.get(2..).unwrap_or_default();
        match known.iter().find(|listed| listed.open && listed.text.contains(&issue.failure_marker)) {
            Some(same) => {
                let path = self.forge.comments(&self.project, same.number);
                match rest {
                    [] => {
                        let path = self.forge.newest_comments(&self.project, same.number, since);
                        Step::Look(self.request(Method::Get, path, None))
                    }
                    [comments] => match TrackerCourier::comment_there(comments, &issue.marker) {
                        Err(step) => step,
                        Ok(true) => Step::Delivered { place: same.place.clone() },
                        Ok(false) => {
                            let body = serde_json::json!({ "body": issue.body });
                            Step::Act(self.request(Method::Post, path, Some(&body)))
                        }
                    },
                    [_, done, ..] => ended(done, same.place.clone()),
                }
            }
            None => match rest {
                [] => {
                    let body = self.forge.new_issue(&issue.title, &issue.body, &self.label);
                    Step::Act(self.request(Method::Post, self.forge.issues(&self.project), Some(&body)))
                }
                [done, ..] => {
                    let place = document(done).as_ref().and_then(|made| self.forge.place(made));
                    ended(done, place)
                }
            },
        }
    }
}

impl TrackerCourier {
    fn request(&self, method: Method, path: String, body: Option<&Value>) -> Request {
        let mut headers = self.forge.headers();
        if body.is_some() {
            headers.push(("content-type", "application/json".into()));
        }
        Request::Http(HttpRequest {
            method,
            base: super::courier::Base::Plain(self.base.clone()),
            path,
            headers,
            auth: self.forge.auth(),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        })
    }

    fn listed(&self, answer: &Answer) -> Result<Vec<Listed>, Step> {
        let list = looked_up(answer)?;
        Ok(list.iter().filter_map(|one| self.forge.listed(one)).collect())
    }

    fn comment_there(answer: &Answer, marker: &str) -> Result<bool, Step> {
        let list = looked_up(answer)?;
        let text =
            |one: &Value| one.get("body").and_then(Value::as_str).is_some_and(|text| text.contains(marker));
        Ok(list.iter().any(text))
    }
}

fn document(answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Http { body, .. } => serde_json::from_slice(body).ok(),
        Answer::Done => None,
    }
}

/// The list that a look gave. A look that fails means that nothing was sent.
fn looked_up(answer: &Answer) -> Result<Vec<Value>, Step> {
    if let Answer::Http { status, retry_after_ms, .. } = answer {
        match refused(*status, *retry_after_ms) {
            None => {}
            // Asking changes nothing, so there is no doubt about anything.
            Some(Step::InDoubt { why }) => return Err(Step::Failed { why, retry: Retry::Later }),
            Some(step) => return Err(step),
        }
    }
    match document(answer) {
        Some(Value::Array(list)) => Ok(list),
        _ => Err(Step::Failed { why: "it did not answer with a list of issues".into(), retry: Retry::Later }),
    }
}

fn ended(answer: &Answer, place: Option<String>) -> Step {
    match answer {
        Answer::Http { status, retry_after_ms, .. } => {
            refused(*status, *retry_after_ms).unwrap_or(Step::Delivered { place })
        }
        Answer::Done => Step::Delivered { place },
    }
}

#[cfg(test)]
mod tests;
