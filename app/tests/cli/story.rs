//! The main job: a release is shipped, seen to break, taken back, and never returned to.

use super::site::{Site, settings};

#[test]
fn a_release_is_shipped_breaks_is_taken_back_and_is_never_returned_to() {
    let site = Site::new();
    settings().bind(|| {
        insta::assert_snapshot!("deploy", site.says(&["deploy", "1.0.0"]));
        assert_eq!(site.serves().as_deref(), Some("1.0.0"));
        assert_eq!(site.unship(&["deploy", "1.2.0"]).status, 0);
        site.until("it panics", || site.says(&["status"]).contains("restarted"));
        insta::assert_snapshot!("dry_run", site.says(&["rollback", "--mode", "panic-loop", "--dry-run"]));
        assert_eq!(site.serves().as_deref(), Some("1.2.0"), "a dry run changes nothing");
        insta::assert_snapshot!("rollback", site.says(&["rollback", "--mode", "panic-loop", "--yes"]));
        assert_eq!(site.serves().as_deref(), Some("1.0.0"));
        insta::assert_snapshot!("status", site.says(&["status"]));
        insta::assert_snapshot!("rollback_again", site.says(&["rollback", "--yes"]));
        insta::assert_snapshot!("deploy_of_a_bad_one", site.says(&["deploy", "1.2.0"]));
        insta::assert_snapshot!("rollback_to_a_bad_one", site.says(&["rollback", "--to", "1.2.0", "--yes"]));
        insta::assert_snapshot!("log", site.says(&["log"]));
        insta::assert_snapshot!("verify", site.says(&["ledger", "verify"]));
        assert_eq!(site.unship(&["quarantine", "check", "1.2.0"]).status, 6);
        let lift = ["quarantine", "lift", "1.2.0", "--reason", "it was the disk"];
        insta::assert_snapshot!("lift", site.says(&lift));
        assert_eq!(site.unship(&["quarantine", "check", "1.2.0"]).status, 0);
    });
}

