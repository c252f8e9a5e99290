//! Steps down as they are proposed for a real database: each loss is named beforehand, and all of it comes back after the
//! next up, without a conflict where nobody wrote.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use unship::flow::down::ProposedDown;
use unship::flow::migrate::{Parts, Subject, propose_newest, take};
use unship::ports::{Database as _, OnConflict};
use unship::wire::{SystemClock, unconfigured};
use unship_core::down::LossKind;
use unship_core::tools::Tool;

use crate::server::{Server, has_postgres};
use crate::world::{Heard, OWNER, World, by, say, set};

/// A database with a migration above a base.
struct Story {
    world: World<'static>,
}

impl Story {
    /// `rows` are written with the migration applied.
    async fn new(base: &str, up: &str, rows: &str, down: &str) -> Story {
        let world = World::with(Server::shared(), set(Tool::Sqlx, &[(base, "SELECT 1"), (up, down)])).await;
        world.say(&format!("SET ROLE {OWNER}; {rows}")).await;
        Story { world }
    }

    /// What is proposed; taken, where `is_taken`, although it loses something.
    async fn step(&self, is_taken: bool) -> ProposedDown {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        fs_err::write(&file, self.world.server.url(OWNER, &self.world.name)).expect("a file");
        let (database, shadows) = unconfigured(&file).expect("a database");
        let (clock, heard) = (SystemClock, Heard::default());
        let parts =
            Parts { database: database.as_ref(), shadows: shadows.as_ref(), clock: &clock, progress: &heard };
        let subject = Subject { set: self.world.set.clone(), release: None, deployed_at: None };
        let proposed = propose_newest(&parts, &subject, false, false).await;
        let step = proposed.unwrap_or_else(|error| panic!("{error}")).steps.remove(0);
        if is_taken {
            let program = step.program.as_ref().unwrap_or_else(|| panic!("{:#?}", step.refusals));
            take(&parts, program, &by(1)).await.unwrap_or_else(|error| panic!("{error}"));
        }
        step
    }

    async fn up(&self) {
        let database = self.world.database();
        let live = database.look(Tool::Sqlx).await.expect("a look");
        database.step_up(self.world.newest(), &live).await.expect("a step up");
    }

    /// Puts all of it back; the conflicts.
    async fn restore(&self) -> Vec<String> {
        let database = self.world.database();
        let salvaged = database.salvaged().await.expect("a list").remove(0);
        let restored = database.restore(&salvaged, OnConflict::Keep, false, &Heard::default()).await;
        let restored = restored.unwrap_or_else(|failure| panic!("{failure} ({:?})", failure.hint));
        let told = restored.conflicts.iter().map(|one| format!("{} {}: {}", one.table, one.key, one.why));
        told.collect()
    }

    /// Down, up, restore: these losses are named, with so many rows each, and everything is as it was.
    async fn loses(&self, named: &[&str]) {
        let mut conn = self.world.admin().await;
        let before = state(&mut conn).await;
        let step = self.step(true).await;
        let losses = step.report.losses.iter().filter(|loss| loss.affected > 0);
        let losses: Vec<String> =
            losses.map(|loss| format!("{} {}", word(&loss.kind), loss.affected)).collect();
        assert_eq!(losses, named);
        assert_ne!(state(&mut conn).await, before, "the down does nothing");
        self.up().await;
        assert_eq!(self.restore().await, Vec::<String>::new());
        assert_eq!(state(&mut conn).await, before);
        conn.close().await.expect("closed");
    }

    /// The reasons for which it is refused.
    async fn refusals(&self) -> String {
        let step = self.step(false).await;
        assert_eq!(step.program, None, "{:#?}", step.report);
        step.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

fn word(kind: &LossKind) -> String {
    match kind {
        LossKind::Table { table } => format!("table {}", table.name),
        LossKind::Column { table, column, .. } => format!("column {}.{column}", table.name),
        LossKind::Rewritten { table, column, .. } => format!("values {}.{column}", table.name),
        LossKind::Rows { table } => format!("rows {}", table.name),
        LossKind::Sequence { sequence } => format!("sequence {}", sequence.name),
    }
}

/// Every row of every table by the names of its columns, and how far every sequence was used.
async fn state(conn: &mut PgConnection) -> Vec<String> {
    say(conn, "SET extra_float_digits = 3").await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT format('%I.%I', n.nspname, c.relname), coalesce(string_agg(format('%I', a.attname), ', ' ORDER BY a.attname), '')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        WHERE c.relkind = 'r' AND nspname !~ '^pg_' AND nspname NOT IN ('_unship', 'information_schema')
        AND relname <> '_sqlx_migrations' GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(&mut *conn)
    .await
    .expect("tables");
    let mut all = Vec::new();
    for (table, columns) in tables {
        let sql = format!("SELECT ROW({columns})::text FROM ONLY {table} ORDER BY 1");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *conn).await.expect("rows");
        all.push(format!("{table} ({columns})"));
        all.extend(rows);
    }
    let sequences: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s %s', seqrelid::regclass, pg_sequence_last_value(seqrelid)) FROM pg_sequence
        WHERE seqrelid::regclass::text !~ '^_unship' ORDER BY 1",
    )
    .fetch_all(conn)
    .await
    .expect("sequences");
    all.extend(sequences);
    all
}

