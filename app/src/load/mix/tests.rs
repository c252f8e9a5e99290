use super::*;

fn mix(text: &str, variables: &[(&str, &str)]) -> Result<Mix, PlanError> {
    let plan: LoadPlan = toml::from_str(text).expect("reads");
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Mix::new(&plan, &variables)
}

fn host() -> HeaderValue {
    HeaderValue::from_static("127.0.0.1:1")
}

#[test]
fn weights_and_shares_are_exact_for_every_kind() {
    let mut mix = mix(
        "keep_alive_share = 0.5
         requests = [
           { name = 'list', path = '/', weight = 7 },
           { name = 'add', method = 'POST', path = '/', weight = 3 },
           { name = 'watch', path = '/', stream = true },
         ]",
        &[],
    )
    .expect("a good plan");
    let mut sent = [[0_u32; 2]; 3];
    for _ in 0..1_000 {
        let (index, keep_alive) = mix.next();
        sent[index][usize::from(keep_alive)] += 1;
    }
    assert_eq!(sent, [[350, 350], [150, 150], [0, 0]]);
}

#[test]
fn variables_are_filled_in_everywhere_and_json_stays_json() {
    let mix = mix(
        r"requests = [{
             name = 'add', method = 'POST', path = '/repos/{repo}/issues?n={n}',
             headers = { authorization = 'Bearer {token}' },
             body = { title = 'number {n}', by = '{who}', list = [1, '{repo}'] },
           }]",
        &[("repo", "a"), ("token", "t0k"), ("who", "quote\" and \\")],
    )
    .expect("a good plan");
    let request = mix.prepared()[0].request(7, &host(), true);
    assert_eq!(request.uri(), "/repos/a/issues?n=7");
    assert_eq!(request.headers()["authorization"], "Bearer t0k");
    assert_eq!(request.headers()["content-type"], "application/json");
    assert!(request.headers().get("connection").is_none());
    let body: serde_json::Value = serde_json::from_str(&number(&mix.prepared()[0].body, 7)).expect("JSON");
    assert_eq!(body, serde_json::json!({"title": "number 7", "by": "quote\" and \\", "list": [1, "a"]}));
    assert_eq!(mix.prepared()[0].request(7, &host(), false).headers()["connection"], "close");
}

#[test]
fn braces_that_name_nothing_stay_as_they_are() {
    for text in ["{}", r#"{"a":{}}"#, "{ x }", "{", "a{", "{A}", "}{", "{token"] {
        assert_eq!(fill(text, &Variables::new()).as_deref(), Ok(text));
    }
}

#[test]
fn a_value_never_printed_or_never_sendable_is_an_error_that_tells_no_secret() {
    let error = mix("requests = [{ name = 'x', path = '/{token}' }]", &[]).err().expect("refused");
    assert_eq!(
        error.to_string(),
        "load.requests, the one named `x`, uses `{token}`, which the set-up command did not print"
    );
    let error = mix(
        "requests = [{ name = 'x', path = '/', headers = { authorization = '{token}' } }]",
        &[("token", "secret\r\nx: y")],
    )
    .err()
    .expect("refused");
    assert_eq!(
        error.to_string(),
        "load.requests, the one named `x`, has a value for `authorization` that no header can carry"
    );
}