#[test]
fn a_span_over_several_releases_is_taken_back_in_one_step() {
    let site = Site::new();
    for tag in ["1.0.0", "1.5.0", "1.6.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    assert_eq!(site.unship(&["rollback", "--to", "1.0.0", "--yes"]).status, 0);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    // 1.5.0 was superseded well and 1.6.0 was taken back: the next target is neither what serves nor bad.
    let status: serde_json::Value =
        serde_json::from_str(&site.unship(&["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["rollback_target"]["tag"], "1.5.0");
}

#[test]
fn the_json_of_a_rollback_tells_the_same_as_its_text() {
    let site = Site::new();
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let said = site.unship(&["rollback", "--yes", "--json", "--reason", "slow start"]);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("one document");
    assert_eq!(report["outcome"], "completed");
    assert_eq!((&report["from"]["tag"], &report["to"]["tag"]), (&"1.5.0".into(), &"1.0.0".into()));
    assert!(report["steps"].as_array().is_some_and(|steps| steps.iter().all(|step| step["state"] == "done")));
}

#[test]
fn a_ledger_that_is_gone_does_not_keep_anybody_from_rolling_back() {
    let site = Site::new();
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    let whole = site.break_ledger();
    let refused = site.unship(&["rollback", "--yes"]);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("--break-glass"), "{}", refused.stderr);
    settings().bind(|| {
        insta::assert_snapshot!("break_glass", site.says(&["rollback", "--break-glass", "--yes"]));
    });
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    // The ledger comes back: what was done without it is merged.
    site.mend_ledger(whole);
    let log = site.says(&["log"]);
    assert!(log.contains("rollback 1.5.0 -> 1.0.0"), "{log}");
    assert_eq!(site.unship(&["quarantine", "check", "1.5.0"]).status, 6);
    assert_eq!(site.unship(&["ledger", "verify"]).status, 0);
}

#[test]
fn a_run_that_was_interrupted_can_be_ended_without_the_ledger() {
    let site = Site::new();
    assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
    site.interrupt(&["deploy", "1.4.0"]);
    let whole = site.break_ledger();
    for verb in ["resume", "abort"] {
        let refused = site.unship(&[verb]);
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains(&format!("`unship {verb} --break-glass`")), "{}", refused.stderr);
    }
    let busy = site.unship(&["rollback", "--break-glass", "--to", "1.0.0", "--yes"]);
    assert_eq!(busy.status, 5, "{}", busy.stderr);
    assert!(busy.stderr.contains("`unship resume --break-glass`"), "{}", busy.stderr);
    let aborted = site.unship(&["abort", "--break-glass"]);
    assert_eq!(aborted.status, 1, "{}", aborted.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
    site.mend_ledger(whole);
    let log = site.says(&["log"]);
    assert!(log.contains("went back"), "{log}");
}

#[test]
fn a_release_is_bad_as_soon_as_the_run_that_takes_it_back_has_begun() {
    // The smoke test makes the rollback long enough to be interrupted.
    let site = Site::with("[smoke]\ncommand = [\"sleep\", \"1\"]");
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    site.interrupt(&["rollback", "--yes"]);
    let checked = site.unship(&["quarantine", "check", "1.5.0"]);
    assert_eq!(checked.status, 6, "{}", checked.stderr);
    assert!(site.unship(&["quarantine", "list"]).stdout.contains("1.5.0"));
    let lift = ["quarantine", "lift", "1.5.0", "--reason", "it was the disk"];
    let refused = site.unship(&lift);
    assert_eq!(refused.status, 5, "going on would mark it again: {}", refused.stderr);
    assert_eq!(site.unship(&["resume"]).status, 0);
    assert_eq!(site.unship(&lift).status, 0);
    assert_eq!(site.unship(&["quarantine", "check", "1.5.0"]).status, 0);
}

#[test]
fn a_mark_that_only_the_hosts_have_is_shown_and_can_be_lifted() {
    let site = Site::new();
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    assert_eq!(site.unship(&["rollback", "--yes"]).status, 0);
    // The ledger is lost and begins anew; the hosts still know.
    site.remove_ledger();
    assert_eq!(site.unship(&["deploy", "1.5.0"]).status, 6);
    assert_eq!(site.unship(&["quarantine", "check", "1.5.0"]).status, 6);
    assert!(site.unship(&["quarantine", "list"]).stdout.contains("on the hosts alone"));
    let lifted = site.unship(&["quarantine", "lift", "1.5.0", "--reason", "it was the disk"]);
    assert_eq!(lifted.status, 0, "{}", lifted.stderr);
    assert_eq!(site.unship(&["quarantine", "check", "1.5.0"]).status, 0);
    assert_eq!(site.unship(&["deploy", "1.5.0"]).status, 0);
}

#[test]
fn a_service_without_a_schema_is_taken_back_though_the_whole_ledger_folder_is_gone() {
    let site = Site::new();
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    fs_err::remove_dir_all(site.path("ledger")).expect("is removed");
    let said = site.unship(&["rollback", "--break-glass", "--yes"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert_eq!(site.serves().as_deref(), Some("1.0.0"));
}

#[test]
fn what_the_configuration_names_only_later_is_known_of_releases_that_were_built_before() {
    let site = Site::new();
    assert_eq!(site.unship(&["deploy", "1.0.0"]).status, 0);
    let flags = site.path("flags.json");
    let more = format!(
        "[flags]\nfile = \"release-flags.json\"\ninstall = true\nflagd = {{ file = \"{}\" }}\n",
        flags.display()
    );
    let text = fs_err::read_to_string(site.config()).expect("reads");
    fs_err::write(site.config(), text.replace("[environment.test]", &format!("{more}[environment.test]")))
        .expect("writes");
    for tag in ["1.5.0", "1.0.0"] {
        let said = site.unship(&["deploy", tag]);
        assert_eq!(said.status, 0, "{tag}: {}", said.stderr);
    }
    assert!(fs_err::read_to_string(flags).expect("reads").contains("greeting"));
}
