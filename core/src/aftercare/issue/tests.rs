use proptest::prelude::*;

use super::super::notice::tests::notice;
use super::*;

fn issue(notice: &Notice, suspects: &Suspects) -> Issue {
    Issue::of(notice, suspects, "r1.rollback.github", |at| format!("[{}]", at.0))
}

fn commits(subject: &str) -> Suspects {
    let commit = Commit { id: "abc1234".into(), subject: subject.into(), author: "A".into() };
    Suspects::Yes { commits: vec![commit], more: 3 }
}

#[test]
fn an_issue_carries_mode_evidence_timeline_suspects_and_what_is_owed() {
    let issue = issue(&notice(), &commits("Rewrite the search"));
    assert_eq!(issue.title, "shithub production: v1.4.0 taken back to v1.3.2: panic loop");
    for part in [
        "failure mode  panic loop",
        "### Evidence",
        "[0]  started, epoch 7",
        "abc1234  Rewrite the search  (A)",
        "... and 3 more",
        "- [ ] ` confirm that v1.3.2 passed CI `",
        "<!-- unship:notice:r1.rollback.github -->",
        &issue.failure_marker,
    ] {
        assert!(issue.body.contains(part), "{part}: {}", issue.body);
    }
}

#[test]
fn what_is_not_known_of_the_commits_is_said() {
    let no = Suspects::No { why: "no tag v1.4.0".into() };
    assert!(issue(&notice(), &no).body.contains("not known: no tag v1.4.0"));
}

#[test]
fn an_issue_that_would_be_too_long_is_cut_and_keeps_its_markers() {
    let long = Notice { failures: vec!["x".repeat(200_000)], ..notice() };
    let issue = issue(&long, &commits("y"));
    assert!(issue.body.chars().count() < 65_000);
    assert!(issue.body.contains(&issue.marker) && issue.body.contains(&issue.failure_marker));
}

proptest! {
    /// What others wrote never ends the fence that it stands in.
    #[test]
    fn no_text_leaves_its_fence(text in "[`@#<>a \n-]{0,60}") {
        let notice = Notice { reason: text.clone(), ..notice() };
        let body = issue(&notice, &commits(&text)).body;
        let mut fence: Option<String> = None;
        for line in body.lines() {
            let ticks: String = line.chars().take_while(|char| *char == '`').collect();
            match &fence {
                None if ticks.len() >= 3 => fence = Some(ticks),
                None => prop_assert!(!line.contains('@') || line.starts_with("- ["), "outside: {}", line),
                // CommonMark 4.5: a closing fence is at least as long and has nothing after it but blanks.
                Some(open) if ticks.len() >= open.len() && line.trim_end() == ticks => fence = None,
                Some(_) => {}
            }
        }
        prop_assert!(fence.is_none());
    }
}
