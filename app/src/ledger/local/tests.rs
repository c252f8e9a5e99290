use unship_core::protocol::Epoch;
use unship_core::release::Digest;

use super::*;
use crate::ledger::owner::{boot, pid_namespace, start_time};

async fn ledger(folder: &tempfile::TempDir) -> LocalLedger {
    LocalLedger::open(&folder.path().join("ledger.sqlite")).await.expect("opens")
}

fn holder(run: &str) -> Holder {
    Holder {
        run: run.parse().expect("a run"),
        who: format!("{run}@desk"),
        since: Timestamp(5),
        what: "rollback v2 -> v1".into(),
    }
}

fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

#[tokio::test]
async fn one_holds_the_lease_and_the_other_is_told_who() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (ledger(&folder).await, ledger(&folder).await);
    one.acquire(&holder("a")).await.expect("is free");
    assert_eq!(two.acquire(&holder("b")).await, Err(LedgerError::Held { holder: Box::new(holder("a")) }));
    one.release(&holder("a").run).await.expect("releases");
    two.acquire(&holder("b")).await.expect("is free again");
    assert_eq!(
        one.renew(&holder("a").run).await,
        Err(LedgerError::Lost { run: holder("a").run }),
        "the old holder finds out"
    );
}

#[tokio::test]
async fn the_lease_of_a_process_that_is_gone_is_free_and_an_expired_one_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger(&folder).await;
    ledger.acquire(&holder("a")).await.expect("is free");
    let started = start_time(1).unwrap_or_default();
    let set =
        |process: String| sqlx::query("update lease set process = ?").bind(process).execute(&ledger.pool);
    set(format!("{} 1 {started} {}", boot(), pid_namespace())).await.expect("another process that lives");
    assert_eq!(
        ledger.renew(&holder("a").run).await,
        Err(LedgerError::Lost { run: holder("a").run }),
        "another process has gone on with the same run"
    );
    assert!(ledger.acquire(&holder("b")).await.is_err());
    set(format!("{} 1 {started}0 pid:[1]", boot())).await.expect("it is in another container");
    assert!(ledger.acquire(&holder("b")).await.is_err(), "ids there say nothing here");
    set(format!("{} 1 {started}0 {}", boot(), pid_namespace())).await.expect("its id was given to another");
    ledger.acquire(&holder("b")).await.expect("the holder is gone");
    sqlx::query("update lease set expires = 0").execute(&ledger.pool).await.expect("expires");
    ledger.acquire(&holder("c")).await.expect("it expired");
}

#[tokio::test]
async fn entries_and_their_marks_are_added_once_and_never_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = ledger(&folder).await;
    let run: RunId = "r1".parse().expect("a run");
    let marked = Event::Marked { release: release("v2"), mark: Mark::Bad, why: "panic loop".into() };
    let resumed = Event::Resumed { holder: holder("r1"), epoch: Epoch(2) };
    let entries = [
        Entry { seq: 0, at: Timestamp(7), event: marked },
        Entry { seq: 1, at: Timestamp(8), event: resumed },
    ];
    for _ in 0..2 {
        ledger.append(&run, &entries).await.expect("appends");
    }
    assert_eq!(ledger.entries(&run).await.expect("reads"), entries);
    assert_eq!(ledger.runs(10).await.expect("reads"), std::slice::from_ref(&run));
    let lifted = MarkEntry {
        release: release("v2"),
        mark: Mark::Lifted,
        why: "it was the disk".into(),
        at: Timestamp(9),
        run: None,
    };
    ledger.mark(&lifted).await.expect("marks");
    let marks = ledger.marks().await.expect("reads");
    assert_eq!(marks.len(), 2);
    assert_eq!((marks[0].mark, &marks[0].run), (Mark::Bad, &Some(run)));
    assert_eq!(marks[1], lifted);
    assert!(sqlx::query("delete from mark").execute(&ledger.pool).await.is_err());
    assert!(sqlx::query("update entry set body = ''").execute(&ledger.pool).await.is_err());
}

#[tokio::test]
async fn a_newer_or_broken_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.sqlite");
    let ledger = ledger(&folder).await;
    sqlx::raw_sql("pragma user_version = 9").execute(&ledger.pool).await.expect("sets");
    ledger.pool.close().await;
    let newer = LocalLedger::open(&file).await.expect_err("newer");
    assert!(newer.to_string().ends_with("has version 9; this unship knows 1"), "{newer}");
    fs_err::remove_file(folder.path().join("ledger.sqlite-wal")).ok();
    fs_err::write(&file, [7; 8192]).expect("writes");
    let broken = LocalLedger::open(&file).await.expect_err("broken");
    assert!(broken.to_string().contains("ledger.sqlite"), "{broken}");
}

#[tokio::test]
async fn the_ledger_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("ledger");
    let ledger = LocalLedger::open(&folder.join("ledger.sqlite")).await.expect("opens");
    ledger.acquire(&holder("a")).await.expect("is free");
    let mode = |path: &Path| fs_err::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<PathBuf> =
        fs_err::read_dir(&folder).expect("reads").flatten().map(|file| file.path()).collect();
    assert!(files.len() > 1, "the file and its log: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
