//! A down that makes a table anew under the name that it had: the old release goes on writing it, and what it wrote
//! stays.

use unship::ports::{Database as _, OnConflict, Restored};
use unship_core::down::{Allowed, LossKind, Program};
use unship_core::tools::Tool;

use crate::server::{Server, has_postgres};
use crate::world::{Heard, World, name, set};

/// One migration that adds a column, and a down that makes the table anew without it.
async fn rebuilt(key: &str) -> (World<'static>, Program) {
    let base = format!(
        "CREATE TABLE users (id bigint {key}, name text); INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 10) n;"
    );
    let again = if key.is_empty() { "" } else { "ALTER TABLE users ADD PRIMARY KEY (id);" };
    let down = format!(
        "CREATE TABLE users_old AS SELECT id, name FROM users; DROP TABLE users; ALTER TABLE users_old RENAME TO users; {again}"
    );
    let steps = [(base.as_str(), ""), (UP, down.as_str())];
    let world = World::with(Server::shared(), set(Tool::Sqlx, &steps)).await;
    world.say("UPDATE users SET email = 'mail ' || id").await;
    let kind = LossKind::Table { table: name("users") };
    let program = world.program(vec![Allowed { kind, affected_max: 1_000 }]).await;
    (world, Program { fence: false, locks: vec![name("users")], ..program })
}

const UP: &str =
    "ALTER TABLE users ADD COLUMN email text; UPDATE users SET email = 'filled in' WHERE id <= 8;";

/// The up as sqlx does it, and the restore.
async fn back(world: &World<'_>, written: &str, conflicts: OnConflict) -> Restored {
    let row = "INSERT INTO _sqlx_migrations VALUES (2, 'step', now(), true, '', -1)";
    world.say(&format!("SET ROLE owner; BEGIN; {UP} {row}; COMMIT; UPDATE _sqlx_migrations SET execution_time = 5 WHERE version = 2")).await;
    world.say(written).await;
    restore(world, conflicts).await
}

async fn restore(world: &World<'_>, conflicts: OnConflict) -> Restored {
    let all = world.database().salvaged().await.expect("a list");
    let restored = world.database().restore(&all[0], conflicts, false, &Heard::default()).await;
    restored.unwrap_or_else(|failure| panic!("{failure} ({:?})", failure.hint))
}

fn told(restored: &Restored) -> Vec<String> {
    let mut told: Vec<String> =
        restored.conflicts.iter().map(|one| format!("{}: {}", one.key, one.why)).collect();
    told.sort();
    told
}

const THERE: &str = "SELECT count(*) FROM users WHERE name = 'name ' || id AND email = 'mail ' || id";
const WATCHED: &str = "SELECT count(DISTINCT tgrelid) FROM pg_trigger WHERE tgname LIKE 'unship%'";

#[tokio::test]
async fn what_the_old_release_wrote_into_the_new_table_stays_and_is_told() {
    if !has_postgres() {
        return;
    }
    let (world, program) = rebuilt("PRIMARY KEY").await;
    world.step(&program).await.expect("a step");
    world.say("UPDATE users SET name = 'old' WHERE id = 1; DELETE FROM users WHERE id = 2; INSERT INTO users VALUES (11, 'later')").await;
    let restored = back(&world, "UPDATE users SET email = 'newer' WHERE id = 3", OnConflict::Keep).await;
    assert_eq!(
        told(&restored),
        ["id=1: the row was changed since", "id=2: the row is gone", "id=3: the row was changed since"]
    );
    assert_eq!(world.ask(THERE).await, 7);
    assert_eq!(
        world.ask("SELECT count(*) FROM users WHERE name = 'old' OR email = 'newer' OR id = 11").await,
        3
    );
    assert_eq!(world.ask("SELECT count(*) FROM users").await, 10);
    // The saved rows win where that is asked for, and then nothing of unship's is left on the table.
    let restored = restore(&world, OnConflict::Saved).await;
    assert_eq!((restored.rows, restored.conflicts_count), (3, 0), "{restored:#?}");
    assert_eq!(world.ask(THERE).await, 10);
    assert_eq!(world.ask(WATCHED).await, 0);
}

#[tokio::test]
async fn where_nobody_wrote_all_comes_back_and_a_dropped_salvage_leaves_no_trigger() {
    if !has_postgres() {
        return;
    }
    let (world, program) = rebuilt("PRIMARY KEY").await;
    world.step(&program).await.expect("a step");
    let restored = back(&world, "", OnConflict::Keep).await;
    assert_eq!((told(&restored), world.ask(THERE).await), (Vec::new(), 10));
    let (world, program) = rebuilt("PRIMARY KEY").await;
    world.step(&program).await.expect("a step");
    assert_eq!(world.ask(WATCHED).await, 1);
    let all = world.database().salvaged().await.expect("a list");
    world.database().drop_salvage(&all[0]).await.expect("dropped");
    assert_eq!(world.ask(WATCHED).await, 0);
}

#[tokio::test]
async fn without_a_key_no_row_of_it_is_put_in_beside_what_it_became() {
    if !has_postgres() {
        return;
    }
    let (world, program) = rebuilt("").await;
    world.step(&program).await.expect("a step");
    world.say("DELETE FROM users WHERE id = 2").await;
    let restored = back(&world, "", OnConflict::Keep).await;
    assert_eq!((restored.rows, restored.conflicts_count), (0, 10), "{restored:#?}");
    assert_eq!(told(&restored)[0], "a row without a key: no key tells the rows of the table apart");
    assert_eq!(world.ask("SELECT count(*) FROM users").await, 9);
}
