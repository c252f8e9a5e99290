//! A step down on SQLite that is killed: wholly before or wholly after, and the next one goes on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use unship::ports::{Database as _, Landed, OnConflict, Progress};
use unship_core::down::Program;
use unship_core::tools::Tool;

use crate::sqlite_world::{World, by, pair};

/// The folder in which a child steps down, and before which of its points it kills itself.
const FOLDER: &str = "UNSHIP_TEST_STEP_IN";
const POINT: &str = "UNSHIP_TEST_KILL_AT";

fn steps() -> [(String, String); 2] {
    [
        pair(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE c (t INTEGER REFERENCES t(id) ON DELETE CASCADE, x);",
            "",
        ),
        pair(
            "ALTER TABLE t ADD COLUMN b TEXT; CREATE TABLE u (a);",
            "DELETE FROM t WHERE id % 3 = 0; DROP TABLE u; ALTER TABLE t DROP COLUMN b;",
        ),
    ]
}

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) \
     INSERT INTO t SELECT i, 'a' || i, hex(randomblob(40)) FROM n; \
     INSERT INTO c SELECT id, randomblob(30) FROM t; INSERT INTO u SELECT randomblob(50) FROM t;";

/// Kills this process at one of its points.
struct Killer {
    seen: AtomicUsize,
    at: Option<usize>,
}

impl Progress for Killer {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
    fn said(&self, _: &str) {
        if Some(self.seen.fetch_add(1, Ordering::SeqCst)) == self.at {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

/// Runs only as a child of the others.
#[tokio::test]
async fn child_that_steps_down() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let world = World::open(folder, Tool::Sqlx, &steps());
    let program: Program =
        serde_json::from_slice(&fs_err::read(folder.join("program.json")).expect("a file"))
            .expect("a program");
    let at = std::env::var(POINT).ok().and_then(|at| at.parse().ok());
    let killer = Killer { seen: AtomicUsize::new(0), at };
    world.db.step_down(&program, &by(1), &killer).await.expect("a step");
    fs_err::write(folder.join("points"), killer.seen.load(Ordering::SeqCst).to_string()).expect("a file");
}

fn child(folder: &Path, at: Option<usize>) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().expect("this"));
    command
        .args(["--exact", "sqlite_kill::child_that_steps_down"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(at) = at {
        command.env(POINT, at.to_string());
    }
    command.spawn().expect("a child")
}

/// A database with the program for it, in a folder that can be copied.
async fn template(journal: &str) -> (tempfile::TempDir, Program) {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::in_folder(folder.path(), Tool::Sqlx, &steps()).await;
    world.run(&format!("PRAGMA journal_mode={journal}")).await;
    world.run(ROWS).await;
    let mut program = world.accepted().await;
    program.fence = true;
    fs_err::write(folder.path().join("program.json"), serde_json::to_vec(&program).expect("JSON"))
        .expect("a file");
    (folder, program)
}

fn copied(template: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["service.db", "program.json"] {
        fs_err::copy(template.join(name), folder.path().join(name)).expect("a copy");
    }
    folder
}

/// The database after a kill is the one before or the one after; then the step is taken if it was not, everything is
/// put back, and nothing is missing. Whether it had been taken.
async fn expect_whole(
    folder: &Path,
    program: &Program,
    told: &str,
    before: &crate::sqlite_world::Dump,
) -> bool {
    let world = World::open(folder, Tool::Sqlx, &steps());
    let landed = world.db.landed(program).await.unwrap_or_else(|error| panic!("{told}: {error}"));
    let was_taken = match landed {
        Landed::Before => {
            assert_eq!(&world.dump().await, before, "{told}");
            assert!(world.db.salvaged().await.expect("listed").is_empty(), "{told}");
            assert!(world.db.fences().await.expect("listed").is_empty(), "{told}");
            world.down(program).await.unwrap_or_else(|error| panic!("{told}: {error}"));
            false
        }
        Landed::After => true,
        Landed::Neither { why } => panic!("{told}: {why}"),
    };
    assert_eq!(world.number("SELECT count(*) FROM t").await, 2000, "{told}");
    assert_eq!(world.db.fences().await.expect("listed").len(), 1, "{told}");
    world.db.lift_fences(&crate::sqlite_world::release("v1.4.0")).await.expect("lifted");
    world.up_again().await;
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    assert_eq!(restored.conflicts_count, 0, "{told}: {restored:?}");
    assert_eq!(&world.dump().await, before, "{told}");
    if !was_taken {
        world.expect_tidy().await;
    }
    was_taken
}

#[tokio::test]
async fn killed_at_every_point_it_is_before_or_after() {
    for journal in ["DELETE", "WAL"] {
        let (template, program) = template(journal).await;
        let before = World::open(template.path(), Tool::Sqlx, &steps()).dump().await;
        let whole = copied(template.path());
        assert!(child(whole.path(), None).wait().expect("ended").success());
        let points: usize =
            fs_err::read_to_string(whole.path().join("points")).expect("a file").parse().expect("a number");
        assert!(points >= 6, "{points}");
        assert!(expect_whole(whole.path(), &program, "not killed", &before).await);
        for at in 0..points {
            let folder = copied(template.path());
            assert!(!child(folder.path(), Some(at)).wait().expect("ended").success());
            let taken =
                expect_whole(folder.path(), &program, &format!("{journal}, point {at}"), &before).await;
            assert!(!taken, "no point is after the commit");
        }
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_is_before_or_after() {
    let rounds = if std::env::var_os("UNSHIP_PROVE").is_some() { 300 } else { 24 };
    for journal in ["DELETE", "WAL"] {
        let (template, program) = template(journal).await;
        let before = World::open(template.path(), Tool::Sqlx, &steps()).dump().await;
        let whole = copied(template.path());
        let began = Instant::now();
        assert!(child(whole.path(), None).wait().expect("ended").success());
        let took = began.elapsed();
        let mut taken = 0;
        for round in 0..rounds {
            let folder = copied(template.path());
            let mut running = child(folder.path(), None);
            std::thread::sleep(Duration::from_secs_f64(
                took.as_secs_f64() * 1.2 * f64::from(round) / f64::from(rounds),
            ));
            let _ = running.kill();
            running.wait().expect("ended");
            let told = format!("{journal}, round {round} of {rounds}");
            taken += u32::from(expect_whole(folder.path(), &program, &told, &before).await);
        }
        println!("{journal}: {rounds} killed within {took:?}; {taken} of them had taken the step");
    }
}
