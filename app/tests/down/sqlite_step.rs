//! What a step down takes away on SQLite, and what it refuses.

use unship::ports::{Database as _, Landed, OnConflict};
use unship_core::down::{LossKind, ceiling};
use unship_core::protocol::Epoch;
use unship_core::tools::Tool;

use crate::sqlite_world::{Silent, World, accept, by, pair};

const TABLES: &str = "CREATE TABLE repos (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE issues (id INTEGER PRIMARY KEY, repo INTEGER REFERENCES repos(id) ON DELETE CASCADE, title TEXT);";

const ROWS: &str = "INSERT INTO repos (id, name) VALUES (1, 'one'), (2, 'two'), (9, 'nine');
    INSERT INTO issues (id, repo, title) VALUES (1, 1, 'a'), (2, 1, 'b'), (5, 9, 'c'), (6, NULL, 'd');";

fn kinds(losses: &[unship_core::down::Loss]) -> Vec<(String, u64)> {
    losses
        .iter()
        .map(|loss| {
            (
                format!("{:?}", loss.kind).chars().take_while(|c| *c != ' ').collect::<String>()
                    + " "
                    + &loss.kind.table().name,
                loss.affected,
            )
        })
        .collect()
}

#[tokio::test]
async fn a_rehearsal_says_what_is_lost_and_touches_nothing() {
    let steps = [
        pair(TABLES, ""),
        pair(
            "ALTER TABLE repos ADD COLUMN topic TEXT DEFAULT 'none'; CREATE TABLE stars (repo INTEGER, who TEXT);",
            "DELETE FROM repos WHERE id = 9; UPDATE issues SET title = upper(title) WHERE id < 3; \
             DROP TABLE stars; ALTER TABLE repos DROP COLUMN topic;",
        ),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run(ROWS).await;
    world
        .run("UPDATE repos SET topic = 'x' WHERE id < 3; INSERT INTO stars VALUES (1, 'ada'), (2, NULL)")
        .await;
    let before = world.dump().await;
    let program = world.program().await;
    let losses = world.losses(&program).await;
    assert_eq!(
        kinds(&losses),
        [
            ("Rows issues".to_owned(), 3),
            ("Column repos".to_owned(), 2),
            ("Rows repos".to_owned(), 1),
            ("Table stars".to_owned(), 2),
        ]
    );
    assert_eq!(world.dump().await, before);
    world.expect_tidy().await;
    // What was not accepted does not happen.
    let refused = world.down(&program).await.expect_err("nothing was accepted");
    assert!(refused.message.contains("that was not accepted"), "{refused}");
    assert_eq!(world.dump().await, before);
    assert_eq!(world.db.landed(&program).await, Ok(Landed::Before));
    world.expect_tidy().await;
    let program = accept(program, losses);
    let stepped = world.down(&program).await.expect("a step");
    assert!(stepped.locked_us > 0 && stepped.said.len() == 3, "{stepped:?}");
    assert_eq!(world.db.landed(&program).await, Ok(Landed::After));
    assert_eq!(world.number("SELECT count(*) FROM issues WHERE title = 'A'").await, 1);
    world.up_again().await;
    let dry = world.restore(OnConflict::Keep, true).await.expect("tried");
    assert_eq!((dry.rows, dry.conflicts_count), (8, 0), "{dry:?}");
    assert_ne!(world.dump().await, before);
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    assert_eq!(restored, dry);
    assert_eq!(world.dump().await, before);
    let again = world.restore(OnConflict::Saved, false).await.expect("put back again");
    assert_eq!((again.rows, again.conflicts_count), (0, 0), "{again:?}");
    assert_eq!(world.dump().await, before);
    world.expect_tidy().await;
}

/// A down that rebuilds a table, as SQLite's own advice has it, but under a tool that has opened a transaction.
const REBUILD: &str = "PRAGMA foreign_keys=OFF;
    CREATE TABLE repos_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    INSERT INTO repos_new SELECT id, name FROM repos;
    DROP TABLE repos;
    ALTER TABLE repos_new RENAME TO repos;
    PRAGMA foreign_keys=ON;";

#[tokio::test]
async fn rows_that_cascade_away_in_a_rebuild_are_told_and_come_back() {
    let steps = [pair(TABLES, ""), pair("ALTER TABLE repos ADD COLUMN stars INTEGER;", REBUILD)];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run(ROWS).await;
    world.run("UPDATE repos SET stars = 5 WHERE id = 1").await;
    let before = world.dump().await;
    let program = world.program().await;
    let losses = world.losses(&program).await;
    assert_eq!(kinds(&losses), [("Rows issues".to_owned(), 3), ("Column repos".to_owned(), 1)]);
    let program = accept(program, losses);
    world.down(&program).await.expect("a step");
    assert_eq!(world.number("SELECT count(*) FROM issues").await, 1, "the others cascaded away");
    world.up_again().await;
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    assert_eq!(restored.conflicts_count, 0, "{restored:?}");
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_script_that_opens_its_own_transaction_is_run_as_its_tool_runs_it() {
    let own = REBUILD
        .replacen("CREATE", "BEGIN; CREATE", 1)
        .replace("PRAGMA foreign_keys=ON", "COMMIT; PRAGMA foreign_keys=ON");
    let down = format!("-- no-transaction\n{own}");
    let steps = [pair(TABLES, ""), pair("ALTER TABLE repos ADD COLUMN stars INTEGER;", &down)];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run(ROWS).await;
    let program = world.accepted().await;
    assert!(program.allowed.iter().all(|allowed| allowed.affected_max == 0), "{:?}", program.allowed);
    world.down(&program).await.expect("a step");
    assert_eq!(world.number("SELECT count(*) FROM issues").await, 4, "nothing cascades");
}

#[tokio::test]
async fn what_one_transaction_cannot_hold_is_refused_before_anything_is_touched() {
    for (down, why) in [
        ("DROP TABLE extra; VACUUM;", "VACUUM"),
        ("DROP TABLE extra; COMMIT; DELETE FROM repos;", "did not open"),
        ("BEGIN; DROP TABLE extra; COMMIT; BEGIN; DELETE FROM repos; COMMIT;", "several transactions"),
        ("BEGIN; DROP TABLE extra; COMMIT; DELETE FROM repos;", "outside"),
        ("DROP TABLE extra; ROLLBACK;", "rolls the whole step back"),
        ("PRAGMA journal_mode=DELETE; DROP TABLE extra;", "inside a transaction"),
        ("ATTACH 'other.db' AS other; DROP TABLE extra;", "another database"),
    ] {
        let world =
            World::new(Tool::Sqlx, &[pair(TABLES, ""), pair("CREATE TABLE extra (a);", "DROP TABLE extra;")])
                .await;
        world.run(ROWS).await;
        let before = world.dump().await;
        let mut program = world.accepted().await;
        program.batches = vec![down.to_owned()];
        let refused = world.down(&program).await.expect_err(down);
        assert!(refused.message.contains(why), "{down}: {refused}");
        let rehearsed = world.db.rehearse(&[program]).await.expect("rehearsed").expect("SQLite can");
        assert!(rehearsed[0].fails.as_ref().is_some_and(|fails| fails.contains(why)), "{rehearsed:?}");
        assert_eq!(world.dump().await, before);
        world.expect_tidy().await;
    }
}

#[tokio::test]
async fn a_down_that_fails_on_the_rows_that_are_there_is_found_in_the_rehearsal() {
    let steps = [
        pair("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL);", ""),
        pair(
            "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO u SELECT * FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t;",
            "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT NOT NULL); INSERT INTO u SELECT * FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t;",
        ),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    let program = world.program().await;
    world.run("INSERT INTO t (a) VALUES ('x'), (NULL)").await;
    let before = world.dump().await;
    let rehearsed =
        world.db.rehearse(std::slice::from_ref(&program)).await.expect("works").expect("SQLite can");
    assert!(rehearsed[0].fails.as_ref().is_some_and(|fails| fails.contains("NOT NULL")), "{rehearsed:?}");
    world.down(&program).await.expect_err("it fails");
    assert_eq!(world.dump().await, before);
    world.expect_tidy().await;
}

#[tokio::test]
async fn a_step_that_is_not_the_one_that_was_worked_out_is_refused() {
    let steps =
        [pair(TABLES, ""), pair("CREATE TABLE extra (a);", "DROP TABLE extra; DROP INDEX IF EXISTS more;")];
    let world = World::new(Tool::Sqlx, &steps).await;
    let program = world.accepted().await;
    let before = world.dump().await;
    // Another catalog than the one it was tried on.
    world.run("CREATE INDEX more ON issues (title)").await;
    let refused = world.down(&program).await.expect_err("drift");
    assert!(refused.message.contains("more"), "{refused}");
    world.run("DROP INDEX more").await;
    // Another version table.
    world.run("INSERT INTO _sqlx_migrations VALUES (3, 'x', '', TRUE, x'00', 1)").await;
    let refused = world.down(&program).await.expect_err("another migration");
    assert!(refused.message.contains("it also has 3"), "{refused}");
    world.run("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 3").await;
    let refused = world.down(&program).await.expect_err("dirty");
    assert!(refused.message.contains("broke off halfway"), "{refused}");
    world.run("DELETE FROM _sqlx_migrations WHERE version = 3").await;
    assert_eq!(world.dump().await, before);
    world.down(&program).await.expect("a step");
    // A run that was overtaken.
    world.up_again().await;
    let mut late = by(1);
    late.epoch = Epoch(2);
    let refused = world.db.step_down(&program, &late, &Silent).await.expect_err("a lower epoch");
    assert!(refused.message.contains("has taken over"), "{refused}");
    world.expect_tidy().await;
}

#[tokio::test]
async fn a_recount_above_the_ceiling_stops_it() {
    let steps = [pair(TABLES, ""), pair("CREATE TABLE extra (a);", "DROP TABLE extra;")];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run("INSERT INTO extra VALUES (1)").await;
    let program = world.accepted().await;
    let max = ceiling(1);
    let more = |count: u64| {
        format!(
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT {count}) INSERT INTO extra SELECT x FROM c"
        )
    };
    world.run(&more(max)).await;
    let refused = world.down(&program).await.expect_err("one too many");
    assert!(refused.message.contains(&format!("{} rows, and at most {max}", max + 1)), "{refused}");
    assert_eq!(world.number("SELECT count(*) FROM extra").await, i64::try_from(max + 1).expect("small"));
    world.run("DELETE FROM extra WHERE a = 2").await;
    world.down(&program).await.expect("within the ceiling");
}

#[tokio::test]
async fn every_tool_finds_its_version_table_as_it_would_have_left_it() {
    for tool in [Tool::Sqlx, Tool::GolangMigrate, Tool::Goose, Tool::Diesel, Tool::Dbmate] {
        let steps =
            [pair("CREATE TABLE t (a);", "DROP TABLE t;"), pair("CREATE TABLE u (a);", "DROP TABLE u;")];
        let mut world = World::new(tool, &steps).await;
        for left in [1_usize, 0] {
            let program = world.accepted().await;
            world.down(&program).await.unwrap_or_else(|error| panic!("{tool}: {error}"));
            assert_eq!(world.db.landed(&program).await, Ok(Landed::After), "{tool}");
            let live = world.db.look(tool).await.expect("looks");
            let expected = left.min(
                live.applied
                    .of(&unship_core::tools::MigrationSet {
                        tool,
                        migrations: world.migrations.clone(),
                        ignored: Vec::new(),
                        remarks: Vec::new(),
                    })
                    .len(),
            );
            assert_eq!(expected, left, "{tool}: {live:?}");
            assert!(!live.applied.dirty, "{tool}");
            world.migrations.pop();
        }
    }
}

#[tokio::test]
async fn losses_are_counted_by_name_too() {
    let steps = [
        pair(TABLES, ""),
        pair(
            "ALTER TABLE repos ADD COLUMN topic TEXT DEFAULT 'none';",
            "ALTER TABLE repos DROP COLUMN topic;",
        ),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run(ROWS).await;
    world.run("UPDATE repos SET topic = NULL WHERE id = 1; UPDATE repos SET topic = 'x' WHERE id = 2").await;
    let table = unship_core::sql::ObjectName { schema: None, name: "repos".into() };
    let kinds = [
        LossKind::Table { table: table.clone() },
        LossKind::Column { table, column: "topic".into(), default: Some("'none'".into()) },
    ];
    let counted = world.db.count(&kinds, None).await.expect("counted");
    assert_eq!(counted.iter().map(|loss| (loss.rows, loss.affected)).collect::<Vec<_>>(), [(3, 3), (3, 1)]);
    assert!(counted[0].bytes >= 4096, "{counted:?}");
}