#[tokio::test]
async fn values_that_a_down_computes_are_named_and_come_back() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TABLE a (id int PRIMARY KEY, word text);
        CREATE TABLE b (id int PRIMARY KEY, doc text, day date, n bigint);
        CREATE TABLE c (id int PRIMARY KEY, word text) PARTITION BY HASH (id);
        CREATE TABLE c_0 PARTITION OF c FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        CREATE TABLE d (id int PRIMARY KEY, word text); CREATE TABLE e (id int PRIMARY KEY, n int);",
        "ALTER TABLE b ALTER doc TYPE jsonb USING jsonb_build_object('name', doc), ALTER day TYPE timestamptz,
            ALTER n TYPE int;
        ALTER TABLE e ALTER n TYPE text;",
        "INSERT INTO a SELECT n, 'word ' || n FROM generate_series(1, 20) n;
        INSERT INTO b SELECT n, jsonb_build_object('name', n, 'x', n), timestamptz '2024-01-01 03:04:05.6+00' + n * interval '7 h', n * 1001
            FROM generate_series(1, 20) n;
        INSERT INTO c SELECT n, 'word ' || n FROM generate_series(1, 20) n;
        INSERT INTO d SELECT n, 'word ' || n FROM generate_series(1, 20) n;
        INSERT INTO e SELECT n, '0' || n FROM generate_series(1, 20) n;",
        "ALTER TABLE a ALTER word TYPE text USING left(word, 3);
        ALTER TABLE b ALTER doc TYPE text USING doc ->> 'name', ALTER day TYPE date USING day::date, ALTER n TYPE bigint USING n / 1000;
        ALTER TABLE c ALTER word TYPE text USING upper(word);
        DO $$ BEGIN EXECUTE format('ALTER TABLE %I ALTER word TYPE text USING upper(word)', 'd'); END $$;
        ALTER TABLE e ALTER n TYPE int USING n::int;",
    )
    .await;
    story
        .loses(&[
            "values a.word 20",
            "values b.day 20",
            "values b.doc 20",
            "values b.n 20",
            "values c.word 20",
            "values c_0.word 20",
            "values d.word 20",
            "values e.n 20",
        ])
        .await;
}

#[tokio::test]
async fn a_part_that_a_composite_type_or_a_row_type_loses_comes_back_wherever_it_is() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TYPE addr AS (street text); CREATE TYPE place AS (at addr, note text); CREATE DOMAIN places AS place[];
        CREATE TABLE shapes (x int);
        CREATE TABLE people (id int PRIMARY KEY, home addr, seen places, shape shapes, name text NOT NULL);",
        "ALTER TYPE addr ADD ATTRIBUTE zip int; ALTER TABLE shapes ADD COLUMN y int;",
        "INSERT INTO people SELECT n, ROW('s\"' || n, n)::addr, ARRAY[ROW(ROW('t', n)::addr, 'n')::place, NULL], ROW(n, n)::shapes, 'p' || n
            FROM generate_series(1, 20) n;
        INSERT INTO people VALUES (30, NULL, NULL, NULL, 'nobody');",
        "ALTER TYPE addr DROP ATTRIBUTE zip; ALTER TABLE shapes DROP COLUMN y;
        UPDATE people SET name = upper(name) WHERE id < 5; DELETE FROM people WHERE id > 15;",
    )
    .await;
    story
        .loses(&[
            "values people.home 20",
            "values people.seen 20",
            "values people.shape 20",
            "rows people 21",
        ])
        .await;
}

