//! Steps that no transaction can hold, run piece by piece: what is told, what is kept, and what stays on live tables when
//! one breaks off.

use std::time::Duration;

use async_trait::async_trait;
use unship::flow::migrate::{self, Parts};
use unship::ports::{
    CheckFailure, Database as _, Landed, Lent, LiveSchema, OnConflict, Salvaged, SchemaSettings, Shadow,
    ShadowFailure, Shadows,
};
use unship::wire::SystemClock;
use unship_core::down::Program;
use unship_core::release::Release;
use unship_core::tools::Tool;

use crate::server::{Server, has_postgres};
use crate::world::{Heard, World, by, name, say, set};

const BASE: &str = "CREATE TABLE repos (id bigint PRIMARY KEY, state text);
    INSERT INTO repos SELECT n, 'state ' || n FROM generate_series(1, 10) n;";
const UP: &str = "CREATE INDEX repos_state ON repos (state); CREATE TABLE topics (id bigint PRIMARY KEY);";
const DOWN: &str = "UPDATE repos SET state = upper(state); DROP INDEX repos_state; DROP TABLE topics;";
const CHANGE: &str = "UPDATE repos SET state = upper(state)";
const AS_BEFORE: &str = "SELECT count(*) FROM repos WHERE state = 'state ' || id";
/// Triggers that keep what a down changes.
const KEEPING: &str = "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^unship_[udti][0-9]'";
const TRIGGERS: &str = "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^unship'";

async fn world(pieces: &[&str]) -> (World<'static>, Program) {
    let world = World::with(Server::shared(), set(Tool::Sqlx, &[(BASE, ""), (UP, DOWN)])).await;
    let program = world.program(Vec::new()).await;
    let batches = pieces.iter().map(|&piece| piece.to_owned()).collect();
    let locks = vec![name("repos"), name("topics")];
    (world, Program { atomic: false, fence: false, captured: vec![name("repos")], locks, batches, ..program })
}

