use super::*;
use crate::decision::{Ceremony, Down, Facts, FailureMode, Flag, Hotfix, Span, decide};
use crate::explain::Owed;

/// A notice with words in it that want to be more than text.
pub(in crate::aftercare) fn notice() -> Notice {
    let release =
        |tag: &str| Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) };
    let facts = Facts {
        mode: FailureMode::PanicLoop,
        contained: false,
        flag: Flag::None,
        hotfix: Hotfix::NotKnown,
        ceremony: Ceremony::NotKnown,
        span: Span::Compatible { why: "both releases have the same migrations".into() },
        hosts: 1,
        can_be_held: true,
        can_be_borne: false,
        down: Down::NotKnown,
    };
    Notice {
        kind: Kind::Rollback,
        run: "20261123T031500-000-1".parse().expect("a run"),
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        who: "op@desk".into(),
        from: Some(release("v1.4.0")),
        to: release("v1.3.2"),
        reason: "panic loop: on\nall \u{1b}[31mhosts".into(),
        outcome: Outcome::Completed,
        at: Timestamp(0),
        took_ms: 2_100,
        decided: Some(Decided {
            decision: decide(&facts),
            facts,
            overruled: None,
            health: Vec::new(),
            risks: Vec::new(),
        }),
        pulses: Vec::new(),
        timeline: vec![Moment { at: Timestamp(0), text: "started, epoch 7".into(), tone: Tone::Plain }],
        failures: Vec::new(),
        owed: vec![Owed { text: "confirm that v1.3.2 passed CI".into(), done: false }],
    }
}

#[test]
fn two_rollbacks_share_a_failure_when_service_environment_and_mode_are_the_same() {
    let one = notice();
    let mut later = Notice { run: "20261124T031500-000-2".parse().expect("a run"), ..one.clone() };
    later.from = Some(Release { tag: "v1.4.1".parse().expect("a tag"), digest: Digest::of(b"other") });
    assert_eq!(one.failure_key(), later.failure_key());
    let elsewhere = Notice { environment: "staging".parse().expect("a name"), ..one.clone() };
    assert_ne!(one.failure_key(), elsewhere.failure_key());
    // Without a mode it is only the same when it is the same release.
    let unsure = |notice: &Notice| Notice { decided: None, ..notice.clone() };
    assert_ne!(unsure(&one).failure_key(), unsure(&later).failure_key());
    assert_eq!(unsure(&one).failure_key(), unsure(&one).failure_key());
}
