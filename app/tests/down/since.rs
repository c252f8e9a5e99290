//! Whose writes count between a step down and the restore: somebody's, and neither those of the migrations that are
//! applied again, as their tools do that, nor those of unship.

use unship::ports::{Database as _, OnConflict, Restored, StepBy};
use unship_core::down::{Allowed, LossKind, Program};
use unship_core::tools::{Tool, about};

use crate::server::{Server, has_postgres};
use crate::world::{Heard, World, by, name, set};

const BASE: &str =
    "CREATE TABLE issues (id bigint PRIMARY KEY, title text, status text NOT NULL DEFAULT 'open');
    INSERT INTO issues SELECT n, 'title ' || n FROM generate_series(1, 10) n;";
const COLOR: (&str, &str) = (
    "ALTER TABLE issues ADD COLUMN color text; UPDATE issues SET color = 'plain' WHERE id <= 8;",
    "UPDATE issues SET title = upper(title); ALTER TABLE issues DROP COLUMN color;",
);
const NOTE: (&str, &str) = (
    "ALTER TABLE issues ADD COLUMN note text; UPDATE issues SET note = 'filled in', status = 'done' WHERE id <= 5;
    CREATE TABLE labels (id bigint PRIMARY KEY, word text); INSERT INTO labels SELECT n, 'word' FROM generate_series(1, 5) n;",
    "ALTER TABLE issues DROP COLUMN note; DROP TABLE labels;",
);
const NOTED: &str = "UPDATE issues SET note = 'mine ' || id; UPDATE labels SET word = 'mine ' || id;";
const NOTES_THERE: &str = "SELECT (SELECT count(*) FROM issues WHERE note = 'mine ' || id)
    + 100 * (SELECT count(*) FROM labels WHERE word = 'mine ' || id)";

fn column(column: &str) -> Allowed {
    let kind = LossKind::Column { table: name("issues"), column: column.into(), default: None };
    Allowed { kind, affected_max: 1_000 }
}

fn labels() -> Allowed {
    Allowed { kind: LossKind::Table { table: name("labels") }, affected_max: 1_000 }
}

/// As if no fence stood, which is lifted before anything is applied again.
fn unfenced(program: Program) -> Program {
    Program { fence: false, ..program }
}

async fn step(world: &World<'_>, program: &Program, step: usize) {
    let by = StepBy { step, ..by(1) };
    let stepped = world.database().step_down(program, &by, &Heard::default()).await;
    stepped.unwrap_or_else(|failure| panic!("{failure}"));
}

/// As sqlx does it: migration and row in one transaction, and the row once more after it.
async fn applied_by_sqlx(world: &World<'_>, version: i64, up: &str) {
    world
        .say(&format!(
            "SET ROLE owner; BEGIN; {up}; INSERT INTO _sqlx_migrations VALUES ({version}, 'step', now(), true, '', -1); COMMIT;
            UPDATE _sqlx_migrations SET execution_time = 5 WHERE version = {version}"
        ).replace(";;", ";"))
        .await;
}

async fn restore(world: &World<'_>, step: usize) -> Restored {
    let all = world.database().salvaged().await.expect("a list");
    let salvaged = all.iter().find(|one| one.step == step).expect("a salvage");
    let restored = world.database().restore(salvaged, OnConflict::Keep, false, &Heard::default()).await;
    restored.unwrap_or_else(|failure| panic!("{failure} ({:?})", failure.hint))
}

fn told(restored: &Restored) -> Vec<String> {
    let mut told: Vec<String> =
        restored.conflicts.iter().map(|one| format!("{} {}: {}", one.table.name, one.key, one.why)).collect();
    told.sort();
    told
}

#[tokio::test]
async fn what_a_migration_fills_in_when_sqlx_applies_it_again_is_no_conflict() {
    if !has_postgres() {
        return;
    }
    let world = World::with(Server::shared(), set(Tool::Sqlx, &[(BASE, ""), NOTE])).await;
    world.say(NOTED).await;
    let program = unfenced(world.program(vec![column("note"), labels()]).await);
    step(&world, &program, 1).await;
    world
        .say("UPDATE issues SET title = 'old' WHERE id = 2; UPDATE issues SET title = title WHERE id = 7")
        .await;
    applied_by_sqlx(&world, 2, NOTE.0).await;
    world
        .say("UPDATE issues SET note = 'newer' WHERE id = 3; UPDATE labels SET word = 'newer' WHERE id = 4")
        .await;
    let restored = restore(&world, 1).await;
    assert_eq!(
        told(&restored),
        [
            "issues id=2: note: the row was changed since",
            "issues id=3: note: the row was written since the migration was applied again",
            "issues id=7: note: the row was changed since",
            "labels id=4: a row of this key was made since",
        ]
    );
    assert_eq!(world.ask(NOTES_THERE).await, 407);
}

