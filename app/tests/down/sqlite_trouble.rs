//! What is in the way of a step down on SQLite: other writers, readers, disks. It is said, and nothing was changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::Connection as _;
use unship::ports::{Database as _, Landed, OnConflict, Progress};
use unship_core::tools::Tool;

use crate::sqlite_world::{Silent, World, by, connect, pair, say};

fn steps() -> [(String, String); 2] {
    [
        pair("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);", ""),
        pair("ALTER TABLE t ADD COLUMN b TEXT;", "ALTER TABLE t DROP COLUMN b;"),
    ]
}

async fn filled(world: &World, rows: usize) {
    world
        .run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows}) \
             INSERT INTO t SELECT i, 'a' || i, hex(randomblob(200)) FROM n"
        ))
        .await;
}

async fn world(journal: &str) -> World {
    let world = World::new(Tool::Sqlx, &steps()).await;
    world.run(&format!("PRAGMA journal_mode={journal}")).await;
    filled(&world, 20).await;
    world
}

/// Runs something in another connection, on a thread of its own, when the step says a word.
struct At {
    word: &'static str,
    file: PathBuf,
    sql: &'static str,
}

impl Progress for At {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn said(&self, line: &str) {
        if line.contains(self.word) {
            let (file, sql) = (self.file.clone(), self.sql);
            let other = std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let mut conn = connect(&file, true).await;
                    say(&mut conn, sql).await.expect("written");
                    conn.close().await.expect("closed");
                });
            });
            other.join().expect("no panic");
        }
    }
}

#[tokio::test]
async fn what_is_written_between_the_copy_and_the_lock_is_salvaged_too() {
    for journal in ["DELETE", "WAL"] {
        let world = world(journal).await;
        let program = world.accepted().await;
        let writer = At {
            word: "taking the write lock",
            file: world.file.clone(),
            sql: "UPDATE t SET b = 'late' WHERE id = 3; INSERT INTO t VALUES (99, 'x', 'later')",
        };
        world.db.step_down(&program, &by(1), &writer).await.expect("a step");
        world.up_again().await;
        let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
        assert_eq!((restored.rows, restored.conflicts_count), (21, 0), "{journal}: {restored:?}");
        assert_eq!(world.number("SELECT count(*) FROM t WHERE b IN ('late', 'later')").await, 2, "{journal}");
        world.expect_tidy().await;
    }
}

#[tokio::test]
async fn a_writer_between_look_and_lock_above_the_ceiling_stops_it() {
    for journal in ["DELETE", "WAL"] {
        let world = world(journal).await;
        let program = world.accepted().await;
        let writer = At {
            word: "taking the write lock",
            file: world.file.clone(),
            sql: "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT 900) INSERT INTO t SELECT i, 'a', 'b' FROM n",
        };
        let refused = world.db.step_down(&program, &by(1), &writer).await.expect_err("too many");
        assert!(refused.message.contains("920 rows"), "{journal}: {refused}");
        assert_eq!(world.number("SELECT count(b) FROM t").await, 920, "{journal}");
        assert_eq!(
            world.number("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'unship%'").await,
            0,
            "{journal}"
        );
        world.expect_tidy().await;
    }
}

#[tokio::test]
async fn of_two_steppers_one_wins_and_the_other_is_told() {
    for journal in ["DELETE", "WAL"] {
        let world = world(journal).await;
        let mut program = world.accepted().await;
        program.session.lock_ms_max = 5_000;
        let (one, other) = (by(1), by(2));
        let (first, second) = tokio::join!(
            world.db.step_down(&program, &one, &Silent),
            world.db.step_down(&program, &other, &Silent)
        );
        assert_eq!(
            usize::from(first.is_ok()) + usize::from(second.is_ok()),
            1,
            "{journal}: {first:?} {second:?}"
        );
        let lost = first.err().or(second.err()).expect("one lost");
        assert!(lost.message.contains("is not as it was"), "{journal}: {lost}");
        assert_eq!(world.db.salvaged().await.expect("listed").len(), 1, "{journal}");
        assert_eq!(world.db.landed(&program).await, Ok(Landed::After));
        world.expect_tidy().await;
    }
}

#[tokio::test]
async fn a_writer_that_does_not_end_is_named_and_nothing_is_changed() {
    for journal in ["DELETE", "WAL"] {
        let world = world(journal).await;
        let program = world.accepted().await;
        let before = world.dump().await;
        let mut other = world.connect(false).await;
        say(&mut other, "BEGIN IMMEDIATE; UPDATE t SET a = 'mine'").await.expect("begun");
        let refused = world.down(&program).await.expect_err("locked");
        assert!(refused.message.contains("locked") && refused.hint.is_some(), "{journal}: {refused}");
        say(&mut other, "ROLLBACK").await.expect("rolled back");
        other.close().await.expect("closed");
        assert_eq!(world.dump().await, before, "{journal}");
        world.expect_tidy().await;
    }
}

#[tokio::test]
async fn a_reader_that_does_not_end_holds_the_commit_without_wal_and_not_with_it() {
    for (journal, works) in [("DELETE", false), ("WAL", true)] {
        let world = world(journal).await;
        let program = world.accepted().await;
        let before = world.dump().await;
        let mut reader = world.connect(false).await;
        say(&mut reader, "BEGIN; SELECT count(*) FROM t").await.expect("begun");
        let ended = world.down(&program).await;
        say(&mut reader, "COMMIT").await.expect("ended");
        reader.close().await.expect("closed");
        match ended {
            Ok(_) => assert!(works, "{journal}"),
            Err(refused) => {
                assert!(
                    !works && refused.message.contains("committing") && !refused.in_doubt,
                    "{journal}: {refused}"
                );
                assert_eq!(world.dump().await, before, "{journal}");
            }
        }
        world.expect_tidy().await;
    }
}

