use unship_core::journal::Outcome;
use unship_core::release::{Digest, Release};
use unship_core::time::Timestamp;

use super::*;

fn notice(run: &str) -> Notice {
    let release =
        |tag: &str| Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) };
    Notice {
        run: run.parse().expect("a run"),
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        who: "op@desk".into(),
        from: Some(release("v2")),
        to: release("v1"),
        reason: "panic loop".into(),
        outcome: Outcome::Completed,
        at: Timestamp(1_790_000_000_000),
    }
}

#[tokio::test]
async fn a_notice_is_written_once_however_often_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let note = NoteFile { path: folder.path().join("made/rollbacks.log") };
    for run in ["r1", "r1", "r11", "r1"] {
        note.tell(&notice(run)).await.expect("tells");
    }
    let text = fs_err::read_to_string(&note.path).expect("reads");
    assert_eq!(
        text,
        "2026-09-21 14:13:20 UTC  shithub production: v2 -> v1, panic loop; completed; by op@desk, run r1\n\
         2026-09-21 14:13:20 UTC  shithub production: v2 -> v1, panic loop; completed; by op@desk, run r11\n"
    );
}

#[tokio::test]
async fn a_line_that_was_cut_off_does_not_swallow_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let note = NoteFile { path: folder.path().join("rollbacks.log") };
    fs_err::write(&note.path, "2026-09-21 14:13:20 UTC  shithub produc").expect("writes");
    note.tell(&notice("r1")).await.expect("tells");
    assert_eq!(fs_err::read_to_string(&note.path).expect("reads").lines().count(), 2);
}
