//! With the real sqlx-cli on SQLite: applied by the tool and taken down by unship, and the other way round; each goes on
//! as if it had done all of it.

use std::path::Path;
use std::process::{Command, Output};

use unship::ports::{Database as _, OnConflict};
use unship_core::tools::Tool;

use crate::sqlite_world::{World, pair, release};

/// Whether the tool is there, built for SQLite (`testbed/tools sqlx`).
fn has_sqlx() -> bool {
    let found = Command::new("sqlx").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: there is no `sqlx` on the PATH (testbed/tools sqlx)");
    }
    found
}

fn sqlx(world: &World, verb: &str) -> Output {
    Command::new("sqlx")
        .args(["migrate", verb, "--source"])
        .arg(world.folder.join("migrations"))
        .args(["--database-url", &format!("sqlite://{}", world.file.display())])
        .current_dir(&world.folder)
        .output()
        .expect("it runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn expect(world: &World, verb: &str) -> String {
    let output = sqlx(world, verb);
    assert!(output.status.success(), "sqlx migrate {verb}: {}", said(&output));
    said(&output)
}

fn written(folder: &Path, steps: &[(String, String)]) {
    let folder = folder.join("migrations");
    fs_err::create_dir(&folder).expect("a folder");
    for (number, (up, down)) in (1..).zip(steps) {
        fs_err::write(folder.join(format!("{number:04}_s.up.sql")), up).expect("a file");
        fs_err::write(folder.join(format!("{number:04}_s.down.sql")), down).expect("a file");
    }
}

/// A database to which sqlx-cli has applied everything.
async fn world() -> (tempfile::TempDir, World) {
    let steps = [
        pair("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);", "DROP TABLE t;"),
        pair("ALTER TABLE t ADD COLUMN b TEXT;", "ALTER TABLE t DROP COLUMN b;"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::in_folder(folder.path(), Tool::Sqlx, &[]).await;
    written(folder.path(), &steps);
    world.migrations = crate::sqlite_world::migrations(Tool::Sqlx, &steps);
    let applied = expect(&world, "run");
    assert!(applied.contains("Applied 2/migrate"), "{applied}");
    world.run("INSERT INTO t VALUES (1, 'x', 'kept'), (2, 'y', NULL)").await;
    (folder, world)
}

#[tokio::test]
async fn sqlx_goes_on_after_a_step_down_as_if_it_had_done_it() {
    if !has_sqlx() {
        return;
    }
    let (_folder, world) = world().await;
    let before = world.dump().await;
    let mut program = world.accepted().await;
    program.fence = true;
    world.down(&program).await.expect("a step");
    let info = expect(&world, "info");
    assert!(info.contains("1/installed") && info.contains("2/pending"), "{info}");
    // The fence speaks through the tool, and the script that it was about to run has left nothing.
    let fenced = sqlx(&world, "run");
    assert!(
        !fenced.status.success() && said(&fenced).contains("unship fence: migration 0002_s"),
        "{}",
        said(&fenced)
    );
    assert_eq!(world.number("SELECT count(*) FROM pragma_table_info('t')").await, 2);
    world.db.lift_fences(&release("v1.4.0")).await.expect("lifted");
    let applied = expect(&world, "run");
    assert!(applied.contains("Applied 2/migrate") && !applied.contains("Applied 1"), "{applied}");
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    assert_eq!(restored.conflicts_count, 0, "{restored:?}");
    assert_eq!(world.dump().await, before);
    // And the tool takes it down itself.
    let reverted = expect(&world, "revert");
    assert!(reverted.contains("Applied 2/revert"), "{reverted}");
}

#[tokio::test]
async fn unship_goes_on_after_a_revert_as_if_it_had_done_it() {
    if !has_sqlx() {
        return;
    }
    let (_folder, world) = world().await;
    expect(&world, "revert");
    world.up_again().await;
    let info = expect(&world, "info");
    assert!(info.contains("2/installed") && !info.contains("different checksum"), "{info}");
    let again = expect(&world, "run");
    assert!(!again.contains("Applied"), "{again}");
    let reverted = expect(&world, "revert");
    assert!(reverted.contains("Applied 2/revert"), "{reverted}");
}
