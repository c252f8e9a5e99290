//! The fence on SQLite: what it keeps out, what it says, and that it can be lifted.

use unship::ports::Database as _;
use unship_core::tools::{Tool, about, checksum};

use crate::sqlite_world::{World, pair, release, say};

#[tokio::test]
async fn a_fence_keeps_the_migration_out_until_it_is_lifted() {
    for tool in [Tool::Sqlx, Tool::GolangMigrate, Tool::Goose, Tool::Diesel, Tool::Dbmate] {
        let steps =
            [pair("CREATE TABLE t (a);", "DROP TABLE t;"), pair("CREATE TABLE u (a);", "DROP TABLE u;")];
        let world = World::new(tool, &steps).await;
        let mut program = world.accepted().await;
        program.fence = true;
        world.down(&program).await.unwrap_or_else(|error| panic!("{tool}: {error}"));
        let fences = world.db.fences().await.expect("listed");
        assert_eq!(fences.len(), 1, "{tool}");
        assert_eq!(
            (fences[0].version.as_str(), fences[0].reason.as_str()),
            (program.version.as_str(), "it's broken")
        );
        // As the tool itself writes it.
        let table = about(tool).table.expect("a table");
        let (version, name) = (&program.version, table.name);
        let value = if version.parse::<i64>().is_ok() && tool != Tool::Diesel && tool != Tool::Dbmate {
            version.clone()
        } else {
            format!("'{version}'")
        };
        let writes = match tool {
            Tool::Sqlx => format!(
                "INSERT INTO {name} (version, description, success, checksum, execution_time) VALUES ({value}, 's', TRUE, x'{}', -1)",
                hex::encode(checksum(world.newest()).expect("one"))
            ),
            Tool::GolangMigrate => {
                format!("DELETE FROM {name}; INSERT INTO {name} (version, dirty) VALUES ({value}, TRUE)")
            }
            Tool::Goose => format!("INSERT INTO {name} (version_id, is_applied) VALUES ({value}, TRUE)"),
            Tool::Diesel | Tool::Dbmate | Tool::Plain => {
                format!("INSERT INTO {name} (version) VALUES ({value})")
            }
        };
        let mut conn = world.connect(false).await;
        say(&mut conn, "BEGIN").await.expect("begun");
        let error = say(&mut conn, &writes).await.expect_err("fenced").to_string();
        say(&mut conn, "ROLLBACK").await.expect("rolled back");
        for word in [
            "unship fence",
            &program.migration,
            "v1.4.0",
            "run-1",
            "it's broken",
            "unship quarantine lift v1.4.0",
        ] {
            assert!(error.contains(word), "{tool}: {word} in {error}");
        }
        // Our own way up says it before it runs the script.
        let refused = world.up(world.newest()).await.expect_err("fenced");
        assert!(refused.message.contains("a fence stands"), "{tool}: {refused}");
        assert_eq!(world.number("SELECT count(*) FROM sqlite_schema WHERE name = 'u'").await, 0, "{tool}");
        // The catalog does not show it.
        let catalog = world.db.catalog(tool).await.expect("read");
        assert!(catalog.objects().all(|object| !object.name.to_string().contains("unship")), "{tool}");
        assert!(world.db.lift_fences(&release("v9.9.9")).await.expect("lifted").is_empty(), "{tool}");
        assert_eq!(world.db.lift_fences(&release("v1.4.0")).await.expect("lifted"), fences, "{tool}");
        assert!(world.db.fences().await.expect("listed").is_empty(), "{tool}");
        world.up_again().await;
        assert_eq!(
            world.number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").await,
            0,
            "{tool}"
        );
    }
}

#[tokio::test]
async fn a_second_fence_around_the_same_migration_takes_the_place_of_the_first() {
    let steps = [pair("CREATE TABLE t (a);", "DROP TABLE t;"), pair("CREATE TABLE u (a);", "DROP TABLE u;")];
    let world = World::new(Tool::Sqlx, &steps).await;
    let mut program = world.accepted().await;
    program.fence = true;
    world.down(&program).await.expect("a step");
    // Somebody took the triggers away by hand, and the migration came back.
    world.run("DROP TRIGGER unship_fence_1_insert; DELETE FROM unship_fence").await;
    world.up_again().await;
    world
        .run(
            "INSERT INTO unship_fence VALUES (1, '_sqlx_migrations', '2', 'm', NULL, NULL, 'r', 'w', 'x', 1)",
        )
        .await;
    world
        .db
        .step_down(&program, &crate::sqlite_world::by(2), &crate::sqlite_world::Silent)
        .await
        .expect("a step");
    assert_eq!(world.db.fences().await.expect("listed").len(), 1);
    world.up(world.newest()).await.expect_err("fenced");
}
