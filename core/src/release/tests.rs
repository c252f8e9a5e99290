use super::*;

#[test]
fn tags_that_could_leave_their_folder_or_become_an_option_are_refused() {
    for bad in [
        "", ".", "..", "a/b", "../x", "v1..2", "-rf", "--help", "v1 2", "v1\n", "v1;id", "$(id)", "a\0b",
        "é", "v1@{1}", ".hidden",
    ] {
        assert!(bad.parse::<Tag>().is_err(), "accepted {bad:?}");
    }
    for good in ["v1.0.0", "1", "2026-11-23", "v1.0.0-rc.1+build_5"] {
        assert_eq!(good.parse::<Tag>().map(String::from).as_deref(), Ok(good));
    }
    assert!("v".repeat(101).parse::<Tag>().is_err());
}

#[test]
fn the_error_names_the_tag_escaped_and_the_rule() {
    let error = "a/\u{1b}b".parse::<Tag>().expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the tag `a/\\u{1b}b` must start with a letter or digit and have only letters, digits, `.`, `_`, `-` and `+`"
    );
}

#[test]
fn names_are_checked_when_read_from_json_too() {
    assert!(serde_json::from_str::<Tag>("\"../etc\"").is_err());
    assert!(serde_json::from_str::<Digest>("\"12\"").is_err());
    let digest = Digest::of(b"");
    assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(serde_json::from_str::<Digest>(&format!("\"{digest}\"")).ok(), Some(digest));
}
