//! GitLab: the newest pipeline of the commit.
//!
//! `GET /projects/:id/pipelines?sha=...` and `GET /projects/:id/pipelines/:pipeline_id/jobs`, paged by the header
//! `x-next-page`: <https://docs.gitlab.com/api/pipelines/>, <https://docs.gitlab.com/api/jobs/>.

use async_trait::async_trait;
use serde::Deserialize;
use unship_core::ci::{CheckState, CiCheck, CiProof};
use unship_core::release::Tag;

use super::http::{Api, Dialect};
use super::{CHECKS_MAX, commit_id, failure};
use crate::ports::{CheckFailure, CiSource};

const PER_PAGE: usize = 100;

const DIALECT: Dialect =
    Dialect { header: "private-token", before: "", headers: &[("accept", "application/json")] };

/// A project on GitLab.
pub struct GitLabCi {
    /// The API, with its `/api/v4`.
    pub api: Api,
    /// The path of the project, or its number.
    pub repository: String,
    /// Checks without which nothing is green.
    pub required: Vec<String>,
}

#[derive(Deserialize)]
struct Pipeline {
    id: u64,
    sha: String,
    status: String,
}

#[derive(Deserialize)]
struct Job {
    name: String,
    status: String,
    #[serde(default)]
    allow_failure: bool,
}

#[async_trait]
impl CiSource for GitLabCi {
    fn name(&self) -> String {
        format!("GitLab, {}", self.repository)
    }

    fn required(&self) -> &[String] {
        &self.required
    }

    async fn ask(&self, commit: &str, _: &Tag) -> Result<CiProof, CheckFailure> {
        let asking = self.api.ask(&DIALECT)?;
        let project = format!("/projects/{}/pipelines", self.repository.replace('/', "%2F"));
        let newest = format!("{project}?sha={}&order_by=id&sort=desc&per_page=1", commit_id(commit)?);
        let pipelines = asking.get::<Vec<Pipeline>>(&newest).await?;
        let (pipelines, _) = pipelines.ok_or_else(|| CheckFailure {
            message: "GitLab does not know the project, or the token may not see it".into(),
            hint: Some("`repository` and `token_file` are in [ci.gitlab]".into()),
        })?;
        let Some(pipeline) = pipelines.into_iter().next() else {
            return Ok(CiProof { commit: commit.to_owned(), checks: Vec::new() });
        };
        // The pipeline's own word counts: a job that may fail, or one that was never started, is in it already.
        let mut checks = vec![CiCheck { name: "pipeline".into(), state: state(&pipeline.status) }];
        let mut page = "1".to_owned();
        while checks.len() <= CHECKS_MAX {
            let path = format!("{project}/{}/jobs?per_page={PER_PAGE}&page={page}", pipeline.id);
            let Some((jobs, answered)) = asking.get::<Vec<Job>>(&path).await? else { break };
            checks.extend(jobs.into_iter().map(|job| CiCheck {
                state: match state(&job.status) {
                    CheckState::Failed if job.allow_failure => CheckState::Skipped,
                    state => state,
                },
                name: job.name,
            }));
            match answered.header("x-next-page").filter(|next| next.parse::<u32>().is_ok()) {
                Some(next) => next.clone_into(&mut page),
                None => return Ok(CiProof { commit: pipeline.sha, checks }),
            }
        }
        Err(failure(format!("the pipeline has more than {CHECKS_MAX} jobs, or they cannot be read")))
    }
}

/// What a status of a pipeline or a job means. One that is new to this program has not passed.
fn state(status: &str) -> CheckState {
    match status {
        "success" => CheckState::Passed,
        "created"
        | "waiting_for_resource"
        | "preparing"
        | "pending"
        | "running"
        | "scheduled"
        | "waiting_for_callback"
        | "canceling" => CheckState::Running,
        // A job that somebody may start by hand decides nothing until it is.
        "skipped" | "manual" => CheckState::Skipped,
        _ => CheckState::Failed,
    }
}

#[cfg(test)]
mod tests;
