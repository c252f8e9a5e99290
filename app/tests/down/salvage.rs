//! What a step down destroys is kept, and comes back after the next `up`: each way of destroying, each kind of value,
//! and what somebody wrote in between.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use unship::ports::{Database as _, OnConflict, Restored, Salvaged};
use unship_core::down::{Allowed, LossKind, Program};
use unship_core::sql::ObjectName;
use unship_core::tools::{Migration, Tool};

use crate::server::{Server, has_postgres};
use crate::world::{Heard, World, name, say, set};

/// A database with one migration above a base, and what its down destroys.
struct Story<'a> {
    world: World<'a>,
    program: Program,
}

fn table(table: &str) -> LossKind {
    LossKind::Table { table: name(table) }
}

fn column(table: &str, column: &str) -> LossKind {
    LossKind::Column { table: name(table), column: column.into(), default: None }
}

fn rewritten(table: &str, column: &str, from: &str, to: &str) -> LossKind {
    LossKind::Rewritten { table: name(table), column: column.into(), from: from.into(), to: to.into() }
}

impl<'a> Story<'a> {
    /// `rows` is written with the migration applied.
    async fn new(
        base: &str,
        up: &str,
        rows: &str,
        down: &str,
        lost: &[LossKind],
        captured: &[&str],
    ) -> Story<'a> {
        let server = Server::shared();
        let world = World::with(server, set(Tool::Sqlx, &[(base, "SELECT 1"), (up, down)])).await;
        let mut conn = world.admin().await;
        say(&mut conn, "SET ROLE owner").await;
        say(&mut conn, rows).await;
        conn.close().await.expect("closed");
        let allowed =
            lost.iter().map(|kind| Allowed { kind: kind.clone(), affected_max: 1_000_000 }).collect();
        let mut locks: Vec<ObjectName> = lost.iter().map(|kind| kind.table().clone()).collect();
        locks.extend(captured.iter().map(|table| name(table)));
        locks.sort();
        locks.dedup();
        let program = world.program(allowed).await;
        let captured = captured.iter().map(|table| name(table)).collect();
        let program = Program { locks, captured, fence: false, ..program };
        Story { world, program }
    }

    async fn down(&self) -> Vec<String> {
        self.world.step(&self.program).await.expect("a step down").said
    }

    fn newest(&self) -> &Migration {
        self.world.newest()
    }

    async fn up(&self) {
        let database = self.world.database();
        let live = database.look(Tool::Sqlx).await.expect("a look");
        database.step_up(self.newest(), &live).await.expect("a step up");
    }

    async fn salvaged(&self) -> Salvaged {
        let mut all = self.world.database().salvaged().await.expect("a list");
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    async fn restore_with(&self, conflicts: OnConflict, dry_run: bool) -> Restored {
        let salvaged = self.salvaged().await;
        let restored = self.world.database().restore(&salvaged, conflicts, dry_run, &Heard::default()).await;
        restored.unwrap_or_else(|failure| panic!("{failure} ({:?})", failure.hint))
    }

    async fn restore(&self) -> Restored {
        self.restore_with(OnConflict::Keep, false).await
    }

    /// Every row of every table, as exact text.
    async fn rows(&self) -> Vec<String> {
        let mut conn = self.world.admin().await;
        let rows = rows(&mut conn).await;
        conn.close().await.expect("closed");
        rows
    }

    /// Down, up, restore: everything is as before, and nothing is in conflict.
    async fn comes_back(&self) -> Restored {
        let before = self.rows().await;
        self.down().await;
        self.up().await;
        let restored = self.restore().await;
        assert_eq!(restored.conflicts_count, 0, "{restored:#?}");
        assert_eq!(self.rows().await, before);
        restored
    }
}

