//! Flags and CI around a rollback: what the plan shows, what is turned off and set back, what is an incident.

use super::site::Site;

const FLAGS: &str = r#"{"flags": {
  "new_search": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off" },
  "signup": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" }
}}"#;

/// 1.0.0 and 1.5.0 deployed, then `new_search` turned on by hand. CI says of each tag what `verdicts` has.
fn site(verdicts: &str) -> Site {
    let site = Site::with(
        r#"[flags.flagd]
file = "flags.json"
[ci.command]
ask = ["sh", "ci", "{commit}", "{tag}"]
"#,
    );
    let place = |name: &str| site.path("tinyd").join(name);
    let ci = format!(
        "case $2 in {verdicts} *) state=passed ;; esac\n\
         printf '{{\"commit\": \"%s\", \"checks\": [{{\"name\": \"test\", \"state\": \"%s\"}}]}}' $1 $state\n"
    );
    fs_err::write(place("ci"), ci).expect("writes");
    fs_err::write(place("flags.json"), FLAGS).expect("writes");
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let on = FLAGS.replace("\"defaultVariant\": \"off\"", "\"defaultVariant\": \"on\"");
    fs_err::write(place("flags.json"), on).expect("writes");
    site
}

fn text(site: &Site) -> String {
    fs_err::read_to_string(site.path("tinyd/flags.json")).expect("reads")
}

#[test]
fn a_flag_that_somebody_turned_on_is_left_and_one_that_is_named_is_turned_off_and_set_back() {
    let site = site("");
    let before = text(&site);
    let shown = site.unship(&["rollback", "--dry-run"]);
    assert!(shown.stderr.contains("left on  new_search: turned on since, by no deploy"), "{}", shown.stderr);
    assert!(shown.stderr.contains("1.0.0 passed CI (1 check)"), "{}", shown.stderr);
    assert_eq!(text(&site), before, "a dry run changes nothing");
    let unknown = site.unship(&["rollback", "--yes", "--flag-off", "nobody"]);
    assert_ne!(unknown.status, 0);
    assert!(unknown.stderr.contains("there is no flag `nobody`"), "{}", unknown.stderr);

    let went = site.unship(&["rollback", "--yes", "--json", "--flag-off", "new_search"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(text(&site), FLAGS);
    let listed = site.unship(&["flags", "list"]);
    assert_eq!(listed.stdout, "off  new_search\non   signup\n", "{}", listed.stderr);

    let report: serde_json::Value = serde_json::from_str(&went.stdout).expect("one document");
    let run = report["run"].as_str().expect("a run");
    let restored = site.unship(&["flags", "restore", run]);
    assert_eq!(restored.status, 0, "{}", restored.stderr);
    assert_eq!(text(&site), before);
    let off = site.unship(&["flags", "off", "new_search", "--reason", "lists twice"]);
    assert_eq!(off.status, 0, "{}", off.stderr);
    assert_eq!(text(&site), FLAGS);
    assert_eq!(site.unship(&["rollback", "--yes", "--flag-off", "a", "--keep-flag", "a"]).status, 2);
}

#[test]
fn a_target_that_did_not_pass_ci_is_an_incident_and_no_reason_to_stay_on_the_bad_release() {
    let site = site("1.0.0) state=failed ;;");
    let shown = site.unship(&["rollback", "--dry-run"]);
    assert!(shown.stderr.contains("1.0.0 did not pass CI: `test` failed"), "{}", shown.stderr);
    // A program is told all that a person is.
    let shown = site.unship(&["rollback", "--dry-run", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("one document");
    assert_eq!(shown["decided"]["decision"]["act"], "code_back", "{shown}");
    assert_eq!(shown["schema"]["verdict"], "same", "{shown}");
    assert!(shown["ci"]["standing"].to_string().contains("failed"), "{shown}");
    let went = site.unship(&["rollback", "--yes"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    assert!(went.stderr.contains("failed  confirm that 1.0.0 passed CI"), "{}", went.stderr);
}

#[test]
fn the_better_tested_target_is_offered_and_taken_when_asked_for() {
    let site = site("1.5.0) state=failed ;;");
    assert_eq!(site.unship(&["deploy", "1.6.0"]).status, 0);
    let shown = site.unship(&["rollback", "--dry-run"]);
    assert!(shown.stderr.contains("1.0.0 is known good and passed: `--to auto`"), "{}", shown.stderr);
    let went = site.unship(&["rollback", "--yes", "--to", "auto"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
}
