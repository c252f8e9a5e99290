//! Back or forward: what is advised, and what a rollback does about it.

use super::site::{Site, settings};

const FLAGS: &str = "[flags.flagd]\nfile = \"flags.json\"";

fn site() -> Site {
    let site = Site::with(FLAGS);
    fs_err::write(site.path("tinyd/flags.json"), r#"{"flags": {"new_search": {"state": "ENABLED"}}}"#)
        .expect("writes");
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    site
}

#[test]
fn a_small_bug_behind_a_flag_is_no_reason_to_go_back_unless_somebody_says_why() {
    let site = site();
    settings().bind(|| {
        insta::assert_snapshot!("advise_unsure", site.says(&["advise"]));
        insta::assert_snapshot!("advise_auth", site.says(&["advise", "--mode", "auth-regression"]));
        let small = ["advise", "--mode", "small-bug", "--flag", "new_search"];
        insta::assert_snapshot!("advise_flag", site.says(&small));
        let unknown = ["advise", "--mode", "small-bug", "--flag", "old_search", "--hotfix-eta", "45m"];
        insta::assert_snapshot!("advise_unknown_flag", site.says(&unknown));
    });
    let back = ["rollback", "--mode", "small-bug", "--flag", "new_search", "--yes"];
    let refused = site.unship(&back);
    assert_eq!(refused.status, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("turn off the flag new_search"), "{}", refused.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.5.0"), "nothing was changed");
    let overruled = [back.as_slice(), &["--override", "the flag source is down"]].concat();
    let went = site.unship(&overruled);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    let log: serde_json::Value =
        serde_json::from_str(&site.unship(&["log", "--json"]).stdout).expect("one document");
    let run = log[0]["run"].as_str().expect("a run").to_owned();
    let entries: serde_json::Value =
        serde_json::from_str(&site.unship(&["show", &run, "--json"]).stdout).expect("one document");
    let decided = &entries[0]["decided"];
    assert_eq!(decided["overruled"]["reason"], "the flag source is down");
    assert_eq!(decided["decision"]["act"], "flag_off");
    assert_eq!(decided["facts"]["mode"], "small-bug");
}

#[test]
fn a_hotfix_is_weighed_against_the_time_that_going_back_took_here() {
    let site = site();
    let act = |words: &[&str]| {
        let words = [&["advise", "--json", "--mode", "degraded"], words].concat();
        let said = site.unship(&words);
        let advice: serde_json::Value = serde_json::from_str(&said.stdout).expect("one document");
        (advice["decision"]["act"].clone(), advice["facts"]["ceremony"].clone())
    };
    let (decided, ceremony) = act(&["--hotfix-eta", "0s"]);
    assert_eq!((&decided, &ceremony["state"]), (&"code_back".into(), &"not_known".into()));
    // A rehearsal is better than nothing, and is called one.
    let state = site.path("state/unship/tinyd");
    fs_err::create_dir_all(&state).expect("makes");
    fs_err::write(state.join("rehearsal.json"), r#"{"took_ms": 60000}"#).expect("writes");
    let (decided, ceremony) = act(&["--hotfix-eta", "59s"]);
    assert_eq!((&decided, &ceremony["state"]), (&"hotfix".into(), &"rehearsed".into()));
    // What was measured here counts for more.
    assert_eq!(site.unship(&["rollback", "--yes"]).status, 0);
    let (decided, ceremony) = act(&["--hotfix-eta", "59s"]);
    assert_eq!(ceremony["state"], "measured");
    assert_ne!(decided, "hotfix");
    assert!(ceremony["ms"].as_u64().is_some_and(|ms| ms > 0 && ms < 59_000), "{ceremony}");
}

#[test]
fn once_it_is_held_the_advice_is_what_comes_next() {
    let site = site();
    let held = site.unship(&["hold", "--mode", "auth-regression", "--yes"]);
    assert_eq!(held.status, 0, "{}", held.stderr);
    assert!(held.stderr.contains("unship rollback --mode auth-regression"), "{}", held.stderr);
    assert!(!held.stderr.contains("unship hold --mode"), "it is held already: {}", held.stderr);
    let said = site.unship(&["advise", "--json", "--mode", "auth-regression"]);
    let advice: serde_json::Value = serde_json::from_str(&said.stdout).expect("one document");
    assert_eq!(advice["facts"]["contained"], true, "{advice:#}");
    assert_eq!(advice["decision"]["hold_first"], false, "{advice:#}");
    assert_eq!(advice["from"]["tag"], "1.5.0", "{advice:#}");
    let went = site.unship(&["rollback", "--mode", "auth-regression", "--yes"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
}

#[test]
fn what_the_users_own_command_starts_is_not_held_and_no_hold_is_advised() {
    let site = site();
    let text = fs_err::read_to_string(site.config()).expect("reads");
    let command = "strategy = \"command\"\n[environment.test.command]\nrun = [\"true\"]\n[flags.flagd]";
    fs_err::write(site.config(), text.replace("[flags.flagd]", command)).expect("writes");
    let refused = site.unship(&["hold", "--mode", "data-corruption", "--yes"]);
    assert_eq!(refused.status, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("by your own means"), "{}", refused.stderr);
    let advised = site.unship(&["advise", "--mode", "data-corruption"]);
    assert_eq!(advised.status, 0, "{}", advised.stderr);
    assert!(!advised.stdout.contains("unship hold"), "{}", advised.stdout);
    assert_eq!(site.serves().as_deref(), Some("1.5.0"));
    // Nothing is left that is in the way, and nothing is marked.
    fs_err::write(site.config(), text).expect("writes");
    assert_eq!(site.unship(&["quarantine", "check", "1.5.0"]).status, 0);
    assert_eq!(site.unship(&["hold", "--mode", "data-corruption", "--yes"]).status, 0);
}