async fn rows(conn: &mut PgConnection) -> Vec<String> {
    say(conn, "SET extra_float_digits = 3").await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname NOT IN ('_unship', 'pg_catalog', 'information_schema')
        AND relname <> '_sqlx_migrations' ORDER BY 1",
    )
    .fetch_all(&mut *conn)
    .await
    .expect("tables");
    let mut all = Vec::new();
    for table in tables {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname",
        )
        .bind(&table)
        .fetch_all(&mut *conn)
        .await
        .expect("columns");
        let sql = format!("SELECT ROW({})::text FROM {table} ORDER BY 1", columns.join(", "));
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *conn).await.expect("rows");
        all.push(format!("{table} ({})", columns.join(", ")));
        all.extend(rows);
    }
    all
}

fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    has_postgres().then(|| tokio::runtime::Runtime::new().expect("a runtime").block_on(work))
}

#[test]
fn a_dropped_table_is_moved_aside_and_stands_in_nobodys_way() {
    block_on(async {
        let story = Story::new(
            "CREATE TABLE repos (id bigint PRIMARY KEY, name text); INSERT INTO repos SELECT n, 'r' || n FROM generate_series(1, 5) n;
            CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES ('x'); RETURN NULL; END $$;
            CREATE TABLE heard (word text);",
            "CREATE TABLE topics (id bigserial PRIMARY KEY, repo bigint NOT NULL REFERENCES repos ON DELETE CASCADE, word text CHECK (word <> ''), UNIQUE (repo, word));
            CREATE INDEX ON topics (lower(word));
            CREATE TRIGGER shout AFTER INSERT ON topics FOR EACH ROW EXECUTE FUNCTION shout();",
            "INSERT INTO topics (repo, word) SELECT 1 + n % 5, 'w' || n FROM generate_series(1, 100) n; DELETE FROM topics WHERE id > 95;",
            "DROP TABLE IF EXISTS topics;",
            &[table("topics")],
            &[],
        )
        .await;
        let before = story.rows().await;
        let said = story.down().await;
        assert!(said.iter().any(|line| line.contains("moved aside")), "{said:?}");
        let salvaged = story.salvaged().await;
        assert_eq!((salvaged.stores[0].rows, salvaged.restored), (95, None), "{salvaged:#?}");
        // What is kept refers to nothing.
        story
            .world
            .say("TRUNCATE repos; DROP TABLE repos; DROP FUNCTION shout() CASCADE; DROP TABLE heard")
            .await;
        story.world.say("SET ROLE owner; CREATE TABLE repos (id bigint PRIMARY KEY, name text); INSERT INTO repos SELECT n, 'r' || n FROM generate_series(1, 5) n;
            CREATE TABLE heard (word text); INSERT INTO heard SELECT 'x' FROM generate_series(1, 100);
            CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES ('y'); RETURN NULL; END $$").await;
        story.up().await;
        let restored = story.restore().await;
        assert_eq!((restored.rows, restored.conflicts_count), (95, 0), "{restored:#?}");
        assert_eq!(story.rows().await, before);
        // Numbers go on after the last one that was given out.
        assert_eq!(story.world.ask("SELECT nextval('topics_id_seq')").await, 101);
        // Triggers are on again.
        assert_eq!(
            story
                .world
                .ask("SELECT count(*) FROM pg_trigger WHERE tgname = 'shout' AND tgenabled = 'O'")
                .await,
            1
        );
        // Once more changes nothing.
        let again = story.restore().await;
        assert_eq!((again.rows, again.same, again.conflicts_count), (0, 0, 0), "{again:#?}");
    });
}

/// One column of each kind that has something which a careless text would lose.
const EXACT: &str = "n numeric DEFAULT 0, f float8, r float4, b bytea, a int[], ts timestamptz, i interval, j json, jb jsonb,
    c char(5), m mood, p point3, d email, moods mood[], u uuid, tr tsrange, bits bit(3), x text COLLATE \"C\", k bool, money money";
const VALUES: &str = "(1.00, '-0', 'NaN', '\\x00ff', '[0:1]={1,NULL}', 'infinity', '1 mon -1 day 00:00:00.000001', '{\"a\": 1,  \"a\":2}', '{\"z\":1.50}',
    'ab', 'sad', '(1,\"x,\"\"y\",)', 'a@b', '{ok,sad}', '00000000-0000-0000-0000-000000000001', '[2020-01-01,)', B'101', E'\\t\\\\''\"', true, '12.34'),
    ('NaN', '1e-320', '1e38', '', '{{1,2},{3,4}}', '2020-02-30'::date - 1 + time '00:00', '-178000000 years', 'null', 'null', '', NULL, NULL, NULL, '{}', NULL, 'empty', NULL, '', NULL, NULL)";

