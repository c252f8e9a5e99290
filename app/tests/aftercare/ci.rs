//! CI: GitHub's requests against GitHub's own description of its API, served by Prism; and a target that did not pass,
//! which is told as an incident of its own.

use std::sync::Arc;

use unship::ci::{Api, GitHubCi};
use unship::ports::CiSource;
use unship::sender::HttpSender;

use super::servers::{ask, prism};
use super::site::Site;

/// The commit of the description's own examples of check runs.
const COMMIT: &str = "ce587453ced02b1526dfb4cb910479d431683101";

#[tokio::test]
async fn what_is_asked_of_github_fits_its_own_description_and_so_does_what_is_read() {
    let Some((_server, base)) = prism() else { return };
    let sender = Arc::new(HttpSender::new(None).expect("a sender"));
    let api = Api { sender, url: base.clone(), token_file: None, time_ms_max: 30_000 };
    let ci = GitHubCi { api, repository: "octocat/hello-world".into(), required: Vec::new() };
    let proof = ci.ask(COMMIT, &"v1.0.0".parse().expect("a tag")).await.expect("the examples are read");
    // Check runs and statuses of the examples are both there.
    assert!(proof.checks.len() >= 2, "{proof:?}");
    // The examples' statuses are of another commit, and that proves nothing.
    assert!(!proof.standing(COMMIT, &[]).is_green(), "{proof:?}");
    // The stand-in does find what is wrong.
    let path = format!("/repos/octocat/hello-world/commits/{COMMIT}/check-runs?filter=newest");
    assert_eq!(ask(&base, "GET", &path, "", None).0, 422);
}

/// CI of 1.0.0 is what the file `ci` says.
fn site(more: &str) -> Site {
    let site = Site::with(&format!(
        "[ci.command]\nask = [\"sh\", \"ci\", \"{{commit}}\", \"{{tag}}\"]\n\
         [aftercare]\nnote_file = \"{{root}}/../notes.log\"\n\
         [[aftercare.issue]]\nvia = \"file\"\nfile = \"{{root}}/../issues.md\"\n{more}"
    ));
    says(&site, "passed", "$1");
    for tag in ["1.0.0", "1.5.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    site
}

fn says(site: &Site, state: &str, commit: &str) {
    let script = format!(
        "printf '{{\"commit\": \"%s\", \"checks\": [{{\"name\": \"test\", \"state\": \"{state}\"}}]}}' {commit}\n"
    );
    fs_err::write(site.path("tinyd/ci"), script).expect("writes");
}

#[test]
fn code_that_did_not_pass_and_serves_is_an_incident_of_its_own_and_the_rollback_counts() {
    let other = "0123456789012345678901234567890123456789";
    for (state, commit) in [("failed", "$1"), ("running", "$1"), ("passed", other)] {
        let site = site("");
        says(&site, state, commit);
        let went = site.unship(&["rollback", "--yes", "--mode", "panic-loop"]);
        assert_eq!(went.status, 0, "{state}: {}", went.stderr);
        assert_eq!(site.serves().as_deref(), Some("1.0.0"));
        let notes = fs_err::read_to_string(site.path("notes.log")).expect("reads");
        let lines: Vec<&str> = notes.lines().collect();
        assert_eq!(lines.len(), 2, "{notes}");
        assert!(lines.iter().any(|line| line.contains("untested code serves")), "{notes}");
        let issues = fs_err::read_to_string(site.path("issues.md")).expect("reads");
        assert!(issues.contains("1.0.0 serves and is not known to have passed CI"), "{issues}");
        assert!(issues.contains("1.5.0 taken back to 1.0.0: panic loop"), "{issues}");
    }
}

#[test]
fn ci_that_cannot_be_asked_leaves_what_the_deploy_recorded() {
    let site = site("");
    fs_err::write(site.path("tinyd/ci"), "exit 7\n").expect("writes");
    let went = site.unship(&["rollback", "--yes", "--mode", "panic-loop"]);
    assert_eq!(went.status, 0, "{}", went.stderr);
    let notes = fs_err::read_to_string(site.path("notes.log")).expect("reads");
    assert_eq!(notes.lines().count(), 1, "the capsule says that it passed: {notes}\n{}", went.stderr);
}
