//! The command line itself.

use std::process::Command;

use unship::cli::exit;

fn unship(words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_unship")).args(words).output().expect("unship runs");
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_help_names_every_verb() {
    let (status, text) = unship(&["help"]);
    assert_eq!(status, 0);
    insta::assert_snapshot!(text);
}

#[test]
fn every_verb_has_a_help_of_its_own() {
    let (_, text) = unship(&["help"]);
    let verbs: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description that goes on in the next line is indented further.
        .filter(|line| !line.starts_with("   ") && !line.starts_with("  help"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() > 8, "{verbs:?}");
    for verb in verbs {
        assert_eq!(unship(&[verb, "--help"]).0, 0, "{verb}");
    }
}

#[test]
fn a_wrong_verb_is_a_usage_error_and_the_right_one_is_offered() {
    let (status, text) = unship(&["rolback"]);
    assert_eq!(status, i32::from(exit::USAGE));
    assert!(text.contains("rollback"), "{text}");
}

#[test]
fn a_usage_error_is_a_document_too_where_one_is_expected() {
    for words in [["rolback", "--json"], ["--json", "rollback"], ["deploy", "--json"]] {
        let words: Vec<&str> = words.iter().copied().chain(["--no-such-option"]).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_unship")).args(&words).output().expect("unship runs");
        assert_eq!(output.status.code(), Some(i32::from(exit::USAGE)), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "), "{words:?}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
        assert_eq!(document["exit"], exit::USAGE, "{document}");
        assert!(document["error"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
        assert!(document["hints"].is_array(), "{document}");
    }
    for words in [["--json", "--help"], ["--json", "--version"]] {
        let (status, text) = unship(&words);
        assert_eq!(status, 0);
        assert!(!text.contains("\"exit\""), "{text}");
    }
}

#[test]
fn completions_are_scripts() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef unship"), ("fish", "complete -c unship")]
    {
        let (status, text) = unship(&["completions", shell]);
        assert_eq!(status, 0);
        assert!(text.contains(sign), "{shell}");
    }
}
