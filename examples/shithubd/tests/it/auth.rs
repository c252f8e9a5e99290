use serde_json::json;

use crate::service::World;

#[test]
fn an_expired_token_is_refused() {
    let world = World::migrated();
    let service = world.web(&[]);
    let ada = service.sign_up("ada");
    let issued = service.post("/api/tokens", &ada, json!({"expires_in": 0}));
    let expired = issued.json["token"].as_str().unwrap();
    let answer = service.send("GET", "/api/user", Some(expired), None);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(service.post("/api/repos", expired, json!({"name": "x"})).status, 401);
}

#[test]
fn a_token_works_until_it_expires() {
    let world = World::migrated();
    let service = world.web(&[]);
    let ada = service.sign_up("ada");
    let issued = service.post("/api/tokens", &ada, json!({"label": "ci", "expires_in": 60}));
    let token = issued.json["token"].as_str().unwrap();
    assert_eq!(service.send("GET", "/api/user", Some(token), None).json["name"], "ada");
}

#[test]
fn what_is_not_a_token_is_refused() {
    let world = World::migrated();
    let service = world.web(&[]);
    let ada = service.sign_up("ada");
    assert_eq!(service.get("/api/user").status, 401);
    for token in ["", "x", "shd_", &ada[..ada.len() - 1], &ada.to_uppercase()] {
        assert_eq!(service.send("GET", "/api/user", Some(token), None).status, 401, "{token:?}");
    }
}

#[test]
fn the_database_does_not_hold_the_token() {
    let world = World::migrated();
    let mut service = world.web(&["--drain-idle-ms", "0"]);
    let ada = service.sign_up("ada");
    service.signal("TERM");
    assert!(service.end(std::time::Duration::from_secs(5)).success());
    let database = std::fs::read(world.path("shithubd.db")).unwrap();
    assert!(!database.windows(ada.len()).any(|window| window == ada.as_bytes()));
}
