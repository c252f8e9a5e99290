//! The outbox as a folder: what is kept in it, and for how long.

use std::collections::BTreeSet;
use std::path::Path;

use unship::aftercare::{NoteFile, SecretSources};
use unship::ports::Aftercare;

use super::parts::{Desk, notice};

fn named(folder: &Path, part: &str) -> BTreeSet<String> {
    let files = fs_err::read_dir(folder).expect("a folder").flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(part)).collect()
}

#[tokio::test]
async fn of_what_has_ended_the_newest_thousand_are_kept_and_what_is_owed_always() {
    let folder = tempfile::tempdir().expect("a folder");
    let (outbox, ended) = (folder.path().join("outbox"), folder.path().join("outbox/ended"));
    fs_err::create_dir_all(&ended).expect("a folder");
    for second in 0..1_000 {
        let id = format!("20261123T03{:02}{:02}-000-1.rollback.tried", second / 60, second % 60);
        fs_err::write(ended.join(format!("{id}.json")), "{}").expect("writes");
        fs_err::write(outbox.join(format!(".lock-{id}")), "").expect("writes");
    }
    let notes = NoteFile { path: folder.path().join("notes") };
    let desk = Desk::new(folder.path(), Box::new(notes), SecretSources::default());
    for run in ["20261123T040000-000-1", "20261123T040001-000-1"] {
        desk.outbox.tell(&notice(run)).await.expect("is owed");
    }
    desk.deliver().await;
    let kept = named(&ended, ".json");
    assert_eq!(kept.len(), 1_000);
    assert!(kept.first().is_some_and(|name| name.starts_with("20261123T030002-")), "{:?}", kept.first());
    assert!(kept.last().is_some_and(|name| name.starts_with("20261123T040001-")), "{:?}", kept.last());
    assert_eq!(named(&outbox, ".lock-").len(), 1_000);
    // What is owed has no such end, however old it is.
    desk.outbox.tell(&notice("20201123T030000-000-1")).await.expect("is owed");
    assert_eq!(named(&outbox, "20201123").len(), 1);
}