#[tokio::test]
async fn what_sqlx_applies_again_is_nobodys_though_the_down_only_changed_rows() {
    if !has_postgres() {
        return;
    }
    const FILL: (&str, &str) = (
        "UPDATE issues SET status = 'new' WHERE id <= 8;",
        "UPDATE issues SET status = 'old' WHERE id <> 9;",
    );
    let world = World::with(Server::shared(), set(Tool::Sqlx, &[(BASE, ""), FILL])).await;
    world.say("UPDATE issues SET status = 'mine ' || id").await;
    let program = unfenced(world.program(Vec::new()).await);
    let program = Program { captured: vec![name("issues")], locks: vec![name("issues")], ..program };
    step(&world, &program, 1).await;
    world.say("UPDATE issues SET title = 'old' WHERE id = 2").await;
    applied_by_sqlx(&world, 2, FILL.0).await;
    world.say("UPDATE issues SET title = 'newer' WHERE id = 3").await;
    let restored = restore(&world, 1).await;
    assert_eq!(
        told(&restored),
        ["issues id=2: the row was changed since", "issues id=3: the row was changed since"]
    );
    assert_eq!(world.ask("SELECT count(*) FROM issues WHERE status = 'mine ' || id").await, 8);
}

#[tokio::test]
async fn a_version_row_that_is_written_later_does_not_hide_who_wrote_since() {
    if !has_postgres() {
        return;
    }
    let tool = Tool::GolangMigrate;
    let world = World::with(Server::shared(), set(tool, &[(BASE, ""), NOTE])).await;
    world.say(NOTED).await;
    let program = unfenced(world.program(vec![column("note"), labels()]).await);
    step(&world, &program, 1).await;
    let live = world.database().look(tool).await.expect("a look");
    world.database().step_up(world.newest(), &live).await.expect("a step up");
    world
        .say("UPDATE issues SET note = 'newer' WHERE id = 3; UPDATE labels SET word = 'newer' WHERE id = 4")
        .await;
    // As `migrate force` does, and each way to the next version and back.
    let table = about(tool).table.expect("a table").name;
    world.say(&format!("UPDATE {table} SET dirty = false")).await;
    let restored = restore(&world, 1).await;
    assert_eq!(
        told(&restored),
        [
            "issues id=3: note: the row was written since the migration was applied again",
            "labels id=4: a row of this key was made since",
        ]
    );
    assert_eq!(world.ask(NOTES_THERE).await, 409);
}

/// Takes two migrations down, the newest first, with somebody's write after both where one is given.
async fn two_down(written: &str) -> World<'static> {
    let world = World::with(Server::shared(), set(Tool::Sqlx, &[(BASE, ""), COLOR, NOTE])).await;
    world.say(NOTED).await;
    world.say("UPDATE issues SET color = 'color ' || id WHERE id <> 9").await;
    let program = unfenced(world.program(vec![column("note"), labels()]).await);
    step(&world, &program, 2).await;
    let mut earlier = world.named(&world.name);
    earlier.set = set(Tool::Sqlx, &[(BASE, ""), COLOR]);
    let program = unfenced(earlier.program(vec![column("color")]).await);
    let program = Program { captured: vec![name("issues")], locks: vec![name("issues")], ..program };
    step(&earlier, &program, 1).await;
    world.say(written).await;
    world
}

const ALL_THERE: &str = "SELECT count(*) FROM issues WHERE title = 'title ' || id
    AND color IS NOT DISTINCT FROM CASE id WHEN 9 THEN NULL ELSE 'color ' || id END
    AND note = 'mine ' || id AND status = CASE WHEN id <= 5 THEN 'done' ELSE 'open' END";

#[tokio::test]
async fn two_steps_come_back_without_a_conflict_where_nobody_wrote() {
    if !has_postgres() {
        return;
    }
    // Applied and put back one after the other, and first both applied.
    for each in [true, false] {
        let world = two_down("").await;
        applied_by_sqlx(&world, 2, COLOR.0).await;
        let mut came = Vec::new();
        if each {
            came.push(restore(&world, 1).await);
        }
        applied_by_sqlx(&world, 3, NOTE.0).await;
        if !each {
            came.push(restore(&world, 1).await);
        }
        came.push(restore(&world, 2).await);
        for restored in &came {
            assert_eq!(told(restored), Vec::<String>::new(), "{each}");
        }
        assert_eq!(world.ask(ALL_THERE).await, 10, "{each}");
        assert_eq!(world.ask(NOTES_THERE).await, 510, "{each}");
    }
}

#[tokio::test]
async fn what_somebody_wrote_between_two_steps_is_told_though_a_migration_wrote_the_row_last() {
    if !has_postgres() {
        return;
    }
    let world = two_down("UPDATE issues SET status = status WHERE id = 2").await;
    applied_by_sqlx(&world, 2, COLOR.0).await;
    world.say("UPDATE issues SET color = 'newer' WHERE id = 4").await;
    applied_by_sqlx(&world, 3, NOTE.0).await;
    let first = told(&restore(&world, 1).await);
    assert_eq!(
        first,
        [
            "issues id=2: color: the row was changed since",
            "issues id=2: the row was changed since",
            "issues id=4: color: the row was written since the migration was applied again",
            "issues id=4: the row was changed since",
        ]
    );
    let second = told(&restore(&world, 2).await);
    assert_eq!(
        second,
        ["issues id=2: note: the row was changed since", "issues id=4: note: the row was changed since"]
    );
    assert_eq!(world.ask("SELECT count(*) FROM issues WHERE color = 'newer'").await, 1);
}