fn exact_values() -> String {
    VALUES.replace("'2020-02-30'::date - 1 + time '00:00'", "'0001-01-01 00:00:00+00 BC'")
}

const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE point3 AS (a int, b text, c float8);
    CREATE DOMAIN email AS text CHECK (VALUE ~ '@');";

#[test]
fn what_is_taken_from_a_table_before_it_is_dropped_comes_back() {
    block_on(async {
        for before in [
            "DELETE FROM topics",
            "TRUNCATE topics",
            "UPDATE topics SET word = 'x'",
            "ALTER TABLE topics DROP COLUMN color",
            "ALTER TABLE topics RENAME COLUMN color TO paint",
            "DO $$ BEGIN DELETE FROM topics; END $$",
            "DO $$ BEGIN EXECUTE 'ALTER TABLE topics DROP COLUMN color'; END $$",
            "SELECT emptied()",
        ] {
            let story = Story::new(
                "CREATE FUNCTION emptied() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM topics; END $$;",
                "CREATE TABLE topics (id bigint PRIMARY KEY, word text, color text);",
                "INSERT INTO topics SELECT n, 'w' || n, 'c' || n FROM generate_series(1, 500) n;",
                &format!("{before}; DROP TABLE topics;"),
                &[table("topics")],
                &["topics"],
            )
            .await;
            println!("{before}");
            assert_eq!(story.comes_back().await.rows, 500, "{before}");
        }
    });
}

#[test]
fn every_kind_of_value_comes_back_from_a_dropped_table_and_its_types_can_be_dropped_too() {
    block_on(async {
        let columns: Vec<&str> = vec![
            "n", "f", "r", "b", "a", "ts", "i", "j", "jb", "c", "m", "p", "d", "moods", "u", "tr", "bits",
            "x", "k", "money",
        ];
        let rows = format!("INSERT INTO things ({}) VALUES {}", columns.join(", "), exact_values());
        let story = Story::new(
            "SELECT 1",
            &format!("{TYPES} CREATE TABLE things (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {EXACT}, twice numeric GENERATED ALWAYS AS (n * 2) STORED)"),
            &rows,
            "DROP TABLE things; DROP TYPE mood, point3; DROP DOMAIN email;",
            &[table("things")],
            &[],
        )
        .await;
        let restored = story.comes_back().await;
        assert_eq!(restored.rows, 2);
        assert_eq!(story.world.ask("SELECT nextval(pg_get_serial_sequence('things', 'id'))").await, 3);
    });
}

#[test]
fn every_kind_of_value_comes_back_into_dropped_columns() {
    block_on(async {
        let columns: Vec<&str> = vec![
            "n", "f", "r", "b", "a", "ts", "i", "j", "jb", "c", "m", "p", "d", "moods", "u", "tr", "bits",
            "x", "k", "money",
        ];
        let adds =
            EXACT.split(',').map(|one| format!("ADD COLUMN {}", one.trim())).collect::<Vec<_>>().join(", ");
        let drops = columns.iter().map(|name| format!("DROP COLUMN {name}")).collect::<Vec<_>>().join(", ");
        let rows = format!("INSERT INTO things ({}) VALUES {}", columns.join(", "), exact_values());
        let lost: Vec<LossKind> = columns.iter().map(|name| column("things", name)).collect();
        let story = Story::new(
            "CREATE TABLE things (id bigserial PRIMARY KEY, stays text DEFAULT 'here')",
            &format!("{TYPES} ALTER TABLE things {adds}"),
            &rows,
            &format!("ALTER TABLE things {drops}; DROP TYPE mood, point3; DROP DOMAIN email;"),
            &lost,
            &[],
        )
        .await;
        story.comes_back().await;
    });
}

