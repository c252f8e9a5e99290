//! What stands in the way of a step before it begins: other sessions, roles, settings, replicas.

use std::process::Command;
use std::time::Duration;

use sqlx::Connection as _;
use unship::ports::{Database as _, Landed};
use unship_core::tools::Tool;

use crate::server::{Server, folder, has_postgres};
use crate::world::{BASE, Heard, OWNER, UP, World, by, say, set};

#[tokio::test]
async fn a_long_transaction_is_named_and_nothing_changes() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let program = world.usual().await;
    world.say("GRANT pg_read_all_stats TO owner").await;
    let mut other = world.admin().await;
    say(&mut other, "SET application_name = 'nightly report'; BEGIN; SELECT count(*) FROM labels").await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut other).await.expect("a pid");
    let words = [
        "2 tries of 400 ms",
        &format!("process {pid}"),
        "nightly report",
        "idle in transaction",
        "its transaction began 20",
        "its query 20",
        "pg_terminate_backend",
    ];
    world.expect_refused(&program, &words).await;
    // Others get on as soon as it has given up.
    world.say("INSERT INTO issues VALUES (1000, 'new')").await;

    // It goes away in between: then the step is taken.
    let heard = Heard::default();
    let patient = unship_core::down::Program {
        session: unship_core::down::Session { lock_attempts_max: 20, ..program.session.clone() },
        ..program.clone()
    };
    let database = world.database();
    let by = by(1);
    let (stepped, ()) = tokio::join!(database.step_down(&patient, &by, &heard), async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        say(&mut other, "ROLLBACK").await;
    });
    stepped.expect("a step");
    let heard = heard.0.into_inner().expect("a lock");
    assert!(
        heard.iter().any(|line| line.contains("nightly report") && line.contains("trying again")),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_prepared_transaction_is_named() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let program = world.usual().await;
    world.say("BEGIN; UPDATE labels SET label = 'x' WHERE id = 1; PREPARE TRANSACTION 'payroll'").await;
    world.expect_refused(&program, &["the prepared transaction `payroll`", "labels"]).await;
    world.say("ROLLBACK PREPARED 'payroll'").await;
}

#[tokio::test]
async fn of_two_steppers_one_wins_and_the_other_is_told() {
    if !has_postgres() {
        return;
    }
    // With and without a lock of the tool's own.
    for tool in [Tool::Sqlx, Tool::Dbmate] {
        let world = World::new(Server::shared(), tool).await;
        let mut program = world.usual().await;
        program.batches.push("SELECT pg_sleep(1.5)".to_owned());
        let (one, other) = (world.database(), world.database());
        let (by, heard) = (by(1), Heard::default());
        let (one, other) =
            tokio::join!(one.step_down(&program, &by, &heard), other.step_down(&program, &by, &heard));
        let failure = match (one, other) {
            (Ok(_), Err(failure)) | (Err(failure), Ok(_)) => failure,
            both => panic!("{tool}: {both:?}"),
        };
        assert!(failure.message.contains("another step of unship runs"), "{failure}");
        assert!(failure.message.contains("process ") && !failure.in_doubt, "{failure}");
        assert_eq!(world.ask("SELECT count(*) FROM _unship.step").await, 1);
        // A little later it finds the step taken.
        let failure = world.step(&program).await.expect_err("a failure");
        assert!(failure.message.contains("is not as it was"), "{failure}");
    }
}

#[tokio::test]
async fn the_tools_own_lock_is_waited_for() {
    if !has_postgres() {
        return;
    }
    for tool in [Tool::Sqlx, Tool::GolangMigrate] {
        let world = World::new(Server::shared(), tool).await;
        let program = world.usual().await;
        let key = program.tool_lock.expect("a key");
        let mut other = world.admin().await;
        say(&mut other, &format!("SELECT pg_advisory_lock({key})")).await;
        world
            .expect_refused(
                &program,
                &["the migration tool's own lock is taken", "process ", "waited 800 ms"],
            )
            .await;
        say(&mut other, &format!("SELECT pg_advisory_unlock({key})")).await;
        world.step(&program).await.expect("a step");
    }
}

