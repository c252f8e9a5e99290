//! A step that goes well, with every tool; and that fails at each of its own points, leaving nothing.

use unship::ports::{Database as _, Landed};
use unship_core::tools::Tool;

use crate::server::{Server, has_postgres};
use crate::world::{BASE, DOWN, UP, World, by, losses, release, set};

const TOOLS: [Tool; 5] = [Tool::Sqlx, Tool::GolangMigrate, Tool::Goose, Tool::Diesel, Tool::Dbmate];

#[tokio::test]
async fn a_step_is_taken_wholly_and_fenced_and_can_be_applied_again() {
    if !has_postgres() {
        return;
    }
    for tool in TOOLS {
        let world = World::new(Server::shared(), tool).await;
        let database = world.database();
        let program = world.usual().await;
        assert_eq!(database.landed(&program).await, Ok(Landed::Before), "{tool}");
        let stepped = world.step(&program).await.unwrap_or_else(|failure| panic!("{tool}: {failure:?}"));
        assert!(stepped.locked_us > 0);
        assert!(stepped.said.iter().any(|line| line.contains("the WAL was at")), "{:?}", stepped.said);
        assert_eq!(database.landed(&program).await, Ok(Landed::After), "{tool}");
        assert_eq!(world.ask("SELECT count(*) FROM issues").await, 50);
        assert_eq!(world.ask("SELECT count(*) FROM pg_class WHERE relname = 'labels' AND relnamespace = 'public'::regnamespace").await, 0);
        assert_eq!(world.ask("SELECT epoch FROM _unship.epoch").await, 1);

        // The fence holds, for unship and for the tool's own write.
        let fences = database.fences().await.expect("fences");
        assert_eq!((fences.len(), fences[0].version.as_str()), (1, program.version.as_str()));
        assert_eq!(fences[0].release, Some(release()));
        let live = database.look(tool).await.expect("a look");
        let failure = database.step_up(world.newest(), &live).await.expect_err("a fence");
        assert!(
            failure.message.contains("a fence stands") && failure.message.contains("panic loop"),
            "{failure}"
        );
        assert_eq!(failure.hint.as_deref(), Some("unship quarantine lift v1.4.0"));
        let table = unship_core::tools::about(tool).table.expect("a table").name;
        let by_the_tool = match tool {
            Tool::Sqlx => {
                format!("INSERT INTO {table} VALUES ({}, 'x', now(), true, '', 0)", program.version)
            }
            Tool::GolangMigrate => format!("DELETE FROM {table}; INSERT INTO {table} VALUES (7, true)"),
            Tool::Goose => {
                format!("INSERT INTO {table} (version_id, is_applied) VALUES ({}, true)", program.version)
            }
            Tool::Diesel | Tool::Dbmate => {
                format!("INSERT INTO {table} (version) VALUES ('{}')", program.version)
            }
            Tool::Plain => unreachable!("it has no table"),
        };
        let mut conn = world.admin().await;
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(by_the_tool)).execute(&mut conn).await;
        let words = refused.expect_err("a fence").to_string();
        for word in ["v1.4.0", "20260101T000000-000-1", "panic loop", "unship quarantine lift v1.4.0"] {
            assert!(words.contains(word), "{tool}: {words}");
        }

        // Lifted, it goes up again, and the trigger is gone.
        assert_eq!(database.lift_fences(&release()).await.expect("lifted").len(), 1);
        assert!(database.fences().await.expect("fences").is_empty());
        assert_eq!(world.ask("SELECT count(*) FROM pg_trigger WHERE tgname = 'unship_fence'").await, 0);
        database.step_up(world.newest(), &live).await.unwrap_or_else(|failure| panic!("{tool}: {failure}"));
        assert_eq!(database.landed(&program).await, Ok(Landed::Before), "{tool}");
        assert_eq!(world.ask("SELECT count(*) FROM labels").await, 20);
    }
}

