//! Putting back what a step down took away on SQLite, when others wrote in between.

use unship::ports::{Database as _, OnConflict};
use unship_core::tools::Tool;

use crate::sqlite_world::{Silent, World, by, pair};

const BASE: &str = "CREATE TABLE owners (id INTEGER PRIMARY KEY);
    CREATE TABLE repos (name TEXT PRIMARY KEY COLLATE NOCASE, owner INTEGER REFERENCES owners(id), size);";

fn steps() -> [(String, String); 2] {
    [
        pair(BASE, ""),
        pair(
            "ALTER TABLE repos ADD COLUMN topic TEXT; CREATE UNIQUE INDEX topic ON repos (topic);
             CREATE TABLE stars (id INTEGER PRIMARY KEY AUTOINCREMENT, repo TEXT REFERENCES repos(name), owner INTEGER REFERENCES owners(id));",
            "DROP TABLE stars; DROP INDEX topic; ALTER TABLE repos DROP COLUMN topic;",
        ),
    ]
}

async fn world() -> World {
    let world = World::new(Tool::Sqlx, &steps()).await;
    world
        .run(
            "INSERT INTO owners VALUES (1), (2);
             INSERT INTO repos VALUES ('a', 1, 1, 'x'), ('b', 1, 2.0, 'y'), ('c', 2, '3', NULL), ('d', 2, x'04', 'z');
             INSERT INTO stars VALUES (1, 'a', 1), (7, 'b', 2), (40, 'c', 2); DELETE FROM stars WHERE id = 40;",
        )
        .await;
    world
}

