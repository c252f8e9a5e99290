//! The shapes are those of Forgejo's own description (`/swagger.v1.json`, `CommitStatus` and `CommitStatusState`):
//! the state stands in the field `status`.

use serde_json::{Value, json};
use unship_core::ci::CiStanding;

use super::*;
use crate::ci::fake::{Fake, answered};

const COMMIT: &str = "a91957a858320c0e17f3a0eca7cfacbff50ea29a";

fn status(context: &str, state: &str) -> Value {
    json!({"id": 1, "context": context, "status": state, "description": "", "target_url": ""})
}

async fn standing(fake: Fake) -> Result<CiStanding, CheckFailure> {
    let (_, api) = fake.api();
    let ci = ForgejoCi { api, repository: "forge/shithub".into(), required: Vec::new() };
    let proof = ci.ask(COMMIT, &"v1.0.0".parse().expect("a tag")).await;
    proof.map(|proof| proof.standing(COMMIT, &[]))
}

#[tokio::test]
async fn of_each_context_the_newest_status_counts() {
    let list = json!([status("test", "success"), status("test", "failure"), status("lint", "success")]);
    let fake = Fake::default().on("/statuses?", answered(200, &[("x-total-count", "3")], &list));
    assert_eq!(standing(fake).await, Ok(CiStanding::Green { passed: 2 }));
}

#[tokio::test]
async fn warnings_errors_and_what_is_pending_are_not_green_and_pages_go_on() {
    for (state, green) in
        [("success", true), ("pending", false), ("error", false), ("failure", false), ("warning", false)]
    {
        let first = answered(200, &[("x-total-count", "2")], &json!([status("build", "success")]));
        let second = answered(200, &[("x-total-count", "2")], &json!([status("test", state)]));
        let fake = Fake::default().on("/statuses?", first).on("/statuses?", second);
        assert_eq!(standing(fake).await.expect("an answer").is_green(), green, "{state}");
    }
    let fake = Fake::default().on("/statuses?", answered(404, &[], &json!({})));
    assert!(standing(fake).await.is_err());
}