async fn salvaged(world: &World<'_>) -> Salvaged {
    let mut all = world.database().salvaged().await.expect("a list");
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[tokio::test]
async fn one_that_breaks_off_leaves_a_salvage_that_can_be_put_back_and_no_trigger_that_keeps() {
    if !has_postgres() {
        return;
    }
    let pieces = [CHANGE, "DROP INDEX CONCURRENTLY nowhere", "DROP TABLE topics"];
    let (world, program) = world(&pieces).await;
    let failure = world.step(&program).await.expect_err("it breaks off");
    assert!(failure.in_doubt && failure.message.contains("1 of 3 parts"), "{failure}");
    assert_eq!((world.ask(KEEPING).await, world.ask(AS_BEFORE).await), (0, 0));
    // The table that was to be moved aside is where it was; nothing of it is kept.
    let kept = salvaged(&world).await;
    assert_eq!((kept.stores.len(), kept.stores[0].rows), (1, 10), "{kept:#?}");
    world.say("UPDATE repos SET state = 'mine' WHERE id = 3").await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = world.database().export(&kept, &folder.path().join("out")).await.expect("files");
    assert_eq!(files.len(), 1, "{files:?}");
    // The version is still applied, so it can be put back at once.
    let database = world.database();
    let restored =
        database.restore(&kept, OnConflict::Keep, false, &Heard::default()).await.expect("restored");
    assert_eq!((restored.rows, restored.conflicts_count), (9, 1), "{restored:#?}");
    assert_eq!(restored.conflicts[0].key, "id=3");
    assert_eq!(world.ask(AS_BEFORE).await, 9);
    database.drop_salvage(&kept).await.expect("dropped");
    assert_eq!(world.ask(TRIGGERS).await, 0);
    // A step that is run as a whole is taken after it.
    let whole = Program { atomic: true, batches: vec![DOWN.to_owned()], ..program };
    world.step(&whole).await.expect("a step");
}

/// A step whose program is gone in the middle of its second piece, and whose session the server has ended.
async fn killed(world: &World<'_>, program: &Program) {
    let (database, by, heard) = (world.database(), by(1), Heard::default());
    let went = tokio::time::timeout(Duration::from_secs(5), database.step_down(program, &by, &heard)).await;
    assert!(went.is_err(), "{went:?}");
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    world.ask(end).await;
    assert_eq!(world.ask(AS_BEFORE).await, 0, "the first piece is done");
    assert!(world.ask(KEEPING).await > 0);
}

#[tokio::test]
async fn one_that_was_killed_is_settled_by_whoever_comes_next() {
    if !has_postgres() {
        return;
    }
    let pieces = [CHANGE, "SELECT pg_sleep(60)"];
    // By a restore.
    let (one, program) = world(&pieces).await;
    killed(&one, &program).await;
    let kept = salvaged(&one).await;
    let database = one.database();
    let restored =
        database.restore(&kept, OnConflict::Keep, false, &Heard::default()).await.expect("restored");
    assert_eq!((restored.rows, restored.conflicts_count), (10, 0), "{restored:#?}");
    assert_eq!((one.ask(KEEPING).await, one.ask(AS_BEFORE).await), (0, 10));

    // By being dropped, and by the next step.
    for is_dropped in [true, false] {
        let (world, program) = world(&pieces).await;
        killed(&world, &program).await;
        if is_dropped {
            world.database().drop_salvage(&salvaged(&world).await).await.expect("dropped");
            assert_eq!(world.ask(TRIGGERS).await, 0);
            world.say("UPDATE repos SET state = 'mine'").await;
        } else {
            let next = Program { atomic: true, batches: vec![DOWN.to_owned()], ..program };
            let by = unship::ports::StepBy { step: 4, ..by(1) };
            world.database().step_down(&next, &by, &Heard::default()).await.expect("a step");
            assert_eq!(world.ask(KEEPING).await, 0);
            assert_eq!(world.database().salvaged().await.expect("a list").len(), 2);
        }
    }
}

/// Nothing is tried.
struct NoShadows;

#[async_trait]
impl Shadows for NoShadows {
    fn settings(&self) -> &SchemaSettings {
        unreachable!("nothing is tried")
    }

    async fn open(&self, _: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
        unreachable!("nothing is tried")
    }

    async fn boot(&self, _: &Release, _: &Lent) -> Option<Result<(), CheckFailure>> {
        None
    }

    async fn live(&self, _: Tool) -> Option<Result<LiveSchema, CheckFailure>> {
        None
    }
}

#[tokio::test]
async fn a_schema_that_is_not_as_foreseen_is_told_though_the_step_has_landed() {
    if !has_postgres() {
        return;
    }
    let pieces = [CHANGE, "DROP INDEX CONCURRENTLY repos_state", "DROP TABLE topics"];
    let (world, program) = world(&pieces).await;
    let program = Program { delta: vec!["removes something else".into()], ..program };
    let (database, clock, heard) = (world.database(), SystemClock, Heard::default());
    let parts = Parts { database: &database, shadows: &NoShadows, clock: &clock, progress: &heard };
    let failure = migrate::take(&parts, &program, &by(1)).await.expect_err("it is told");
    let words = failure.to_string();
    for word in ["Only there: removes something else", "is taken down all the same"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert_eq!(database.landed(&program).await, Ok(Landed::After));
    assert_eq!(world.ask(KEEPING).await, 0);
    assert_eq!(salvaged(&world).await.stores.len(), 2);
}

#[tokio::test]
async fn while_a_step_is_under_way_nothing_is_said_of_where_it_landed() {
    if !has_postgres() {
        return;
    }
    let (world, program) = world(&[CHANGE]).await;
    let mut other = world.admin().await;
    // The lock of all who step a database.
    let lock = format!("SELECT pg_advisory_lock({})", 0x756e_7368_6970_0002_i64);
    say(&mut other, &lock).await;
    let landed = world.database().landed(&program).await.expect("an answer");
    assert!(matches!(&landed, Landed::Neither { why } if why.contains("still under way")), "{landed:?}");
    drop(other);
    assert_eq!(world.database().landed(&program).await, Ok(Landed::Before));
}