#[test]
fn rows_that_the_down_changes_deletes_truncates_and_cascades_away_come_back() {
    block_on(async {
        let story = Story::new(
            "CREATE TABLE repos (id bigint PRIMARY KEY, name text, state text);
            CREATE TABLE issues (id bigint PRIMARY KEY, repo bigint REFERENCES repos ON DELETE CASCADE, title text);
            CREATE TABLE marks (issue bigint REFERENCES issues ON DELETE SET NULL, n int, id serial PRIMARY KEY);
            CREATE TABLE log (line text);
            CREATE TABLE gone (id int PRIMARY KEY, v json);",
            "ALTER TABLE repos ADD COLUMN extra text; ALTER TABLE log ADD COLUMN at int;",
            "INSERT INTO repos SELECT n, 'r' || n, CASE n % 3 WHEN 0 THEN 'new' ELSE 'old' END, 'e' || n FROM generate_series(1, 12) n;
            INSERT INTO issues SELECT n, 1 + n % 12, 't' || n FROM generate_series(1, 40) n;
            INSERT INTO marks (issue, n) SELECT n, n FROM generate_series(1, 40) n;
            INSERT INTO log VALUES ('a', 1), ('a', 1), ('b', 2), ('c', NULL);
            INSERT INTO gone VALUES (1, '{\"a\" : 1}'), (2, NULL);",
            "UPDATE repos SET state = 'old' WHERE state = 'new';
            UPDATE repos SET state = upper(state);
            DO $$ BEGIN DELETE FROM repos WHERE id IN (2, 4); END $$;
            INSERT INTO repos VALUES (100, 'made', 'by the down'); DELETE FROM repos WHERE id = 100;
            INSERT INTO repos VALUES (4, 'again', 'old');
            TRUNCATE gone;
            DELETE FROM log WHERE line = 'a';
            ALTER TABLE repos DROP COLUMN extra; ALTER TABLE log DROP COLUMN at;",
            &[column("repos", "extra"), column("log", "at")],
            &["repos", "gone", "log"],
        )
        .await;
        let before = story.rows().await;
        story.down().await;
        story.up().await;
        let restored = story.restore().await;
        // The row that the down deleted and made again is not as any migration left it: it is told, not overwritten.
        let told: Vec<String> =
            restored.conflicts.iter().map(|one| format!("{} {}: {}", one.table, one.key, one.why)).collect();
        assert!(told.iter().all(|line| line.contains("id=4")), "{told:#?}");
        let restored = story.restore_with(OnConflict::Saved, false).await;
        assert_eq!(restored.conflicts_count, 0, "{restored:#?}");
        assert_eq!(story.rows().await, before);
    });
}

