//! GitHub: check runs and commit statuses both count.
//!
//! `GET /repos/{owner}/{repo}/commits/{ref}/check-runs` (per page 100, newest of each name with `filter=latest`) and
//! `GET /repos/{owner}/{repo}/commits/{ref}/status`, as GitHub's OpenAPI description has them. A required check that
//! GitHub's own branch protection takes for passed may have ended `success`, `skipped` or `neutral`; here the last two
//! count as left out.

use async_trait::async_trait;
use serde::Deserialize;
use unship_core::ci::{CheckState, CiCheck, CiProof};
use unship_core::release::Tag;

use super::http::{Api, Asking, Dialect};
use super::{CHECKS_MAX, commit_id, failure};
use crate::ports::{CheckFailure, CiSource};

const PER_PAGE: usize = 100;

const DIALECT: Dialect = Dialect {
    header: "authorization",
    before: "Bearer ",
    headers: &[("accept", "application/json"), ("x-github-api-version", "2022-11-28")],
};

/// A repository on GitHub.
pub struct GitHubCi {
    /// The API.
    pub api: Api,
    /// `owner/name`.
    pub repository: String,
    /// Checks without which nothing is green.
    pub required: Vec<String>,
}

#[derive(Deserialize)]
struct CheckRuns {
    total_count: usize,
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    head_sha: String,
    status: String,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct Combined {
    sha: String,
    total_count: usize,
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    context: String,
    state: String,
}

#[async_trait]
impl CiSource for GitHubCi {
    fn name(&self) -> String {
        format!("GitHub, {}", self.repository)
    }

    fn required(&self) -> &[String] {
        &self.required
    }

    async fn ask(&self, commit: &str, _: &Tag) -> Result<CiProof, CheckFailure> {
        let place = format!("/repos/{}/commits/{}", self.repository, commit_id(commit)?);
        let asking = self.api.ask(&DIALECT)?;
        let mut checks = Vec::new();
        let mut ran_on = commit.to_owned();
        runs(&asking, &place, &mut checks, &mut ran_on).await?;
        statuses(&asking, &place, &mut checks, &mut ran_on).await?;
        Ok(CiProof { commit: ran_on, checks })
    }
}

async fn runs(
    asking: &Asking<'_>,
    place: &str,
    checks: &mut Vec<CiCheck>,
    ran_on: &mut String,
) -> Result<(), CheckFailure> {
    let mut seen = 0;
    for page in 1..=CHECKS_MAX / PER_PAGE {
        let path = format!("{place}/check-runs?filter=latest&per_page={PER_PAGE}&page={page}");
        let Some((answer, _)) = asking.get::<CheckRuns>(&path).await? else { return Err(unknown()) };
        seen += answer.check_runs.len();
        let last = answer.check_runs.is_empty() || seen >= answer.total_count;
        for run in answer.check_runs {
            if run.head_sha != *ran_on {
                ran_on.clone_from(&run.head_sha);
            }
            let state = run_state(&run.status, run.conclusion.as_deref());
            checks.push(CiCheck { name: run.name, state });
        }
        if last {
            return Ok(());
        }
    }
    Err(failure(format!("the commit has more than {CHECKS_MAX} checks")))
}

async fn statuses(
    asking: &Asking<'_>,
    place: &str,
    checks: &mut Vec<CiCheck>,
    ran_on: &mut String,
) -> Result<(), CheckFailure> {
    let mut seen = 0;
    for page in 1..=CHECKS_MAX / PER_PAGE {
        let path = format!("{place}/status?per_page={PER_PAGE}&page={page}");
        let Some((answer, _)) = asking.get::<Combined>(&path).await? else { return Err(unknown()) };
        seen += answer.statuses.len();
        let last = answer.statuses.is_empty() || seen >= answer.total_count;
        if answer.sha != *ran_on && !answer.statuses.is_empty() {
            ran_on.clone_from(&answer.sha);
        }
        checks.extend(answer.statuses.into_iter().map(|status| CiCheck {
            state: match status.state.as_str() {
                "success" => CheckState::Passed,
                "pending" => CheckState::Running,
                _ => CheckState::Failed,
            },
            name: status.context,
        }));
        if last {
            return Ok(());
        }
    }
    Err(failure(format!("the commit has more than {CHECKS_MAX} statuses")))
}

/// What a check run's status and conclusion mean. A conclusion that is new to this program has not passed.
fn run_state(status: &str, conclusion: Option<&str>) -> CheckState {
    match (status, conclusion) {
        ("completed", Some("success")) => CheckState::Passed,
        ("completed", Some("neutral" | "skipped")) => CheckState::Skipped,
        // failure, cancelled, timed_out, action_required, startup_failure, stale
        ("completed", _) => CheckState::Failed,
        // queued, in_progress, requested, waiting, pending
        _ => CheckState::Running,
    }
}

fn unknown() -> CheckFailure {
    CheckFailure {
        message: "GitHub does not know the commit, or the token may not see it".into(),
        hint: Some("was it pushed? `repository` and `token_file` are in [ci.github]".into()),
    }
}

#[cfg(test)]
mod tests;
