//! GitHub's requests against GitHub's own description of its API (`@octokit/openapi`), served by Prism, which answers
//! every request that does not fit the description with an error.

use serde_json::{Value, json};
use unship::aftercare::{
    Answer, Auth, Base, Carrier, Courier, Credentials, Forge, HttpRequest, Letter, Request, Step,
    TrackerCourier, WorldCarrier,
};
use unship::ports::{Method, Secret};
use unship::sender::HttpSender;
use unship_core::aftercare::{Commit, Suspects};

use super::parts::notice;
use super::servers::{prism, tool};

fn courier(base: &str) -> TrackerCourier {
    TrackerCourier {
        forge: Forge::GitHub,
        base: base.into(),
        project: "octocat/hello-world".into(),
        label: "unship".into(),
    }
}

fn carrier() -> WorldCarrier {
    let sender = HttpSender::new(None).expect("a sender");
    WorldCarrier { sender: std::sync::Arc::new(sender), certificates: None }
}

fn suspects() -> Suspects {
    let commit = Commit { id: "abc1234".into(), subject: "`x` @all #1".into(), author: "A".into() };
    Suspects::Yes { commits: vec![commit], more: 0 }
}

#[tokio::test]
async fn every_request_to_github_fits_its_own_description() {
    let Some((_server, base)) = prism() else { return };
    let (courier, carrier, suspects) = (courier(&base), carrier(), suspects());
    let credentials = Credentials { token: Some(Secret::new("ghp_example")), url: None };
    let notice = notice("20261123T031500-000-1");
    let letter = Letter { notice: &notice, key: "r.rollback.github", may_repeat: false, suspects: &suspects };
    let open = |text: &str| {
        let issue = serde_json::json!([{ "number": 1347, "state": "open", "body": text }]);
        Answer::Http { status: 200, retry_after_ms: None, body: issue.to_string().into_bytes() }
    };
    let list =
        |text: &str| Answer::Http { status: 200, retry_after_ms: None, body: text.as_bytes().to_vec() };
    let same = letter.issue().failure_marker;
    // Every place in the course at which a request is made: looks, a new issue, a comment.
    let courses: [(&str, Vec<Answer>); 5] = [
        ("labelled", vec![]),
        ("recent", vec![list("[]")]),
        ("new issue", vec![list("[]"), list("[]")]),
        ("comments", vec![open(&same), list("[]")]),
        ("comment", vec![open(&same), list("[]"), list("[]")]),
    ];
    for (name, so_far) in courses {
        let (request, expected) = match courier.step(&letter, &so_far) {
            Step::Look(request) => (request, 200),
            Step::Act(request) => (request, 201),
            other => panic!("{name}: {other:?}"),
        };
        match carrier.carry(&request, &credentials, 10_000).await {
            Ok(Answer::Http { status, body, .. }) => {
                assert_eq!(status, expected, "{name}: {}", String::from_utf8_lossy(&body));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    // The description's own examples are read: an issue with an address.
    let so_far = [list("[]"), list("[]")];
    let Step::Act(request) = courier.step(&letter, &so_far) else { panic!("an act") };
    let made = carrier.carry(&request, &credentials, 10_000).await.expect("an answer");
    let ended = courier.step(&letter, &[so_far[0].clone(), so_far[1].clone(), made]);
    assert!(matches!(ended, Step::Delivered { place: Some(_) }), "{ended:?}");
}

/// Whether a value fits a schema of the description, as far as requests need it: type, required, properties, oneOf.
/// Prism takes any body for a new issue, so that one is held against the description here.
fn fits(schema: &Value, value: &Value) -> bool {
    if let Some(some) = schema["oneOf"].as_array() {
        return some.iter().any(|one| fits(one, value));
    }
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("array") => {
            value.as_array().is_some_and(|all| all.iter().all(|one| fits(&schema["items"], one)))
        }
        Some("object") => value.as_object().is_some_and(|fields| {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut required = required.into_iter();
            required.all(|name| fields.contains_key(name))
                && fields.iter().all(|(name, field)| {
                    schema["properties"].get(name).is_some_and(|property| fits(property, field))
                })
        }),
        _ => false,
    }
}

#[test]
fn a_new_issue_fits_the_description() {
    let Some(description) = tool("prism", "prism/github.json") else { return };
    let text = fs_err::read_to_string(description).expect("reads");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    let post = &whole["paths"]["/repos/{owner}/{repo}/issues"]["post"];
    let schema = &post["requestBody"]["content"]["application/json"]["schema"];
    let (notice, suspects) = (notice("20261123T031500-000-1"), suspects());
    let letter = Letter { notice: &notice, key: "r.rollback.github", may_repeat: false, suspects: &suspects };
    let list = Answer::Http { status: 200, retry_after_ms: None, body: b"[]".to_vec() };
    let Step::Act(Request::Http(request)) = courier("http://x").step(&letter, &[list.clone(), list]) else {
        panic!("an act over HTTP")
    };
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert!(fits(schema, &body), "{body}");
    for wrong in
        [json!({ "titel": "x" }), json!({ "title": "x", "body": 7 }), json!({ "title": "x", "labels": "u" })]
    {
        assert!(!fits(schema, &wrong), "{wrong}");
    }
}

/// The stand-in does find what is wrong; without this the test above could not fail.
#[tokio::test]
async fn a_request_that_does_not_fit_is_refused() {
    let Some((_server, base)) = prism() else { return };
    for (path, body) in [
        ("/repos/octocat/hello-world/issues/7/comments", json!({ "text": "x" })),
        ("/repos/octocat/hello-world/issues/7/comments", json!({ "body": 7 })),
        ("/repos/octocat/hello-world/issues?state=some", Value::Null),
    ] {
        let request = HttpRequest {
            method: if body.is_null() { Method::Get } else { Method::Post },
            base: Base::Plain(base.clone()),
            path: path.into(),
            headers: vec![("content-type", "application/json".into())],
            auth: Auth::None,
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        };
        match carrier().carry(&Request::Http(request), &Credentials::default(), 10_000).await {
            Ok(Answer::Http { status, .. }) => assert_eq!(status, 422, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}
