//! Forgejo: the statuses of the commit, the newest of each context.
//!
//! `GET /repos/{owner}/{repo}/commits/{ref}/statuses`, newest first, as Forgejo describes it at `/swagger.v1.json`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::Deserialize;
use unship_core::ci::{CheckState, CiCheck, CiProof};
use unship_core::release::Tag;

use super::http::{Api, Dialect};
use super::{CHECKS_MAX, commit_id, failure};
use crate::ports::{CheckFailure, CiSource};

const PER_PAGE: usize = 50;

const DIALECT: Dialect =
    Dialect { header: "authorization", before: "token ", headers: &[("accept", "application/json")] };

/// A repository on Forgejo.
pub struct ForgejoCi {
    /// The API, with its `/api/v1`.
    pub api: Api,
    /// `owner/name`.
    pub repository: String,
    /// Checks without which nothing is green.
    pub required: Vec<String>,
}

#[derive(Deserialize)]
struct Status {
    context: String,
    status: String,
}

#[async_trait]
impl CiSource for ForgejoCi {
    fn name(&self) -> String {
        format!("Forgejo, {}", self.repository)
    }

    fn required(&self) -> &[String] {
        &self.required
    }

    async fn ask(&self, commit: &str, _: &Tag) -> Result<CiProof, CheckFailure> {
        let asking = self.api.ask(&DIALECT)?;
        let place = format!("/repos/{}/commits/{}/statuses", self.repository, commit_id(commit)?);
        let (mut checks, mut contexts, mut seen) = (Vec::new(), BTreeSet::new(), 0);
        for page in 1..=CHECKS_MAX / PER_PAGE {
            let path = format!("{place}?sort=recentupdate&limit={PER_PAGE}&page={page}");
            let answer = asking.get::<Vec<Status>>(&path).await?;
            let (statuses, answered) = answer.ok_or_else(|| CheckFailure {
                message: "Forgejo does not know the commit, or the token may not see it".into(),
                hint: Some("was it pushed? `repository` and `token_file` are in [ci.forgejo]".into()),
            })?;
            seen += statuses.len();
            let total = answered.header("x-total-count").and_then(|text| text.parse::<usize>().ok());
            // A server may give fewer a page than it was asked for.
            let last = statuses.is_empty() || total.is_some_and(|total| seen >= total);
            for status in statuses {
                if contexts.insert(status.context.clone()) {
                    checks.push(CiCheck { state: state(&status.status), name: status.context });
                }
            }
            if last {
                return Ok(CiProof { commit: commit.to_owned(), checks });
            }
        }
        Err(failure(format!("the commit has more than {CHECKS_MAX} statuses")))
    }
}

/// What a status means. One that is new to this program has not passed.
fn state(status: &str) -> CheckState {
    match status {
        "success" => CheckState::Passed,
        "pending" => CheckState::Running,
        "skipped" => CheckState::Skipped,
        // error, failure, warning
        _ => CheckState::Failed,
    }
}

#[cfg(test)]
mod tests;
