use crate::release::{Digest, Release};

use super::*;

#[test]
fn a_reason_cannot_write_a_second_line() {
    let release =
        |tag: &str| Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) };
    let notice = Notice {
        run: "r1".parse().expect("a run"),
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        who: "op@desk".into(),
        from: Some(release("v1.4.0")),
        to: release("v1.3.2"),
        reason: "panic loop: on\nall \u{1b}[31mhosts".into(),
        outcome: Outcome::Completed,
        at: Timestamp(0),
    };
    assert_eq!(
        notice.line(),
        "shithub production: v1.4.0 -> v1.3.2, panic loop: on all  [31mhosts; completed; by op@desk, run r1"
    );
}