#[tokio::test]
async fn rows_that_are_changed_after_their_columns_are_gone_or_of_another_type_come_back_whole() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE a (id int PRIMARY KEY, n int NOT NULL, word text);
        CREATE TABLE b (n int, word text);
        CREATE TABLE c (id int PRIMARY KEY, v int NOT NULL) PARTITION BY HASH (id);
        CREATE TABLE c_0 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE c_1 PARTITION OF c FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE d (id int PRIMARY KEY, n bigint);",
        "ALTER TABLE a ALTER n TYPE text, ADD COLUMN s text NOT NULL DEFAULT 'new', ADD COLUMN m mood NOT NULL DEFAULT 'ok';
        ALTER TABLE b ALTER n TYPE text, ADD COLUMN s text; ALTER TABLE c ALTER v TYPE text; ALTER TABLE d ALTER n TYPE int;",
        "INSERT INTO a SELECT n, '0' || n, 'w' || n, 's' || n, (ARRAY['sad', 'ok']::mood[])[1 + n % 2] FROM generate_series(1, 20) n;
        INSERT INTO b SELECT '0' || n % 7, 'w' || n % 3, 's' || n FROM generate_series(1, 20) n;
        INSERT INTO c SELECT n, '0' || n FROM generate_series(1, 20) n;
        INSERT INTO d SELECT n, n FROM generate_series(1, 20) n;",
        "ALTER TABLE a ALTER n TYPE int USING n::int, DROP COLUMN s, DROP COLUMN m;
        UPDATE a SET word = upper(word), n = n * 10 WHERE id % 2 = 0; DELETE FROM a WHERE id % 3 = 0;
        ALTER TABLE b ALTER n TYPE int USING n::int, DROP COLUMN s; DELETE FROM b WHERE n = 3;
        ALTER TABLE c ALTER v TYPE int USING v::int; DELETE FROM c WHERE id < 4; UPDATE c SET v = 0 WHERE id > 15;
        ALTER TABLE d ALTER n TYPE bigint; UPDATE d SET n = n + 1 WHERE id < 4; DELETE FROM d WHERE id > 18;",
    )
    .await;
    story
        .loses(&[
            "column a.m 10",
            "column a.s 20",
            "column b.s 20",
            "values a.n 20",
            "values b.n 20",
            "values c.v 20",
            "values c_0.v 8",
            "values c_1.v 12",
            "rows a 20",
            "rows b 20",
            "rows c 20",
            "rows c_0 8",
            "rows c_1 12",
            "rows d 20",
        ])
        .await;
}

#[tokio::test]
async fn values_of_a_row_without_a_key_stay_together() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TABLE lines (a int, b text); CREATE TABLE prices (n int, b text);",
        "ALTER TABLE lines ADD COLUMN c text, ADD COLUMN d text; ALTER TABLE prices ALTER n TYPE numeric, ADD COLUMN d text;",
        "INSERT INTO lines VALUES (1, 'x', 'c1', 'd9'), (1, 'x', 'c2', 'd8'), (1, 'x', 'c3', 'd7'), (2, 'y', NULL, 'd'), (2, 'y', 'c', NULL);
        INSERT INTO prices SELECT 1.5 + n % 4, 'b' || n % 2, 'd' || 100 - n FROM generate_series(1, 20) n;",
        "ALTER TABLE lines DROP COLUMN c, DROP COLUMN d; ALTER TABLE prices ALTER n TYPE int, DROP COLUMN d;",
    )
    .await;
    story.loses(&["column lines.c 4", "column lines.d 4", "column prices.d 20", "values prices.n 20"]).await;
}

#[tokio::test]
async fn rows_of_plain_children_and_of_tables_without_a_key_come_back() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TABLE parents (id int PRIMARY KEY, a text); CREATE TABLE children (b text, PRIMARY KEY (id)) INHERITS (parents);
        CREATE TABLE lines (a int, b text); CREATE TABLE one (v text);
        CREATE TABLE issues (id int PRIMARY KEY); CREATE TABLE marks (issue int REFERENCES issues ON DELETE SET NULL, word text);",
        "ALTER TABLE one ALTER v TYPE varchar(9);",
        "INSERT INTO parents VALUES (1, 'a'); INSERT INTO children VALUES (2, 'a', 'b'), (3, 'c', 'd');
        INSERT INTO lines SELECT n % 3, 'b' || n % 4 FROM generate_series(1, 20) n; INSERT INTO one VALUES ('1'), ('2');
        INSERT INTO issues SELECT n FROM generate_series(1, 9) n; INSERT INTO marks SELECT n, 'w' || n % 2 FROM generate_series(1, 9) n;",
        "UPDATE parents SET a = 'z'; DELETE FROM parents WHERE id = 3;
        UPDATE lines SET b = 'x' WHERE a = 1; UPDATE lines SET a = 7 WHERE b = 'x'; DELETE FROM lines WHERE a = 2;
        ALTER TABLE one ALTER v TYPE int USING v::int; DELETE FROM one WHERE v = 1; ALTER TABLE one ALTER v TYPE text;
        DELETE FROM issues WHERE id < 5;",
    )
    .await;
    story
        .loses(&[
            "rows children 2",
            "rows issues 9",
            "rows lines 20",
            "rows marks 9",
            "rows one 2",
            "rows parents 3",
        ])
        .await;
}