#[tokio::test]
async fn whatever_fails_leaves_everything_as_it_was() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let good = world.usual().await;

    let mut program = good.clone();
    program.batches = vec![DOWN.to_owned(), "ALTER TABLE nowhere ADD COLUMN x int".to_owned()];
    world.expect_refused(&program, &["part 2 of 2", "nowhere", "42P01"]).await;

    // Another change of the catalog than the one that was seen.
    let mut program = good.clone();
    program.batches.push("CREATE TABLE left_behind ()".to_owned());
    world
        .expect_refused(&program, &["Only here: adds table public.left_behind", "Only there: nothing"])
        .await;
    let mut program = good.clone();
    program.batches = vec!["DROP TABLE labels".to_owned()];
    world.expect_refused(&program, &["Only there: removes column public.issues.note"]).await;

    // More than was accepted.
    let mut program = good.clone();
    program.allowed = losses(6, 20);
    world
        .expect_refused(&program, &["public.issues.note", "7 rows", "allows 6", "accept the new report"])
        .await;

    // Another account of what is applied.
    let mut program = good.clone();
    program.applied.push("3".into());
    world.expect_refused(&program, &["it lacks 3", "ask for the step again"]).await;
    let mut program = good.clone();
    program.version = "1".into();
    world.expect_refused(&program, &["is not the newest"]).await;

    // Rows that the tool would not have left.
    let mut program = good.clone();
    program.rows.clear();
    world.expect_refused(&program, &["left other versions"]).await;

    // What waits for the commit is looked at before it.
    let mut program = good.clone();
    program.batches.push("UPDATE issues SET parent = 999 WHERE id = 1".to_owned());
    world.expect_refused(&program, &["issues_parent_fkey", "23503"]).await;

    // A script that ends its session.
    let mut program = good.clone();
    program.batches = vec![format!("{DOWN} SELECT pg_terminate_backend(pg_backend_pid())")];
    world.expect_refused(&program, &["57P01"]).await;
    // A table that is not there.
    let mut program = good.clone();
    program.locks.push(crate::world::name("gone"));
    world.expect_refused(&program, &["public.gone is not there"]).await;

    // An older run.
    world.say("INSERT INTO _unship.epoch VALUES ('shithub', 'production', 9, 'another')").await;
    world.expect_refused(&good, &["run another has taken over", "epoch 9", "this run has 1"]).await;

    // And after all that it goes well.
    let stepped = world.database().step_down(&good, &by(9), &crate::world::Heard::default()).await;
    stepped.expect("a step");
}

#[tokio::test]
async fn what_a_down_sets_for_its_session_does_not_reach_the_rest_of_the_step() {
    if !has_postgres() {
        return;
    }
    let down = "SET search_path = pg_catalog; SET ROLE pg_monitor; RESET ROLE; RESET ALL;
        DROP TABLE public.labels; ALTER TABLE public.issues DROP COLUMN note; SET ROLE pg_monitor";
    let world =
        World::with(Server::shared(), set(Tool::Dbmate, &[(BASE, "DROP TABLE issues"), (UP, down)])).await;
    world.say("GRANT pg_monitor TO owner").await;
    let program = world.usual().await;
    world.step(&program).await.expect("a step");
    assert_eq!(world.database().landed(&program).await, Ok(Landed::After));
}

#[tokio::test]
async fn a_down_that_ends_its_transaction_after_all_is_not_called_undone() {
    if !has_postgres() {
        return;
    }
    // Whoever compiles a program refuses this; a program from elsewhere may have it.
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let mut program = world.usual().await;
    program.batches = vec![format!("{DOWN} COMMIT")];
    let failure = world.step(&program).await.expect_err("a failure");
    assert!(failure.in_doubt && failure.message.contains("ended its transaction by itself"), "{failure}");
}

#[tokio::test]
async fn the_last_migration_of_all_can_be_taken_down() {
    if !has_postgres() {
        return;
    }
    for tool in TOOLS {
        let world = World::with(
            Server::shared(),
            set(tool, &[("CREATE TABLE issues (id int)", "DROP TABLE issues")]),
        )
        .await;
        let kind = unship_core::down::LossKind::Table { table: crate::world::name("issues") };
        let mut program = world.program(vec![unship_core::down::Allowed { kind, affected_max: 0 }]).await;
        program.locks = vec![crate::world::name("issues")];
        world.step(&program).await.unwrap_or_else(|failure| panic!("{tool}: {failure}"));
        assert_eq!(world.database().landed(&program).await, Ok(Landed::After), "{tool}");
        assert!(world.database().look(tool).await.expect("a look").applied.versions.is_empty(), "{tool}");
    }
}
