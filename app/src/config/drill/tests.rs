use super::*;

fn drill(more: &str) -> Result<Drill, String> {
    let text = format!("load = {{ requests = [{{ name = 'home', path = '/' }}] }}\n{more}");
    toml::from_str(&text).map_err(|error| error.message().to_owned())
}

fn scenario(more: &str) -> String {
    format!("[[scenario]]\nname = 's'\ngood = 'v1'\nbad = 'v2'\nmode = 'panic-loop'\n{more}\n")
}

#[test]
fn the_first_scenario_is_the_default() {
    let second = scenario("seen = { smoke_fails = true }").replace("'s'", "'t'");
    let drill = drill(&format!("{}{second}", scenario("seen = { restarts = 3 }"))).expect("reads");
    let found = |name| drill.scenarios.find(name).map(|table| table.name.clone());
    assert_eq!(found(None).as_deref(), Some("s"));
    assert_eq!(found(Some("t")).as_deref(), Some("t"));
    assert_eq!(found(Some("u")), None);
}

#[test]
fn a_failure_shows_in_exactly_one_way() {
    let seen = |text: &str| drill(&scenario(&format!("seen = {{ {text} }}")));
    for good in [
        "restarts = 1",
        "status = 500",
        "status = 500, share = 1.0",
        "smoke_fails = true",
        "check_fails = ['x']",
    ] {
        assert!(seen(good).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("", "needs exactly one"),
        ("restarts = 1, status = 500", "needs exactly one"),
        ("smoke_fails = true, check_fails = ['x']", "needs exactly one"),
        ("check_fails = []", "at least the name of a program"),
        ("restarts = 0", "more than 0"),
        ("restarts = 1, share = 0.5", "belongs to `status`"),
        ("status = 500, share = 0.0", "more than 0 and at most 1"),
        ("status = 500, share = 1.5", "more than 0 and at most 1"),
        ("status = 500, share = nan", "more than 0 and at most 1"),
        ("restart = 1", "unknown field `restart`"),
    ] {
        let error = seen(bad).expect_err(bad);
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn a_flag_mends_a_small_bug_that_can_be_seen_to_be_gone() {
    let flagged = |mode: &str, seen: &str| {
        let more = format!("flag = 'greeting'\nseen = {{ {seen} }}");
        drill(&scenario(&more).replace("panic-loop", mode))
    };
    assert!(flagged("small-bug", "status = 500").is_ok());
    let error = flagged("degraded", "status = 500").expect_err("refused");
    assert!(error.contains("needs `mode = \"small-bug\"`"), "{error}");
    let error = flagged("small-bug", "restarts = 1").expect_err("refused");
    assert!(error.contains("restarts cannot be seen to be gone"), "{error}");
}

#[test]
fn scenarios_have_names_of_their_own_and_two_releases() {
    let one = scenario("seen = { restarts = 3 }");
    assert_eq!(drill(&format!("{one}{one}")).expect_err("refused"), "two scenarios are named `s`");
    let same = one.replace("'v2'", "'v1'");
    assert_eq!(drill(&same).expect_err("refused"), "the scenario `s` takes v1 back to itself");
    assert!(drill("scenario = []").expect_err("refused").contains("at least one scenario"));
    assert!(drill(&one.replace("'v2'", "'../v2'")).expect_err("refused").contains("must not contain `..`"));
}

#[test]
fn a_scenario_goes_one_way() {
    let way = |text: &str| drill(&scenario(&format!("seen = {{ restarts = 3 }}\n{text}")));
    for good in ["", "down = true", "down = false", "hotfix = 'v2.1'", "hotfix = 'v2.1'\ndown = false"] {
        assert!(way(good).is_ok(), "{good}");
    }
    for (bad, why) in [
        (
            "hotfix = 'v2.1'\ndown = true",
            "the scenario `s` goes one way: by `flag`, by `hotfix` or with `down`",
        ),
        ("flag = 'f'\ndown = true", "the scenario `s` goes one way: by `flag`, by `hotfix` or with `down`"),
        ("hotfix = 'v2'", "the scenario `s` names v2 as the hotfix, which must be a release of its own"),
        ("hotfix = 'v1'", "the scenario `s` names v1 as the hotfix, which must be a release of its own"),
    ] {
        assert_eq!(way(bad).expect_err(bad), why, "{bad}");
    }
}

#[test]
fn users_write_and_are_compared_or_there_are_none() {
    let with = |users: &str| drill(&format!("{users}\n{}", scenario("seen = { restarts = 3 }")));
    assert!(with("").expect("reads").users.is_none());
    assert!(with("users = { write = ['w'], compare = ['c'] }").expect("reads").users.is_some());
    assert!(with("users = { write = ['w'] }").expect_err("refused").contains("missing field `compare`"));
}