#[tokio::test]
async fn what_others_wrote_is_a_conflict_and_everything_else_comes_back() {
    let world = world().await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    world
        .run(
            "UPDATE repos SET size = 10 WHERE name = 'a'; DELETE FROM repos WHERE name = 'b'; \
             DELETE FROM owners WHERE id = 2 AND FALSE;",
        )
        .await;
    // Not before the migration is there again.
    let refused = world.restore(OnConflict::Keep, false).await.expect_err("not applied");
    assert!(refused.message.contains("is not applied"), "{refused}");
    world.up_again().await;
    world.run("INSERT INTO stars VALUES (1, 'a', 2)").await;
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    let conflicts: Vec<String> =
        restored.conflicts.iter().map(|one| format!("{} {}: {}", one.table.name, one.key, one.why)).collect();
    assert_eq!(
        conflicts,
        [
            "repos 'a': the row was changed since",
            "repos 'b': the row is gone",
            "stars 1: the row was changed since",
            "stars 7: a row that it points to is gone",
        ]
    );
    assert_eq!((restored.rows, restored.same, restored.conflicts_count), (1, 1, 4), "{restored:?}");
    assert_eq!(world.number("SELECT count(*) FROM repos WHERE topic = 'z' AND name = 'd'").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM repos WHERE topic = 'x'").await, 0);
    assert_eq!(world.number("SELECT seq FROM sqlite_sequence WHERE name = 'stars'").await, 40);
    // On request the saved value takes its place; what is gone stays gone.
    let saved = world.restore(OnConflict::Saved, false).await.expect("put back");
    assert_eq!((saved.rows, saved.conflicts_count), (2, 2), "{saved:?}");
    assert_eq!(world.number("SELECT count(*) FROM repos WHERE topic = 'x' AND size = 1").await, 1);
    assert_eq!(world.number("SELECT owner FROM stars WHERE id = 1").await, 1);
    let listed = world.db.salvaged().await.expect("listed");
    assert!(listed[0].restored.is_some());
    world.expect_tidy().await;
}

#[tokio::test]
async fn a_value_that_must_be_unique_and_is_taken_is_a_conflict_and_no_failure() {
    let world = world().await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    world.up_again().await;
    world.run("INSERT INTO repos VALUES ('new', 1, 1, 'x')").await;
    let restored = world.restore(OnConflict::Saved, false).await.expect("put back");
    assert_eq!(restored.conflicts_count, 1, "{restored:?}");
    assert_eq!(restored.conflicts[0].why, "another row, or a rule of the table, is in its way");
    assert_eq!(world.number("SELECT count(*) FROM repos WHERE topic IS NOT NULL").await, 3);
}

#[tokio::test]
async fn unique_values_that_changed_places_find_back() {
    let steps = [
        pair("CREATE TABLE t (id INTEGER PRIMARY KEY, place INTEGER UNIQUE);", ""),
        pair(
            "CREATE TABLE extra (a);",
            "DROP TABLE extra; UPDATE t SET place = -place; UPDATE t SET place = 1 - place;",
        ),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run("INSERT INTO t VALUES (1, 2), (2, 3), (3, 4), (4, 1)").await;
    let before = world.dump().await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    world.up_again().await;
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    assert_eq!((restored.rows, restored.conflicts_count), (4, 0), "{restored:?}");
    assert_eq!(world.dump().await, before);
}

/// The down dropped the table that a row points to, and with it what the row said; then somebody deleted the other row.
#[tokio::test]
async fn a_row_whose_other_row_is_gone_since_stays_as_it_is_and_everything_else_comes_back() {
    let rebuild = |columns: &str, list: &str| {
        format!(
            "CREATE TABLE made ({columns}); INSERT INTO made ({list}) SELECT {list} FROM owners; \
             DROP TABLE owners; ALTER TABLE made RENAME TO owners;"
        )
    };
    let steps = [
        pair(
            "CREATE TABLE owners (id TEXT PRIMARY KEY);
             CREATE TABLE repos (id INTEGER PRIMARY KEY, owner REFERENCES owners(id) ON DELETE SET NULL);",
            "",
        ),
        pair(&rebuild("id TEXT PRIMARY KEY, bio", "id"), &rebuild("id TEXT PRIMARY KEY", "id")),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run("INSERT INTO owners VALUES ('a', 1), ('b', 2); INSERT INTO repos VALUES (1, 'a'), (2, 'b'), (3, 'b')").await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    assert_eq!(
        world.number("SELECT count(*) FROM repos WHERE owner IS NULL").await,
        3,
        "the case shows something"
    );
    world.run("DELETE FROM owners WHERE id = 'a'").await;
    world.up_again().await;
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    let conflicts: Vec<String> =
        restored.conflicts.iter().map(|one| format!("{} {}: {}", one.table.name, one.key, one.why)).collect();
    assert_eq!(conflicts, ["owners 'a': the row is gone", "repos 1: a row that it points to is gone"]);
    assert_eq!((restored.rows, restored.conflicts_count), (3, 2), "{restored:?}");
    assert_eq!(world.number("SELECT count(*) FROM repos WHERE owner = 'b'").await, 2);
    assert_eq!(world.number("SELECT count(*) FROM owners WHERE id = 'b' AND bio = 2").await, 1);
    let again = world.restore(OnConflict::Keep, false).await.expect("put back again");
    assert_eq!((again.rows, again.conflicts_count), (0, 2), "{again:?}");
}

/// SQLite lets NULLs into a primary key. A rebuilt table deals out its rowids anew, here in the order of an index, so
/// that they tell no row.
#[tokio::test]
async fn rows_with_nulls_in_their_key_come_back_to_a_rebuilt_table_unless_two_are_alike_since() {
    let down = "CREATE TABLE made (id, v, PRIMARY KEY (id, v)); INSERT INTO made SELECT id, v FROM t;
        DROP TABLE t; ALTER TABLE made RENAME TO t;";
    let steps = [
        pair("CREATE TABLE t (id, v, PRIMARY KEY (id, v));", ""),
        pair("ALTER TABLE t ADD COLUMN added;", down),
    ];
    for (meanwhile, conflicts) in [("SELECT 1", 0), ("INSERT INTO t (id, v) VALUES (106, NULL)", 1)] {
        let world = World::new(Tool::Sqlx, &steps).await;
        world.run("INSERT INTO t VALUES (100, 4, 'a'), (6, 1, '-'), (3, 2, 'b'), (106, NULL, 'c')").await;
        world.run("DELETE FROM t WHERE id = 6").await;
        let program = world.accepted().await;
        world.down(&program).await.expect("a step");
        world.run(meanwhile).await;
        world.up_again().await;
        let restored = world.restore(OnConflict::Saved, false).await.expect("put back");
        assert_eq!((restored.rows, restored.conflicts_count), (3 - conflicts, conflicts), "{restored:?}");
        let back = "SELECT count(*) FROM t WHERE (id, v, added) IN (VALUES (100, 4, 'a'), (3, 2, 'b'))";
        assert_eq!(world.number(back).await, 2);
        let of_null = "SELECT count(*) FROM t WHERE v IS NULL AND added IS 'c'";
        assert_eq!(world.number(of_null).await, 1 - i64::try_from(conflicts).expect("small"));
    }
}

#[tokio::test]
async fn triggers_write_nothing_while_rows_come_back_and_are_there_afterwards() {
    let base = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE log (line TEXT);
        CREATE TRIGGER t_in AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('in ' || NEW.id); END;
        CREATE TRIGGER t_out AFTER DELETE ON t BEGIN INSERT INTO log VALUES ('out ' || OLD.id); END;
        CREATE TRIGGER t_up AFTER UPDATE ON t BEGIN INSERT INTO log VALUES ('up ' || NEW.id); END;";
    let steps = [
        pair(base, ""),
        pair("ALTER TABLE t ADD COLUMN b TEXT;", "DELETE FROM t WHERE id = 2; ALTER TABLE t DROP COLUMN b;"),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run("INSERT INTO t VALUES (1, 'x', 'y'), (2, 'z', 'w')").await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    world.up_again().await;
    world.restore(OnConflict::Keep, false).await.expect("put back");
    // The down's own trigger wrote a line; going back neither adds one nor takes it away.
    assert_eq!(world.number("SELECT count(*) FROM log").await, 3);
    assert_eq!(world.number("SELECT count(*) FROM t WHERE b IN ('y', 'w')").await, 2);
    world.run("DELETE FROM t WHERE id = 1").await;
    assert_eq!(world.number("SELECT count(*) FROM log WHERE line = 'out 1'").await, 1);
}

#[tokio::test]
async fn full_text_search_comes_back() {
    let steps = [
        pair("CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT);", ""),
        pair(
            "CREATE VIRTUAL TABLE search USING fts5(body);
             CREATE TRIGGER docs_in AFTER INSERT ON docs BEGIN INSERT INTO search(rowid, body) VALUES (NEW.id, NEW.body); END;",
            "DROP TRIGGER docs_in; DROP TABLE search;",
        ),
    ];
    let world = World::new(Tool::Sqlx, &steps).await;
    world.run("INSERT INTO docs VALUES (3, 'a quick fox'), (9, 'a lazy dog')").await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    world.up_again().await;
    let restored = world.restore(OnConflict::Keep, false).await.expect("put back");
    assert_eq!((restored.rows, restored.conflicts_count), (2, 0), "{restored:?}");
    assert_eq!(world.number("SELECT rowid FROM search WHERE search MATCH 'lazy'").await, 9);
    world.expect_tidy().await;
}

#[tokio::test]
async fn salvage_is_listed_exported_and_dropped() {
    let world = world().await;
    let program = world.accepted().await;
    world.down(&program).await.expect("a step");
    let listed = world.db.salvaged().await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].run.as_str(), listed[0].step), ("run-1", 1));
    let places: Vec<(String, u64)> =
        listed[0].stores.iter().map(|store| (store.place.name.clone(), store.rows)).collect();
    assert_eq!(places, [("unship_s1_repos".to_owned(), 4), ("unship_s1_stars".to_owned(), 2)]);
    assert!(listed[0].stores.iter().all(|store| store.bytes >= 4096));
    let folder = world.folder.join("out");
    let files = world.db.export(&listed[0], &folder).await.expect("written");
    let text = fs_err::read_to_string(&files[0]).expect("a file");
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["row"].clone())
        .collect();
    assert_eq!(rows[1], serde_json::json!({"name": "b", "owner": 1, "size": 2.0, "topic": "y"}));
    assert_eq!(rows[2]["size"], serde_json::json!("3"));
    assert_eq!(rows[3]["size"], serde_json::json!({"blob_hex": "04"}));
    let again = world.db.export(&listed[0], &folder).await.expect_err("it is there");
    assert!(again.hint.is_some(), "{again}");
    world.db.drop_salvage(&listed[0]).await.expect("dropped");
    assert!(world.db.salvaged().await.expect("listed").is_empty());
    assert_eq!(world.number("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'unship\\_s%' ESCAPE '\\' AND name <> 'unship_salvage'").await, 0);
    world.db.drop_salvage(&listed[0]).await.expect_err("it is gone");
    let gone = world.db.restore(&listed[0], OnConflict::Keep, false, &Silent).await;
    assert!(gone.expect_err("it is gone").message.contains("no salvage"));
}