#[tokio::test]
async fn a_statement_that_does_not_end_is_interrupted() {
    let world = world("WAL").await;
    let mut program = world.accepted().await;
    let before = world.dump().await;
    program.session.statement_ms_max = 200;
    program.batches.push(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c;".into(),
    );
    let refused = world.down(&program).await.expect_err("too long");
    assert!(refused.message.contains("interrupted"), "{refused}");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_url_that_names_no_database_is_refused() {
    let world = world("WAL").await;
    for (url, why) in [
        ("postgres://localhost/x", "is not one of SQLite"),
        ("sqlite::memory:", "in the memory of another process"),
        ("sqlite:///nowhere/service.db", "there is no database"),
        ("", "is not one of SQLite"),
    ] {
        fs_err::write(&world.db.url_file, url).expect("a file");
        let refused = world.db.look(Tool::Sqlx).await.expect_err(url);
        assert!(refused.message.contains(why) && refused.hint.is_some(), "{url}: {refused}");
    }
    fs_err::write(&world.db.url_file, format!("sqlite:{}?mode=rwc&x-no-tx-wrap=true", world.file.display()))
        .expect("a file");
    world.db.look(Tool::Sqlx).await.expect("it is one");
    fs_err::write(
        &world.file,
        "not a database, but long enough to be looked at as one; so SQLite says it is none. ".repeat(20),
    )
    .expect("a file");
    let refused = world.db.look(Tool::Sqlx).await.expect_err("no database");
    assert!(refused.message.contains("not a database"), "{refused}");
}

/// A small disk, for whoever may mount one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mounted(bytes: usize) -> Option<Disk> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"], folder.path());
        if !mounted {
            println!("skipped: no file system can be mounted here");
        }
        mounted.then_some(Disk(folder))
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let done = Command::new("mount").args(arguments).arg(folder).stderr(std::process::Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_beforehand() {
    let Some(disk) = Disk::mounted(16 << 20) else { return };
    let world = World::in_folder(disk.0.path(), Tool::Sqlx, &steps()).await;
    filled(&world, 20).await;
    let before = world.dump().await;
    let program = world.program().await;
    let refused = world.down(&program).await.expect_err("no room");
    assert!(refused.message.contains("bytes free"), "{refused}");
    let refused = world.db.rehearse(&[program]).await.expect_err("no room");
    assert!(refused.message.contains("bytes free"), "{refused}");
    assert_eq!(world.dump().await, before);
    world.expect_tidy().await;
}

#[tokio::test]
async fn a_disk_that_fills_up_meanwhile_takes_nothing_away() {
    let Some(disk) = Disk::mounted(80 << 20) else { return };
    let world = World::in_folder(disk.0.path(), Tool::Sqlx, &steps()).await;
    filled(&world, 4_000).await;
    let program = world.accepted().await;
    let before = world.dump().await;
    let fill = disk.0.path().join("fill");
    let filler = Filler { path: fill.clone() };
    let refused = world.db.step_down(&program, &by(1), &filler).await.expect_err("no room");
    assert!(refused.message.contains("full") && !refused.in_doubt, "{refused}");
    fs_err::remove_file(fill).expect("removed");
    assert_eq!(world.dump().await, before);
    world.expect_tidy().await;
    world.down(&program).await.expect("with room it works");
}

/// Fills the disk as soon as the copy is made.
struct Filler {
    path: PathBuf,
}

impl Progress for Filler {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn said(&self, line: &str) {
        if line.contains("running the down") {
            let mut file = std::fs::File::create(&self.path).expect("a file");
            let chunk = vec![1_u8; 1 << 16];
            while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        }
    }
}

#[tokio::test]
async fn a_read_only_disk_is_told_by_looking() {
    let Some(disk) = Disk::mounted(96 << 20) else { return };
    let world = World::in_folder(disk.0.path(), Tool::Sqlx, &steps()).await;
    let program = world.accepted().await;
    assert!(mount(&["-o", "remount,ro"], disk.0.path()), "remounted");
    let live = world.db.look(Tool::Sqlx).await.expect("it can be looked at");
    assert!(live.cannot_change.as_ref().is_some_and(|why| why.contains("cannot be written")), "{live:?}");
    let refused = world.down(&program).await.expect_err("read-only");
    assert!(refused.hint.is_some(), "{refused}");
    let refused = world.up(world.newest()).await.expect_err("read-only");
    assert!(refused.message.contains("cannot be written"), "{refused}");
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_taken_back_by_looking() {
    let world = World::new(Tool::Sqlx, &steps()).await;
    world.run("PRAGMA journal_mode=DELETE").await;
    filled(&world, 3_000).await;
    let program = world.program().await;
    let before = world.dump().await;
    // A writer with more changes than its memory holds has some of them in the file, and their opposite beside it.
    let mut writer = world.connect(true).await;
    say(&mut writer, "PRAGMA cache_size = 1; BEGIN; UPDATE t SET a = 'half', b = hex(randomblob(300))")
        .await
        .expect("written");
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["service.db", "service.db-journal"] {
        fs_err::copy(world.file.with_file_name(name), folder.path().join(name)).expect("a copy");
    }
    let killed = World::open(folder.path(), Tool::Sqlx, &steps());
    assert_eq!(killed.db.landed(&program).await.expect("an answer"), Landed::Before);
    assert_eq!(killed.dump().await, before);
}
