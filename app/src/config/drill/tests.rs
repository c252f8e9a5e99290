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
    for good in ["restarts = 1", "status = 500", "status = 500, share = 1.0", "smoke_fails = true"] {
        assert!(seen(good).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("", "needs exactly one"),
        ("restarts = 1, status = 500", "needs exactly one"),
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
fn scenarios_have_names_of_their_own_and_two_releases() {
    let one = scenario("seen = { restarts = 3 }");
    assert_eq!(drill(&format!("{one}{one}")).expect_err("refused"), "two scenarios are named `s`");
    let same = one.replace("'v2'", "'v1'");
    assert_eq!(drill(&same).expect_err("refused"), "the scenario `s` takes v1 back to itself");
    assert!(drill("scenario = []").expect_err("refused").contains("at least one scenario"));
    assert!(drill(&one.replace("'v2'", "'../v2'")).expect_err("refused").contains("must not contain `..`"));
}