#[tokio::test]
async fn two_steps_have_two_salvages() {
    let steps = [
        pair("CREATE TABLE t (a); ", "DROP TABLE t;"),
        pair("ALTER TABLE t ADD COLUMN b;", "ALTER TABLE t DROP COLUMN b;"),
    ];
    let mut world = World::new(Tool::Sqlx, &steps).await;
    world.run("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, x'00')").await;
    let before = world.dump().await;
    let all = world.migrations.clone();
    let program = world.accepted().await;
    world.db.step_down(&program, &by(1), &Silent).await.expect("a step");
    world.migrations.pop();
    let program = world.accepted().await;
    world.db.step_down(&program, &by(2), &Silent).await.expect("a step");
    let listed = world.db.salvaged().await.expect("listed");
    assert_eq!(listed.iter().map(|one| one.step).collect::<Vec<_>>(), [2, 1], "newest first");
    world.up(&all[0]).await.expect("up");
    assert_eq!(world.db.restore(&listed[0], OnConflict::Keep, false, &Silent).await.expect("back").rows, 3);
    world.up(&all[1]).await.expect("up");
    assert_eq!(world.db.restore(&listed[1], OnConflict::Keep, false, &Silent).await.expect("back").rows, 3);
    assert_eq!(world.dump().await, before);
}