#[test]
fn what_somebody_wrote_in_between_stays_and_is_told() {
    block_on(async {
        let story = Story::new(
            "CREATE TABLE issues (id bigint PRIMARY KEY, title text)",
            "ALTER TABLE issues ADD COLUMN note text; CREATE TABLE labels (id int PRIMARY KEY, word text UNIQUE, issue bigint REFERENCES issues);",
            "INSERT INTO issues SELECT n, 't' || n, 'note ' || n FROM generate_series(1, 10) n;
            INSERT INTO labels SELECT n, 'w' || n, n FROM generate_series(1, 10) n;",
            "ALTER TABLE issues DROP COLUMN note; DROP TABLE labels;",
            &[column("issues", "note"), table("labels")],
            &[],
        )
        .await;
        story.down().await;
        story.world.say("UPDATE issues SET title = 'new' WHERE id = 1; DELETE FROM issues WHERE id = 2; INSERT INTO issues VALUES (11, 'later')").await;
        story.up().await;
        story.world.say("UPDATE issues SET note = 'newer' WHERE id = 3; INSERT INTO labels VALUES (4, 'mine', 4), (20, 'w5', 5)").await;
        let salvaged = story.salvaged().await;
        let rows = story.rows().await;
        let tried = story.restore_with(OnConflict::Keep, true).await;
        assert_eq!(story.rows().await, rows, "a dry run changes nothing");
        let restored = story.restore().await;
        assert_eq!(restored, tried);
        let told: Vec<String> =
            restored.conflicts.iter().map(|one| format!("{} {}: {}", one.table, one.key, one.why)).collect();
        assert_eq!(told.len(), 6, "{told:#?}");
        for words in [
            "public.issues id=1: note: the row was changed since",
            "public.issues id=2: note: the row is gone",
            "public.issues id=3: note: the row was written since the migration was applied again",
            "public.labels id=4: a row of this key was made since",
            "public.labels id=2: insert or update on table \"labels\" violates foreign key",
            "public.labels id=5: duplicate key value violates unique constraint",
        ] {
            assert!(told.iter().any(|line| line.contains(words)), "{words}: {told:#?}");
        }
        assert_eq!(restored.rows, 7 + 7, "{restored:#?}");
        let note = "SELECT count(*) FROM issues WHERE note = 'note ' || id";
        assert_eq!(story.world.ask(note).await, 7);
        // The saved values win where that is asked for and possible.
        let saved = story.restore_with(OnConflict::Saved, false).await;
        assert_eq!((saved.rows, saved.conflicts_count), (3, 3), "{saved:#?}");
        assert_eq!(story.world.ask(note).await, 9);
        assert!(story.salvaged().await.restored.is_some() && salvaged.restored.is_none());
        // Exported, and dropped for good.
        let folder = tempfile::tempdir().expect("a folder");
        let database = story.world.database();
        let files = database.export(&salvaged, &folder.path().join("out")).await.expect("files");
        let lines: usize =
            files.iter().map(|file| fs_err::read_to_string(file).expect("a file").lines().count()).sum();
        assert_eq!(lines, 20, "{files:?}");
        assert!(database.export(&salvaged, &folder.path().join("out")).await.is_err(), "the folder is there");
        database.drop_salvage(&salvaged).await.expect("dropped");
        assert!(database.salvaged().await.expect("a list").is_empty());
        assert!(database.drop_salvage(&salvaged).await.is_err());
        let left = "SELECT count(*) FROM pg_class WHERE relnamespace = '_unship'::regnamespace AND relname ~ '^s[0-9]'";
        assert_eq!(story.world.ask(left).await, 0);
    });
}

#[test]
fn nothing_is_restored_before_the_migration_is_applied_again() {
    block_on(async {
        let story = Story::new(
            "SELECT 1",
            "CREATE TABLE t (id int PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
            "DROP TABLE t",
            &[table("t")],
            &[],
        )
        .await;
        story.down().await;
        let salvaged = story.salvaged().await;
        let failure =
            story.world.database().restore(&salvaged, OnConflict::Keep, false, &Heard::default()).await;
        let failure = failure.expect_err("too early");
        assert!(failure.message.contains("0002_step is not applied"), "{failure}");
        assert!(failure.hint.is_some_and(|hint| hint.contains("unship migrate up")));
    });
}

#[test]
fn rows_without_a_key_come_back_too() {
    block_on(async {
        let story = Story::new(
            "CREATE TABLE lines (a int, b text)",
            "ALTER TABLE lines ADD COLUMN c numeric; CREATE TABLE others (x int, y json);",
            "INSERT INTO lines SELECT n % 3, 'b' || n % 2, n FROM generate_series(1, 30) n;
            INSERT INTO others VALUES (1, '{}'), (1, '{}'), (NULL, NULL), (2, '[1 ]');",
            "ALTER TABLE lines DROP COLUMN c; DROP TABLE others CASCADE;",
            &[column("lines", "c"), table("others")],
            &[],
        )
        .await;
        story.comes_back().await;
    });
}

