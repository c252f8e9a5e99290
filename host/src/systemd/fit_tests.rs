use super::*;
use crate::systemd::unit::Activity;

const UNIT: &str = "demo-web.service";

fn refused(path: &str, found: Option<&[u8]>, known: &[&[u8]]) -> Option<String> {
    let known: Vec<Digest> = known.iter().map(|content| Digest::of(content)).collect();
    let refused = may_swap(UNIT, Path::new(path), found.map(Digest::of), &known).err()?;
    Some(format!("{refused}\n{}", refused.hint().expect("a fix")))
}

#[test]
fn a_file_is_replaced_only_if_it_is_a_release_s_or_not_there() {
    let known: &[&[u8]] = &[b"one", b"two"];
    for path in ["/usr/local/bin/demo", "/opt/demo/bin/demo", "/srv/lib/demo"] {
        assert_eq!(refused(path, None, known), None);
        assert_eq!(refused(path, Some(b"two"), known), None);
        let why = refused(path, Some(b"an interpreter"), known).expect("refused");
        assert!(why.contains("no stored release's program") && why.contains("`unship adopt`"), "{why}");
    }
}

#[test]
fn what_the_distribution_owns_is_never_replaced() {
    for path in ["/usr/bin/python3", "/bin/sh", "/usr/sbin/demo", "/lib/demo", "/usr/lib/jvm/bin/java"] {
        for found in [None, Some(b"one".as_slice())] {
            let why = refused(path, found, &[b"one"]).expect("refused");
            assert!(why.contains("the distribution's") && why.contains("ExecStart="), "{why}");
        }
    }
}

#[test]
fn an_instance_must_be_there_and_start_the_release() {
    let expected = Path::new("/opt/demo/releases/v1.0.0/files/bin/app");
    let mut facts = crate::systemd::choice::tests::service();
    facts.activity = Activity::Inactive;
    facts.program = Some(expected.to_owned());
    assert!(must_start(&facts, expected).is_ok());
    facts.program = Some("/usr/bin/demo".into());
    let error = must_start(&facts, expected).expect_err("another program");
    assert!(
        error
            .to_string()
            .ends_with("starts `/usr/bin/demo`, not the release's `/opt/demo/releases/v1.0.0/files/bin/app`")
    );
    facts.load_state = "not-found".to_owned();
    assert!(matches!(must_start(&facts, expected), Err(SystemdError::NoUnit { .. })));
}
