use std::process::Output;

use sqlx::Connection as _;

use crate::service::World;

/// Runs one statement on the world's database.
fn execute(world: &World, statement: &'static str) {
    let url = format!("sqlite://{}", world.path("shithubd.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// The status, one `(version, applied?)` per migration.
fn status(world: &World) -> Vec<(i64, bool)> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        (words.next().unwrap().parse().unwrap(), words.next().unwrap() == "applied")
    };
    world.say(&["migrate", "status"]).lines().map(line).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_the_way_up_down_and_up_again() {
    let world = World::migrated();
    let applied = status(&world);
    assert!(applied.len() >= 2 && applied.iter().all(|(_, applied)| *applied));
    assert_eq!(world.say(&["migrate", "up"]), "nothing to apply");

    for step in (0..applied.len()).rev() {
        world.say(&["migrate", "down"]);
        let now = status(&world);
        let expected: Vec<_> =
            applied.iter().enumerate().map(|(at, (version, _))| (*version, at < step)).collect();
        assert_eq!(now, expected, "one step, and the newest");
    }
    let output = world.run(&["migrate", "down"]);
    assert!(!output.status.success() && said(&output).contains("nothing to revert"));

    world.say(&["migrate", "up"]);
    assert_eq!(status(&world), applied);
    world.web(&[]);
}

#[test]
fn web_does_not_start_on_an_older_schema() {
    let world = World::migrated();
    world.say(&["migrate", "down"]);
    let output = world.run(&["web", "--listen", "127.0.0.1:0"]);
    assert!(
        !output.status.success() && said(&output).contains("run `shithubd migrate up`"),
        "{}",
        said(&output)
    );
    world.web(&["--migrate"]);
}

const FOREIGN: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (9999, 'of a newer release', TRUE, x'00', 0)";

#[test]
fn a_newer_schema_is_not_in_the_way() {
    let world = World::migrated();
    execute(&world, FOREIGN);
    world.web(&[]);
    world.say(&["migrate", "up"]);
    assert_eq!(status(&world).last(), Some(&(9999, true)));
}

#[test]
fn down_never_reverts_an_older_migration_in_place_of_an_unknown_newer_one() {
    let world = World::migrated();
    execute(&world, FOREIGN);
    let before = status(&world);
    let output = world.run(&["migrate", "down"]);
    assert!(!output.status.success() && said(&output).contains("9999"), "{}", said(&output));
    assert_eq!(status(&world), before);
}

#[test]
fn a_migration_that_was_changed_after_it_was_applied_is_noticed() {
    let world = World::migrated();
    execute(&world, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1");
    let output = world.run(&["web", "--listen", "127.0.0.1:0"]);
    assert!(!output.status.success() && said(&output).contains("has been modified"), "{}", said(&output));
}

#[test]
fn two_that_start_together_migrate_once() {
    let world = World::new();
    let mut children: Vec<_> =
        (0..4).map(|_| world.command().args(["migrate", "up"]).spawn().unwrap()).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
}
