use serde_json::json;

use crate::service::World;

#[test]
fn version_says_which_release_and_process_answers() {
    let world = World::migrated();
    let service = world.web(&[]);
    let answer = service.get("/version");
    let tag = world.say(&["version"]);
    assert_eq!(tag, format!("v{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(answer.json["service"], "shithubd");
    assert_eq!(answer.json["version"], tag);
    assert_eq!(answer.json["pid"], service.pid());
    assert_eq!(answer.json["instance"], service.pid().to_string());
}

#[test]
fn every_response_names_release_and_instance() {
    let world = World::migrated();
    let service = world.web(&[]);
    let pid = service.pid().to_string();
    for path in ["/healthz", "/metrics", "/nowhere", "/api/user", "/api/events/stream?seconds=0"] {
        let answer = service.get(path);
        assert_eq!(
            answer.header("server"),
            Some(format!("shithubd/v{}", env!("CARGO_PKG_VERSION")).as_str())
        );
        assert_eq!(answer.header("x-instance"), Some(pid.as_str()), "{path}");
    }
}

#[test]
fn a_repository_can_be_created_found_and_starred() {
    let world = World::migrated();
    let service = world.web(&[]);
    let ada = service.sign_up_with_repo("ada");
    let bob = service.sign_up("bob");
    assert!(world.path("repos/ada/project.git/HEAD").exists());

    assert_eq!(service.post("/api/repos", &ada, json!({"name": "project"})).status, 409);
    assert_eq!(service.get("/api/repos/ada/project").json["owner"], "ada");
    assert_eq!(service.get("/api/repos/ada/other").status, 404);
    assert_eq!(service.get("/api/repos/ada").json["repos"][0]["name"], "project");
    assert_eq!(service.get("/api/repos").json["repos"][0]["name"], "project");

    for _ in 0..2 {
        let answer = service.send("POST", "/api/repos/ada/project/star", Some(&bob), None);
        assert_eq!(answer.json, json!({"starred": true, "stars": 1}));
    }
    world.say(&["worker", "--once"]);
    assert_eq!(service.get("/api/repos/ada/project").json["star_count"], 1);
    let answer = service.send("DELETE", "/api/repos/ada/project/star", Some(&bob), None);
    assert_eq!(answer.json, json!({"starred": false, "stars": 0}));
}

#[test]
fn issues_are_numbered_read_closed_and_found() {
    let world = World::migrated();
    let service = world.web(&[]);
    let ada = service.sign_up_with_repo("ada");
    let bob = service.sign_up("bob");
    let eve = service.sign_up("eve");
    let issues = "/api/repos/ada/project/issues";

    for number in 1..=2 {
        let answer = service.post(issues, &bob, json!({"title": "A Leak", "body": "in the cellar"}));
        assert_eq!((answer.status, &answer.json["number"]), (201, &json!(number)));
    }
    let one = "/api/repos/ada/project/issues/1";
    assert_eq!(service.get(one).json["body"], "in the cellar");
    assert_eq!(service.get(one).json["state"], "open");
    assert_eq!(service.get(issues).json["issues"].as_array().unwrap().len(), 2);

    assert_eq!(service.send("PATCH", one, Some(&eve), Some(json!({"state": "closed"}))).status, 403);
    for token in [&ada, &bob] {
        let answer = service.send("PATCH", one, Some(token), Some(json!({"state": "closed"})));
        assert_eq!(answer.json["state"], "closed");
        let answer =
            service.send("PATCH", one, Some(token), Some(json!({"state": "open", "title": "Leaks"})));
        assert_eq!((&answer.json["state"], &answer.json["title"]), (&json!("open"), &json!("Leaks")));
    }

    world.say(&["worker", "--once"]);
    let found = service.get("/api/search/issues?q=LEAKS").json;
    assert_eq!(found["issues"][0]["number"], 1);
    assert_eq!(found["issues"].as_array().unwrap().len(), 1);
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let world = World::migrated();
    let service = world.web(&[]);
    let ada = service.sign_up_with_repo("ada");
    let refused = [
        ("/api/repos", json!({"name": "../../etc"}), 422),
        ("/api/repos", json!({"nme": "x"}), 422),
        ("/api/repos/ada/project/issues", json!({"title": " "}), 422),
        ("/api/repos/ada/project/issues", json!({"title": "x".repeat(301)}), 422),
        ("/api/repos/ada/project/issues", json!({"title": "x", "body": "x".repeat(70_000)}), 413),
        ("/api/tokens", json!({"expires_in": -1}), 422),
        ("/api/repos/ada/none/issues", json!({"title": "x"}), 404),
        ("/api/repos/ada/project/nothing", json!({}), 404),
        ("/version", json!({}), 405),
    ];
    for (path, body, status) in refused {
        let answer = service.post(path, &ada, body);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.json["error"]["message"].is_string(), "{path}: {}", answer.body);
    }
    for path in ["/slow?ms=10001", "/slow?ms=x", "/api/events/stream?seconds=26", "/api/repos/a/b/issues/x"] {
        assert!((400..500).contains(&service.get(path).status), "{path}");
    }
}

#[test]
fn a_stream_says_that_it_is_whole() {
    let world = World::migrated();
    let service = world.web(&[]);
    let body = service.get("/api/events/stream?seconds=1").body;
    assert_eq!(body.matches("event: tick\n").count(), 10);
    assert!(body.ends_with("event: end\ndata: {\"ticks\":10}\n\n"), "{body}");
}

#[test]
fn flags_follow_their_file() {
    let world = World::migrated();
    let service = world.web(&[]);
    assert_eq!(service.get("/api/flags").json, json!({"flags": {}}));
    world.set_flag("signup_open", false);
    assert_eq!(service.get("/api/flags").json, json!({"flags": {"signup_open": false}}));
    let answer = service.send("POST", "/api/users", None, Some(json!({"name": "late"})));
    assert_eq!(answer.status, 403);
}

#[test]
fn an_operator_can_do_without_the_api_and_twice() {
    let world = World::migrated();
    for _ in 0..2 {
        world.say(&["admin", "create-user", "load"]);
        world.say(&["admin", "create-repo", "load", "target"]);
    }
    let token = world.say(&["admin", "create-token", "load", "--expires-in", "60"]);
    let service = world.web(&[]);
    let answer = service.post("/api/repos/load/target/issues", &token, json!({"title": "x"}));
    assert_eq!(answer.status, 201);
    assert!(!world.run(&["admin", "create-user", "../x"]).status.success());
}

/// That it passes is checked where a release runs, after a deploy.
#[test]
fn the_smoke_check_names_what_fails() {
    let world = World::migrated();
    let service = world.web(&[]);
    let url = format!("http://{}", service.address);
    world.set_flag("signup_open", false);
    let output = world.run(&["smoke", "--url", &url]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a user can sign up: POST /api/users answered 403"), "{said}");
}

#[test]
fn metrics_count_what_was_asked() {
    let world = World::migrated();
    let service = world.web(&[]);
    assert_eq!(service.get("/nowhere").status, 404);
    let text = service.get("/metrics").body;
    assert!(text.contains("shithubd_requests_total{class=\"4xx\"} 1\n"), "{text}");
    assert!(text.contains("shithubd_jobs_waiting 0\n"), "{text}");
}