#[tokio::test]
async fn a_role_without_rights_is_told_beforehand_which_grant_would_do() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let program = world.usual().await;
    world.say("DO $$ BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$").await;
    world.say("GRANT ALL ON ALL TABLES IN SCHEMA public TO app").await;
    let live = world.database_as("app").look(Tool::Sqlx).await.expect("a look");
    let why = live.cannot_change.expect("a reason");
    assert!(
        why.contains("_sqlx_migrations belongs to `owner`") && why.contains("GRANT \"owner\" TO \"app\""),
        "{why}"
    );
    let before = world.state().await;
    let failure =
        world.database_as("app").step_down(&program, &by(1), &Heard::default()).await.expect_err("no");
    assert!(failure.message.contains("GRANT \"owner\" TO \"app\""), "{failure}");

    // It owns the version table, and not what the step is about.
    world
        .say(&format!(
            "ALTER TABLE _sqlx_migrations OWNER TO app; GRANT ALL ON _sqlx_migrations TO owner;
            GRANT CREATE ON DATABASE {} TO app",
            world.name
        ))
        .await;
    let failure =
        world.database_as("app").step_down(&program, &by(1), &Heard::default()).await.expect_err("no");
    assert!(failure.message.contains("issues belongs to `owner`"), "{failure}");
    world.say("ALTER TABLE _sqlx_migrations OWNER TO owner").await;

    // It may not make a schema, as in a database of somebody else.
    world.say(&format!("ALTER DATABASE {} OWNER TO postgres", world.name)).await;
    let why = world.database().look(Tool::Sqlx).await.expect("a look").cannot_change.expect("a reason");
    let grant = format!("GRANT CREATE ON DATABASE \"{}\" TO \"owner\"", world.name);
    assert!(why.contains(&grant), "{why}");
    world.expect_refused(&program, &[&grant]).await;
    assert_eq!(world.ask("SELECT count(*) FROM pg_namespace WHERE nspname = '_unship'").await, 0);
    assert_eq!(world.state().await, before);
    world.say(&grant).await;
    world.step(&program).await.expect("a step");

    // The schema is somebody else's.
    let failure = world.database_as("app").fences().await.expect_err("no");
    assert!(failure.message.contains("42501"), "{failure}");
}

#[tokio::test]
async fn the_roles_own_settings_do_not_kill_a_step() {
    if !has_postgres() {
        return;
    }
    let server = Server::shared();
    let world = World::new(server, Tool::Sqlx).await;
    let mut program = world.usual().await;
    program.batches.push("SELECT pg_sleep(2.5)".to_owned());
    for setting in [
        "statement_timeout = '1500ms'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "synchronous_commit = off",
    ] {
        world.say(&format!("ALTER ROLE {OWNER} IN DATABASE {} SET {setting}", world.name)).await;
    }
    // They are there.
    let mut conn = sqlx::PgConnection::connect(&server.url(OWNER, &world.name)).await.expect("a connection");
    assert!(sqlx::query("SELECT pg_sleep(2.5)").execute(&mut conn).await.is_err());
    world.step(&program).await.expect("a step");
    // Our own limit holds all the same.
    let world = World::new(server, Tool::Sqlx).await;
    let mut program = world.usual().await;
    program.batches.push("SELECT pg_sleep(9)".to_owned());
    program.session.statement_ms_max = 3_000;
    world.expect_refused(&program, &["57014", "took longer than it may"]).await;
}

#[tokio::test]
async fn nothing_is_tried_where_nothing_can_be_written() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let program = world.usual().await;
    let set = |value: &str| {
        format!("ALTER ROLE {OWNER} IN DATABASE {} SET default_transaction_read_only = {value}", world.name)
    };
    world.say(&set("on")).await;
    world.expect_refused(&program, &["read-only", "default_transaction_read_only"]).await;
    world.say(&set("off")).await;
    world.step(&program).await.expect("a step");
}

#[tokio::test]
async fn a_streaming_replica_is_recognised() {
    if !has_postgres() {
        return;
    }
    let primary = Server::start(&[]);
    let world = World::new(&primary, Tool::Sqlx).await;
    let program = world.usual().await;
    primary.stop();
    let beside = folder("standby");
    let copied = Command::new("cp").arg("-a").arg(primary.folder.join("data")).arg(&beside).status();
    assert!(copied.expect("cp").success());
    fs_err::write(beside.join("data/standby.signal"), "").expect("a file");
    crate::server::own(&beside.join("data/standby.signal"));
    primary.launch();
    let conninfo = format!("primary_conninfo=host={} user=postgres", primary.folder.display());
    let standby = Server::on(beside, &[&conninfo, "hot_standby=on"]);
    // It follows: what is written over there is seen here.
    world.say("INSERT INTO issues VALUES (777, 'over there')").await;
    let mut conn = standby.admin(&world.name).await;
    let mut is_seen = false;
    for _ in 0..200 {
        is_seen = sqlx::query_scalar("SELECT EXISTS (SELECT FROM issues WHERE id = 777)")
            .fetch_one(&mut conn)
            .await
            .expect("an answer");
        if is_seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_seen, "the replica does not follow");
    conn.close().await.expect("closed");
    let replica = world.database_at(&standby.url(OWNER, &world.name));
    let live = replica.look(Tool::Sqlx).await.expect("a look");
    assert_eq!(live.applied.versions.len(), 2);
    assert!(live.cannot_change.as_deref().is_some_and(|why| why.contains("read-only replica")), "{live:?}");
    let landed = replica.landed(&program).await.expect("an answer");
    assert!(matches!(&landed, Landed::Neither { why } if why.contains("replica")), "{landed:?}");
    let failure = replica.step_down(&program, &by(1), &Heard::default()).await.expect_err("no");
    assert!(failure.message.contains("read-only replica") && !failure.in_doubt, "{failure}");
    let failure = replica.step_up(world.newest(), &live).await.expect_err("no");
    assert!(failure.message.contains("read-only replica"), "{failure}");
}

