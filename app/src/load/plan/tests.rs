use super::*;

fn plan(text: &str) -> LoadPlan {
    toml::from_str(text).expect("reads")
}

const MINIMAL: &str = "requests = [{ name = 'home', path = '/' }]";

#[test]
fn a_plan_needs_only_its_requests() {
    let plan = plan(MINIMAL);
    assert_eq!(plan.check(), Ok(()));
    assert_eq!((plan.rate_per_s, plan.think_ms.as_slice()), (200, &[0, 20, 200][..]));
    let request = &plan.requests[0];
    assert_eq!((request.method.as_str(), request.weight, request.expect_status), ("GET", 1, 200));
}

#[test]
fn what_cannot_be_sent_is_refused_by_name() {
    for (text, error) in [
        ("", "load.requests has nothing to send: no request with a weight that is no stream"),
        (
            "requests = [{ name = 's', path = '/', stream = true }]",
            "load.requests has nothing to send: no request with a weight that is no stream",
        ),
        ("rate_per_s = 0\nrequests = []", "load.rate_per_s must be from 1 to 20000"),
        ("keep_alive_share = 1.5\nrequests = []", "load.keep_alive_share must be from 0 to 1"),
        ("keep_alive_share = nan\nrequests = []", "load.keep_alive_share must be from 0 to 1"),
        ("think_ms = []\nrequests = []", "load.think_ms must have from 1 to 100 values"),
        ("timeout_ms = 0\nrequests = []", "load.timeout_ms must be from 1 to 600000"),
        ("in_flight_max = 0\nrequests = []", "load.in_flight_max must be from 1 to 4000"),
        (
            "requests = [{ name = 'x', path = 'http://elsewhere/' }]",
            "load.requests, the one named `x`, must have a path that starts with `/`",
        ),
        (
            "requests = [{ name = 'x', path = '/', expect_status = 42 }]",
            "load.requests, the one named `x`, must expect a status from 100 to 599",
        ),
    ] {
        assert_eq!(plan(text).check().expect_err(text).to_string(), error, "{text}");
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    let error = toml::from_str::<LoadPlan>("rate = 5").expect_err("refused").to_string();
    assert!(error.contains("unknown field `rate`"), "{error}");
}
