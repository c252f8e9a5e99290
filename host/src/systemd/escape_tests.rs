use super::*;

/// What `systemd-escape` of systemd 252 prints for these.
const MEASURED: &[(&str, &str)] = &[
    ("v1.4.0", "v1.4.0"),
    ("v1.4.0-rc.1", "v1.4.0\\x2drc.1"),
    ("release/2026-11", "release-2026\\x2d11"),
    ("/v1", "-v1"),
    (".hidden", "\\x2ehidden"),
    ("v1+build", "v1\\x2bbuild"),
    ("a_b:c", "a_b:c"),
    ("a b%I$(x)", "a\\x20b\\x25I\\x24\\x28x\\x29"),
    ("v1\\x2d", "v1\\x5cx2d"),
    ("ü", "\\xc3\\xbc"),
];

#[test]
fn names_are_written_as_systemd_escape_writes_them() {
    for (text, escaped) in MEASURED {
        assert_eq!(escape(text), *escaped);
        assert_eq!(unescape(escaped).as_deref(), Some(*text));
    }
    let Ok(output) = std::process::Command::new("systemd-escape")
        .arg("--")
        .args(MEASURED.iter().map(|(text, _)| text))
        .output()
    else {
        return;
    };
    let expected: Vec<_> = MEASURED.iter().map(|(_, escaped)| *escaped).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), expected.join(" "));
}

#[test]
fn every_text_survives_and_holds_nothing_that_a_name_may_not_hold() {
    proptest::proptest!(|(text in ".{0,60}")| {
        let escaped = escape(&text);
        assert!(escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.\\-".contains(&b)));
        assert!(!escaped.starts_with('.'));
        assert_eq!(unescape(&escaped), Some(text));
    });
}

#[test]
fn what_escape_never_writes_is_no_name() {
    for bad in ["\\", "\\x", "\\x2", "\\xg0", "\\y20", "\\xff"] {
        assert_eq!(unescape(bad), None, "{bad}");
    }
}

#[test]
fn an_instance_is_of_its_template_alone() {
    let name = instance("shithub-web", "v1-rc").expect("short");
    assert_eq!(name, "shithub-web@v1\\x2drc.service");
    assert_eq!(instance_of("shithub-web", &name).as_deref(), Some("v1-rc"));
    assert_eq!(instance_of("shithub", &name), None);
    assert_eq!(instance_of("shithub-web", "shithub-web@.service"), None);
    assert_eq!(instance("web", &"-".repeat(100)), None);
    // The longest can be linked and masked.
    let longest = (1..255).rev().find_map(|length| instance("web", &"a".repeat(length))).expect("one fits");
    let folder = tempfile::tempdir().expect("a folder");
    crate::durable::swap_symlink(&folder.path().join(longest), "/dev/null".as_ref()).expect("linked");
}