#[test]
fn a_value_that_was_written_in_another_type_comes_back() {
    block_on(async {
        let story = Story::new(
            "CREATE TABLE prices (id int PRIMARY KEY, amount int, word text)",
            "ALTER TABLE prices ALTER amount TYPE numeric(10,2), ALTER word TYPE varchar(40);",
            "INSERT INTO prices SELECT n, n + 0.25 * (n % 4), repeat('x', n) FROM generate_series(1, 20) n;",
            "ALTER TABLE prices ALTER amount TYPE int, ALTER word TYPE text USING left(word, 5);",
            &[
                rewritten("prices", "amount", "numeric(10,2)", "integer"),
                rewritten("prices", "word", "character varying(40)", "text"),
            ],
            &[],
        )
        .await;
        let before = story.rows().await;
        story.down().await;
        story
            .world
            .say("UPDATE prices SET amount = 77 WHERE id = 3; UPDATE prices SET word = 'mine' WHERE id = 9")
            .await;
        story.up().await;
        let restored = story.restore().await;
        let told: Vec<String> =
            restored.conflicts.iter().map(|one| format!("{}: {}", one.key, one.why)).collect();
        assert_eq!(
            told,
            ["id=3: amount: the row was changed since", "id=9: word: the row was changed since"]
        );
        story.restore_with(OnConflict::Saved, false).await;
        assert_eq!(story.rows().await, before);
    });
}

#[test]
fn partitions_foreign_keys_in_circles_and_wide_keys_come_back() {
    block_on(async {
        let story = Story::new(
            "CREATE TABLE events (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
            CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
            CREATE TABLE events_2 (note text, day date NOT NULL, id int NOT NULL);
            ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');",
            "ALTER TABLE events ADD COLUMN extra text;
            CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE);
            ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE;
            CREATE TABLE parts (p int, q text, self_p int, self_q text, PRIMARY KEY (p, q), FOREIGN KEY (self_p, self_q) REFERENCES parts);
            CREATE TABLE hist (d date) PARTITION BY RANGE (d); CREATE TABLE hist_1 PARTITION OF hist DEFAULT;",
            "INSERT INTO events SELECT n, '2020-01-01'::date + n, 'n' || n, 'x' || n FROM generate_series(0, 50) n;
            BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO a VALUES (1, 1), (2, NULL); INSERT INTO b VALUES (1, 1), (2, 2); COMMIT;
            INSERT INTO parts VALUES (1, 'a', 2, 'b'), (2, 'b', NULL, NULL), (3, 'c', 1, 'a');
            INSERT INTO hist VALUES ('2020-01-01'), ('2020-01-01'), (NULL);",
            "UPDATE events SET note = 'changed' WHERE id % 7 = 0; DELETE FROM events_2 WHERE id % 5 = 0;
            ALTER TABLE events DROP COLUMN extra; DROP TABLE a, b; DROP TABLE parts; DROP TABLE hist;",
            &[column("events", "extra"), column("events_1", "extra"), column("events_2", "extra"), table("a"), table("b"), table("parts"), table("hist"), table("hist_1")],
            &["events", "events_2"],
        )
        .await;
        story.comes_back().await;
    });
}

#[test]
fn names_that_are_hard_to_write_come_back() {
    block_on(async {
        let odd = "Odd \"name\"; -- $$ \\ '%s";
        let quoted = odd.replace('"', "\"\"");
        let story = Story::new(
            &format!("CREATE TABLE plain (\"{quoted}\" int PRIMARY KEY)"),
            &format!("CREATE TABLE \"{quoted}\" (\"{quoted}\" text PRIMARY KEY, \"select\" int); ALTER TABLE plain ADD COLUMN \"{quoted}2\" text;"),
            &format!("INSERT INTO \"{quoted}\" VALUES ('a', 1), ('%s', 2); INSERT INTO plain VALUES (1, 'x'), (2, NULL)"),
            &format!("DELETE FROM plain WHERE \"{quoted}\" = 2; DROP TABLE \"{quoted}\"; ALTER TABLE plain DROP COLUMN \"{quoted}2\""),
            &[table(odd), column("plain", &format!("{odd}2"))],
            &["plain"],
        )
        .await;
        story.comes_back().await;
    });
}
