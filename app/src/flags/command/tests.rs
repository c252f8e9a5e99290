use super::*;

fn flags(list: &str, set: &str) -> CommandFlags {
    let words =
        |script: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
    CommandFlags {
        list: words(list),
        set: [words(set), vec!["{flag}".to_owned(), "{state}".to_owned()]].concat(),
        environment: BTreeMap::new(),
        folder: "/".into(),
        time_ms_max: 5_000,
    }
}

fn acting() -> Acting {
    let run = "run-1".parse().expect("a run");
    Acting { run, epoch: unship_core::protocol::Epoch(1), step: 0, attempt: 1 }
}

#[tokio::test]
async fn both_forms_of_a_list_are_read() {
    let names = flags(r#"echo '{"a": true, "b": false}'"#, "").read().await.expect("flags");
    assert_eq!(names.iter().map(|flag| flag.value.on).collect::<Vec<_>>(), [true, false]);
    let list =
        r#"echo '[{"name": "a", "on": true, "changed_at": "2026-01-02T03:04:05Z", "changed_by": "ada"}]'"#;
    let listed = flags(list, "").read().await.expect("flags");
    assert_eq!(listed[0].changed_by.as_deref(), Some("ada"));
    assert_eq!(listed[0].changed_at.map(|at| at.0), Some(1_767_323_045_000));
}

#[tokio::test]
async fn a_flag_is_one_word_whatever_is_in_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("said");
    let set = format!("printf '%s|%s' \"$1\" \"$2\" > {}", said.display());
    let hostile = "a; touch /tmp/x $(id) {state}".parse().expect("a flag");
    let off = FlagValue { on: false, raw: None };
    flags("", &set).set(&hostile, &off, &acting()).await.expect("set");
    assert_eq!(fs_err::read_to_string(said).expect("said"), "a; touch /tmp/x $(id) {state}|off");
}

#[tokio::test]
async fn a_command_that_fails_or_prints_something_else_is_said_to() {
    let failed = flags("echo no >&2; exit 3", "").read().await.expect_err("it failed");
    assert!(failed.message.contains("exit status: 3: no"), "{failed}");
    assert!(flags("echo hello", "").read().await.is_err());
}

#[tokio::test]
async fn a_long_list_is_read_whole() {
    let list = r#"printf '{'; i=0; while [ $i -lt 5000 ]; do printf '"a_flag_with_a_long_name_%d": true,' $i; i=$((i+1)); done; printf '"z": false}'"#;
    assert_eq!(flags(list, "").read().await.expect("flags").len(), 5_001);
}
