//! The shapes are those of Ant's schema (<https://github.com/windyroad/JUnit-Schema>), and what `cargo nextest` and
//! pytest write.

use unship_core::ci::CiStanding;

use super::*;

#[test]
fn a_file_means_what_its_suites_and_cases_say() {
    let head = r#"<?xml version="1.0" encoding="UTF-8"?><!-- <failure/> -->"#;
    for (text, expected) in [
        (
            r#"<testsuite name="a" tests="2" failures="0" errors="0"><testcase name="x"/><testcase name="y"/></testsuite>"#,
            CheckState::Passed,
        ),
        (
            r#"<testsuites><testsuite name="a > b" tests='1' failures='1'><testcase name="x"><failure message="a &lt; b"/></testcase></testsuite></testsuites>"#,
            CheckState::Failed,
        ),
        (r#"<testsuite tests="1" failures="0" errors="1"/>"#, CheckState::Failed),
        // The counts and the cases disagree: the worse is believed.
        (
            r#"<testsuite tests="1" failures="0"><testcase name="x"><error/></testcase></testsuite>"#,
            CheckState::Failed,
        ),
        (
            r#"<testsuite tests="1" skipped="1"><testcase name="x"><skipped/></testcase></testsuite>"#,
            CheckState::Skipped,
        ),
        (r#"<testsuite tests="0"/>"#, CheckState::Skipped),
        (
            r#"<testsuite tests="1"><testcase name="x"><system-out><![CDATA[<failure>]]></system-out></testcase></testsuite>"#,
            CheckState::Passed,
        ),
    ] {
        assert_eq!(state(&format!("{head}{text}")), Ok(expected), "{text}");
    }
    for text in [
        "",
        "<html></html>",
        "<testsuite tests=\"1\"",
        "<testsuite tests=\"x\"/>",
        "<testsuite tests=\"1\"><testcase>",
        "</a>",
    ] {
        assert!(state(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn results_are_those_of_the_commit_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let commit = "a91957a858320c0e17f3a0eca7cfacbff50ea29a";
    let results = folder.path().join(commit);
    fs_err::create_dir(&results).expect("a folder");
    fs_err::write(results.join("unit.xml"), r#"<testsuite tests="3"/>"#).expect("a file");
    let base = folder.path().to_owned();
    let files = JUnitFiles { folder: "{commit}".into(), base: base.clone(), required: Vec::new() };
    let tag: Tag = "v1".parse().expect("a tag");
    let proof = files.ask(commit, &tag).await.expect("an answer");
    assert_eq!(proof.standing(commit, &["unit".into()]), CiStanding::Green { passed: 1 });
    let other = files.ask("decafdecaf", &tag).await.expect("an answer");
    assert_eq!(other.standing("decafdecaf", &[]), CiStanding::NothingRan);
    let last = JUnitFiles { folder: "results".into(), base, required: Vec::new() };
    assert!(last.ask(commit, &tag).await.is_err(), "nobody knows of which commit these are");
}
