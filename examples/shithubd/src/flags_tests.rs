use super::*;

fn write(path: &Path, variant: &str) {
    let text = format!(
        r#"{{"flags": {{"topics_ui": {{"state": "ENABLED", "variants": {{"on": true, "off": false}},
           "defaultVariant": "{variant}"}}, "other": {{"state": "DISABLED", "variants": {{"on": true}},
           "defaultVariant": "on"}}}}}}"#
    );
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("write");
    std::fs::rename(new, path).expect("rename");
}

#[test]
fn a_changed_file_is_seen_within_the_check_interval() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("flags.json");
    let flags = Flags::new(Some(path.clone()));
    assert!(flags.is_on("topics_ui", true), "no file: the code decides");

    std::thread::sleep(CHECK_EVERY);
    write(&path, "on");
    assert!(flags.is_on("topics_ui", false));
    assert_eq!(
        flags.all(),
        BTreeMap::from([("topics_ui".to_owned(), true)]),
        "a disabled flag decides nothing"
    );

    std::thread::sleep(CHECK_EVERY);
    write(&path, "off");
    assert!(!flags.is_on("topics_ui", true));
}

#[test]
fn a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("flags.json");
    write(&path, "on");
    let flags = Flags::new(Some(path.clone()));
    assert!(flags.is_on("topics_ui", false));

    std::thread::sleep(CHECK_EVERY);
    std::fs::write(&path, "{\"flags\": {").expect("write");
    assert!(flags.is_on("topics_ui", false));
}