#[tokio::test]
async fn a_row_written_between_the_look_and_the_locks_counts() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    let program = world.usual().await;
    // A writer is under way when the step comes; its rows are there when the locks are.
    let mut writer = world.admin().await;
    say(&mut writer, "BEGIN; INSERT INTO labels SELECT n, 1, 'late' FROM generate_series(100, 104) n").await;
    let patient = unship_core::down::Program {
        session: unship_core::down::Session { lock_ms_max: 10_000, ..program.session.clone() },
        ..program.clone()
    };
    let database = world.database();
    let (by, heard) = (by(1), Heard::default());
    let (stepped, ()) = tokio::join!(database.step_down(&patient, &by, &heard), async {
        let mut watcher = world.admin().await;
        // It waits for whichever of its tables comes first: the new rows point at issues and hold that as well.
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation')";
        for _ in 0..1_000 {
            if sqlx::query_scalar(waits).fetch_one(&mut watcher).await.expect("an answer") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        say(&mut writer, "COMMIT").await;
    });
    let failure = stepped.expect_err("too many");
    assert!(
        failure.message.contains("public.labels would lose 25 rows now; what was accepted allows 20"),
        "{failure}"
    );
    assert!(
        failure.hint.as_deref().is_some_and(|hint| hint.contains("accept the new report")),
        "{failure:?}"
    );
    assert_eq!(world.ask("SELECT count(*) FROM labels").await, 25);
}

#[tokio::test]
async fn another_tools_table_is_not_taken_for_this_ones() {
    if !has_postgres() {
        return;
    }
    // dbmate and golang-migrate both call theirs schema_migrations.
    let world =
        World::with(Server::shared(), set(Tool::Dbmate, &[(BASE, "DROP TABLE issues"), (UP, "SELECT 1")]))
            .await;
    let failure = world.database().look(Tool::GolangMigrate).await.expect_err("another tool");
    assert!(failure.message.contains("is not one of golang-migrate: it has no column `dirty`"), "{failure}");
    // A table that the search path does not lead to is not taken for none.
    world.say("CREATE SCHEMA app AUTHORIZATION owner; ALTER TABLE schema_migrations SET SCHEMA app").await;
    let failure = world.database().look(Tool::Dbmate).await.expect_err("elsewhere");
    assert!(failure.message.contains("in schema app, which is not on the search path"), "{failure}");
    world.say(&format!("ALTER ROLE {OWNER} IN DATABASE {} SET search_path = app, public", world.name)).await;
    let live = world.database().look(Tool::Dbmate).await.expect("a look");
    assert_eq!(live.table.and_then(|table| table.schema).as_deref(), Some("app"));
    assert_eq!(live.applied.versions.len(), 2);
}

#[tokio::test]
async fn a_run_that_broke_off_is_dirty() {
    if !has_postgres() {
        return;
    }
    for (tool, sql) in [
        (Tool::Sqlx, "UPDATE _sqlx_migrations SET success = false WHERE version = 2"),
        (Tool::GolangMigrate, "UPDATE schema_migrations SET dirty = true"),
    ] {
        let world = World::new(Server::shared(), tool).await;
        let program = world.usual().await;
        world.say(sql).await;
        assert!(world.database().look(tool).await.expect("a look").applied.dirty);
        world.expect_refused(&program, &["broke off halfway"]).await;
    }
    // goose's own way: the last row of a version says whether it is applied.
    let world = World::new(Server::shared(), Tool::Goose).await;
    world.say("INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, false)").await;
    let live = world.database().look(Tool::Goose).await.expect("a look");
    assert_eq!(live.applied.versions.into_iter().collect::<Vec<_>>(), ["1"]);
}

#[tokio::test]
async fn a_secret_of_the_url_is_never_said() {
    if !has_postgres() {
        return;
    }
    let world = World::new(Server::shared(), Tool::Sqlx).await;
    for url in [
        "postgres://owner:hunter2@127.0.0.1:1/nowhere".to_owned(),
        "postgres://owner:hunter2@[nonsense".to_owned(),
        "mysql://owner:hunter2@localhost/x".to_owned(),
        world.server.url("nobody_of_that_name", &world.name),
    ] {
        let failure = world.database_at(&url).look(Tool::Sqlx).await.expect_err("no connection");
        let said = format!("{failure:?}");
        assert!(!said.contains("hunter2") && failure.hint.is_some(), "{said}");
    }
}