#[tokio::test]
async fn values_of_an_enum_that_goes_are_mapped_and_come_back() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE a (id int PRIMARY KEY, m mood NOT NULL, word text);",
        "ALTER TYPE mood ADD VALUE 'great'",
        "INSERT INTO a SELECT n, (ARRAY['sad', 'ok', 'great']::mood[])[1 + n % 3], 'w' || n FROM generate_series(1, 12) n;",
        "ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('sad', 'ok');
        ALTER TABLE a ALTER m TYPE mood USING (CASE m::text WHEN 'great' THEN 'ok' ELSE m::text END)::mood;
        DROP TYPE mood_old; UPDATE a SET word = 'ok' WHERE m = 'ok'; DELETE FROM a WHERE id = 5;",
    )
    .await;
    story.loses(&["values a.m 12", "rows a 12"]).await;
}

#[tokio::test]
async fn what_a_migration_fills_into_a_table_without_a_key_does_not_stand_beside_what_it_became() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "SELECT 1",
        "CREATE TABLE kinds (id int, word text); INSERT INTO kinds VALUES (1, 'a'), (1, 'a'), (2, 'b'), (3, 'c');",
        "UPDATE kinds SET word = 'mine' WHERE id = 2; DELETE FROM kinds WHERE id = 3; INSERT INTO kinds VALUES (9, 'z')",
        "DROP TABLE kinds;",
    )
    .await;
    story.loses(&["table kinds 4"]).await;
}

#[tokio::test]
async fn without_a_key_nothing_is_put_back_over_what_somebody_wrote() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TABLE lines (a int, b text);",
        "SELECT 1",
        "INSERT INTO lines SELECT n, 'b' FROM generate_series(1, 5) n",
        "UPDATE lines SET b = 'x' WHERE a < 3; DELETE FROM lines WHERE a = 5;",
    )
    .await;
    story.step(true).await;
    story.world.say("INSERT INTO lines VALUES (9, 'mine')").await;
    story.up().await;
    let told = story.restore().await;
    assert_eq!(told, vec!["public.lines a row without a key: no key tells the rows of the table apart"; 2]);
    // What was deleted is put in beside; what was changed stays as it is.
    let sql = "SELECT count(*) FILTER (WHERE b = 'x') * 100 + count(*) FILTER (WHERE a = 5) * 10 + count(*) FROM lines";
    assert_eq!(story.world.ask(sql).await, 216);
}

#[tokio::test]
async fn what_somebody_wrote_since_is_no_value_to_put_back() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE TABLE a (id int PRIMARY KEY, word text, other text); CREATE TABLE b (n int, word text);",
        "ALTER TABLE b ALTER n TYPE numeric;",
        "INSERT INTO a SELECT n, 'word ' || n, 'o' FROM generate_series(1, 5) n; INSERT INTO b SELECT n + 0.5, 'w' FROM generate_series(1, 5) n;",
        "ALTER TABLE a ALTER word TYPE text USING left(word, 3); ALTER TABLE b ALTER n TYPE int;",
    )
    .await;
    story.step(true).await;
    story.world.say("UPDATE a SET word = 'mine' WHERE id = 2; DELETE FROM a WHERE id = 3; INSERT INTO b VALUES (7, 'w')").await;
    story.up().await;
    let mut told = story.restore().await;
    told.sort();
    assert_eq!(
        told[..2],
        ["public.a id=2: word: the row was changed since", "public.a id=3: word: the row is gone"]
    );
    assert_eq!(told.len(), 7, "{told:#?}");
    assert_eq!(story.world.ask("SELECT count(*) FROM a WHERE word = 'word ' || id").await, 3);
    assert_eq!(story.world.ask("SELECT count(*) FROM b WHERE n = 7").await, 1);
}

