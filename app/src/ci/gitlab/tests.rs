//! The shapes are those of GitLab's documentation: <https://docs.gitlab.com/api/pipelines/> ("List project pipelines")
//! and <https://docs.gitlab.com/api/jobs/> ("List pipeline jobs").

use serde_json::{Value, json};
use unship_core::ci::CiStanding;

use super::*;
use crate::ci::fake::{Fake, answered};

const COMMIT: &str = "a91957a858320c0e17f3a0eca7cfacbff50ea29a";

fn pipelines(status: &str) -> Value {
    json!([{"id": 47, "iid": 12, "project_id": 1, "status": status, "ref": "v1.0.0", "sha": COMMIT,
            "web_url": "https://example.org/foo/bar/pipelines/47"}])
}

fn job(name: &str, status: &str, allow_failure: bool) -> Value {
    json!({"id": 7, "name": name, "stage": "test", "status": status, "allow_failure": allow_failure})
}

async fn standing(fake: Fake) -> (Result<CiStanding, CheckFailure>, Vec<String>) {
    let (fake, api) = fake.api();
    let ci = GitLabCi { api, repository: "foo/bar".into(), required: Vec::new() };
    let proof = ci.ask(COMMIT, &"v1.0.0".parse().expect("a tag")).await;
    (proof.map(|proof| proof.standing(COMMIT, &[])), fake.asked())
}

#[tokio::test]
async fn the_newest_pipeline_and_all_pages_of_its_jobs_count() {
    let fake = Fake::default()
        .on("pipelines?sha=", answered(200, &[], &pipelines("success")))
        .on("/47/jobs", answered(200, &[("x-next-page", "2")], &json!([job("build", "success", false)])))
        .on("/47/jobs", answered(200, &[("x-next-page", "")], &json!([job("lint", "failed", true)])));
    let (found, asked) = standing(fake).await;
    assert_eq!(found, Ok(CiStanding::Green { passed: 2 }), "{asked:?}");
    assert!(asked[0].starts_with("/projects/foo%2Fbar/pipelines?sha="), "{asked:?}");
    assert!(asked[2].ends_with("&page=2"), "{asked:?}");
}

#[tokio::test]
async fn a_pipeline_that_failed_runs_or_never_was_is_not_green() {
    let of = |status: &str, jobs: Value| {
        Fake::default()
            .on("pipelines?sha=", answered(200, &[], &pipelines(status)))
            .on("/47/jobs", answered(200, &[], &jobs))
    };
    let (red, _) = standing(of("failed", json!([job("test", "failed", false)]))).await;
    assert_eq!(red, Ok(CiStanding::Red { failed: vec!["pipeline".into(), "test".into()] }));
    let (runs, _) = standing(of("running", json!([job("test", "success", false)]))).await;
    assert_eq!(runs, Ok(CiStanding::Running { running: vec!["pipeline".into()] }));
    let none = Fake::default().on("pipelines?sha=", answered(200, &[], &json!([])));
    assert_eq!(standing(none).await.0, Ok(CiStanding::NothingRan));
}
