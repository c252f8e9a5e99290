//! The shapes are those of GitHub's own OpenAPI description (`@octokit/openapi`, `api.github.com.json`:
//! `check-run`, `combined-commit-status`); `app/tests/aftercare/ci.rs` asks a server that validates against it.

use serde_json::{Value, json};
use unship_core::ci::CiStanding;

use super::*;
use crate::ci::fake::{Fake, answered};

const COMMIT: &str = "f26c51b7bd04212e5a08801f17d4b439f69f9ea3";

fn run(name: &str, status: &str, conclusion: Option<&str>) -> Value {
    json!({"name": name, "head_sha": COMMIT, "status": status, "conclusion": conclusion})
}

fn runs(total: usize, runs: &[Value]) -> Answered {
    answered(200, &[], &json!({"total_count": total, "check_runs": runs}))
}

fn statuses(states: &[(&str, &str)]) -> Answered {
    let statuses: Vec<Value> =
        states.iter().map(|(context, state)| json!({"context": context, "state": state})).collect();
    answered(200, &[], &json!({"sha": COMMIT, "total_count": statuses.len(), "statuses": statuses}))
}

use crate::ports::Answered;

async fn standing(fake: Fake) -> (Result<CiStanding, CheckFailure>, Vec<String>) {
    let (fake, api) = fake.api();
    let ci = GitHubCi { api, repository: "forge/shithub".into(), required: Vec::new() };
    let proof = ci.ask(COMMIT, &"v1.0.0".parse().expect("a tag")).await;
    (proof.map(|proof| proof.standing(COMMIT, &[])), fake.asked())
}

#[tokio::test]
async fn check_runs_and_statuses_both_count() {
    let green = run("build", "completed", Some("success"));
    let fake = || Fake::default().on("check-runs", runs(1, std::slice::from_ref(&green)));
    let (both, asked) = standing(fake().on("/status?", statuses(&[("ci/deploy", "success")]))).await;
    assert_eq!(both, Ok(CiStanding::Green { passed: 2 }));
    assert_eq!(
        asked[0],
        format!("/repos/forge/shithub/commits/{COMMIT}/check-runs?filter=latest&per_page=100&page=1")
    );
    let (red, _) = standing(fake().on("/status?", statuses(&[("ci/deploy", "error")]))).await;
    assert_eq!(red, Ok(CiStanding::Red { failed: vec!["ci/deploy".into()] }));
    let (waits, _) = standing(fake().on("/status?", statuses(&[("ci/deploy", "pending")]))).await;
    assert_eq!(waits, Ok(CiStanding::Running { running: vec!["ci/deploy".into()] }));
}

#[tokio::test]
async fn every_conclusion_has_its_meaning() {
    for (status, conclusion, expected) in [
        ("completed", Some("success"), CheckState::Passed),
        ("completed", Some("neutral"), CheckState::Skipped),
        ("completed", Some("skipped"), CheckState::Skipped),
        ("completed", Some("failure"), CheckState::Failed),
        ("completed", Some("cancelled"), CheckState::Failed),
        ("completed", Some("timed_out"), CheckState::Failed),
        ("completed", Some("action_required"), CheckState::Failed),
        ("completed", Some("startup_failure"), CheckState::Failed),
        ("completed", Some("stale"), CheckState::Failed),
        ("completed", Some("something new"), CheckState::Failed),
        ("completed", None, CheckState::Failed),
        ("queued", None, CheckState::Running),
        ("in_progress", None, CheckState::Running),
        ("waiting", None, CheckState::Running),
    ] {
        assert_eq!(run_state(status, conclusion), expected, "{status} {conclusion:?}");
    }
}

#[tokio::test]
async fn a_failure_on_the_second_page_is_found() {
    let page: Vec<Value> =
        (0..100).map(|n| run(&format!("check {n}"), "completed", Some("success"))).collect();
    let fake = Fake::default()
        .on("check-runs", runs(101, &page))
        .on("check-runs", runs(101, &[run("late", "completed", Some("failure"))]))
        .on("/status?", statuses(&[]));
    let (found, asked) = standing(fake).await;
    assert_eq!(found, Ok(CiStanding::Red { failed: vec!["late".into()] }));
    assert!(asked[1].ends_with("&page=2"), "{asked:?}");
}

#[tokio::test]
async fn checks_of_another_commit_are_no_proof() {
    let other = json!({"name": "build", "head_sha": "decaf", "status": "completed", "conclusion": "success"});
    let fake = Fake::default().on("check-runs", runs(1, &[other])).on("/status?", statuses(&[]));
    assert_eq!(standing(fake).await.0, Ok(CiStanding::OtherCommit { ran_on: "decaf".into() }));
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_shortly_and_then_said() {
    let limited = |after: &str| answered(429, &[("retry-after", after)], &json!({}));
    let green = runs(1, &[run("build", "completed", Some("success"))]);
    let fake =
        Fake::default().on("check-runs", limited("0")).on("check-runs", green).on("/status?", statuses(&[]));
    assert_eq!(standing(fake).await.0, Ok(CiStanding::Green { passed: 1 }));
    let (long, asked) = standing(Fake::default().on("check-runs", limited("3600"))).await;
    let error = long.expect_err("an hour is too long");
    assert!(error.message.contains("rate limit"), "{error}");
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn a_commit_that_is_not_known_is_a_failure_and_not_an_empty_list() {
    let fake = Fake::default().on("check-runs", answered(404, &[], &json!({})));
    assert!(standing(fake).await.0.is_err());
    let (fake, api) = Fake::default().api();
    let ci = GitHubCi { api, repository: "forge/shithub".into(), required: Vec::new() };
    let hostile = ci.ask("../../user", &"v1".parse().expect("a tag")).await;
    assert!(hostile.is_err() && fake.asked().is_empty());
}

/// The answers that travel with the reference service, as `history/make-ci-statuses` makes them.
#[tokio::test]
async fn the_reference_service_s_red_release_is_red_and_the_others_are_green() {
    let text = include_str!("../../../../examples/shithubd/history/ci-statuses.json");
    let all: Value = serde_json::from_str(text).expect("JSON");
    let commits = all["commits"].as_object().expect("commits");
    assert!(commits.len() > 5);
    for (commit, of) in commits {
        let fake = Fake::default()
            .on("check-runs", answered(200, &[], &of["check_runs"]))
            .on("/status?", answered(200, &[], &of["status"]));
        let (_, api) = fake.api();
        let ci = GitHubCi { api, repository: "forge/shithub".into(), required: Vec::new() };
        let proof = ci.ask(commit, &"v1".parse().expect("a tag")).await.expect("an answer");
        let expected = of["tag"] != "v1.2.0";
        assert_eq!(proof.standing(commit, &["test".into()]).is_green(), expected, "{}", of["tag"]);
    }
}