#[tokio::test]
async fn sequences_that_are_sent_back_or_dropped_go_on_where_they_were() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE SEQUENCE tickets; CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
        CREATE TABLE b (id serial PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, v text);
        CREATE TABLE d (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY -1) PRIMARY KEY, v text);
        CREATE TABLE e (id serial PRIMARY KEY); CREATE TABLE stays (id serial PRIMARY KEY);
        CREATE FUNCTION again() RETURNS void LANGUAGE sql AS $$ SELECT setval(pg_get_serial_sequence('e', 'id'), 3) $$;",
        "CREATE SEQUENCE codes START 100; CREATE SEQUENCE unused; ALTER TABLE c ALTER id ADD GENERATED BY DEFAULT AS IDENTITY;
        CREATE TABLE f (id bigserial PRIMARY KEY);",
        "SELECT nextval('tickets'), nextval('codes'), nextval('codes');
        INSERT INTO a (v) SELECT 'v' FROM generate_series(1, 30); INSERT INTO b (v) SELECT 'v' FROM generate_series(1, 30);
        INSERT INTO c (v) SELECT 'v' FROM generate_series(1, 30); INSERT INTO d (v) SELECT 'v' FROM generate_series(1, 30);
        INSERT INTO e SELECT FROM generate_series(1, 30); INSERT INTO stays SELECT FROM generate_series(1, 30);
        INSERT INTO f SELECT FROM generate_series(1, 30); DELETE FROM f WHERE id > 20;",
        "ALTER SEQUENCE tickets RESTART; TRUNCATE a RESTART IDENTITY; DO $$ BEGIN PERFORM setval('b_id_seq', 1, false); END $$;
        ALTER TABLE c ALTER id DROP IDENTITY; ALTER TABLE d ALTER id RESTART; SELECT again();
        DROP SEQUENCE codes; DROP SEQUENCE unused; DROP TABLE f;",
    )
    .await;
    story
        .loses(&[
            "table f 20",
            "sequence a_id_seq 1",
            "sequence b_id_seq 1",
            "sequence c_id_seq 1",
            "sequence codes 1",
            "sequence d_id_seq 1",
            "sequence e_id_seq 1",
            "sequence tickets 1",
            "rows a 30",
        ])
        .await;
}

#[tokio::test]
async fn what_an_old_release_counted_on_is_not_counted_back() {
    if !has_postgres() {
        return;
    }
    let story = Story::new(
        "CREATE SEQUENCE tickets;",
        "CREATE SEQUENCE codes;",
        "SELECT setval('tickets', 10), setval('codes', 10)",
        "ALTER SEQUENCE tickets RESTART; DROP SEQUENCE codes;",
    )
    .await;
    story.step(true).await;
    story.world.say("SELECT setval('tickets', 50)").await;
    story.up().await;
    story.world.say("ALTER SEQUENCE codes RENAME TO others").await;
    assert_eq!(story.restore().await, ["public.codes last number 10: the sequence is not there"]);
    assert_eq!(story.world.ask("SELECT nextval('tickets')").await, 51);
}

#[tokio::test]
async fn tables_made_by_hand_are_not_emptied_unseen() {
    if !has_postgres() {
        return;
    }
    let hand = "CREATE TABLE hand (id int PRIMARY KEY, a int REFERENCES a); INSERT INTO hand SELECT n, n FROM generate_series(1, 5) n;
        CREATE TABLE apart (v int); INSERT INTO apart VALUES (1)";
    let story = |down: &'static str| async move {
        let base = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);";
        let rows = "INSERT INTO a SELECT n FROM generate_series(1, 5) n; INSERT INTO b VALUES (1)";
        let story = Story::new(base, "SELECT 1", rows, down).await;
        story.world.say(&format!("SET ROLE {OWNER}; {hand}")).await;
        story
    };
    let refused = story("TRUNCATE a CASCADE").await.refusals().await;
    assert!(refused.contains("it has table hand, which no migration makes"), "{refused}");
    // What is put together while it runs may reach it: then it is named and kept.
    let dynamic = story("DO $$ BEGIN EXECUTE 'TRUNCATE ' || 'a CASCADE'; END $$").await;
    dynamic.loses(&["rows a 5", "rows hand 5"]).await;
    let by_rows = "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM b LOOP EXECUTE format('DELETE FROM %I', 'apart'); END LOOP; END $$";
    story(by_rows).await.loses(&["rows a 5", "rows apart 1", "rows b 1", "rows hand 5"]).await;
}
