//! What cannot be foreseen: a disk that is full, rows that are in the way, counts on awkward tables.

use std::path::PathBuf;
use std::process::Command;

use unship::ports::Database as _;
use unship_core::down::LossKind;
use unship_core::schema::Catalog;
use unship_core::time::Timestamp;
use unship_core::tools::Tool;

use crate::server::{Server, folder, has_postgres, is_root, own};
use crate::world::{OWNER, World, name, set};

/// A file system of a few megabytes that goes away.
struct Small(PathBuf);

impl Small {
    fn mounted() -> Option<Small> {
        let place = folder("small");
        let mounted = is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs"])
                .arg(&place)
                .status()
                .is_ok_and(|status| status.success());
        if !mounted {
            let _ = fs_err::remove_dir(&place);
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no small file system can be mounted");
            println!("SKIPPED: no small file system can be mounted (root may)");
            return None;
        }
        own(&place);
        Some(Small(place))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        let _ = fs_err::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn on_a_full_disk_a_step_says_so_and_changes_nothing() {
    if !has_postgres() {
        return;
    }
    let Some(small) = Small::mounted() else { return };
    let server = Server::start(&[]);
    let world = World::new(&server, Tool::Sqlx).await;
    let mut program = world.usual().await;
    world.say(&format!("CREATE TABLESPACE small LOCATION '{}'", small.0.display())).await;
    world.say(&format!("GRANT CREATE ON TABLESPACE small TO {OWNER}")).await;
    world.say("ALTER TABLE labels SET TABLESPACE small").await;
    // A down that writes more than fits, after it has dropped things.
    program.batches.push("CREATE TABLE filled TABLESPACE small AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 60000)".into());
    world.expect_refused(&program, &["53100", "free space on the database's disk"]).await;
    drop(server);
}

#[tokio::test]
async fn rows_in_the_way_are_found_before_anything_is_touched() {
    if !has_postgres() {
        return;
    }
    let server = Server::shared();
    let base = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
        CREATE TABLE people (id bigint PRIMARY KEY, email text, nick text, age bigint, mood mood, boss bigint, amount numeric);
        CREATE TABLE bosses (id bigint PRIMARY KEY);";
    // Each: what the step does, rows, what is said.
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "ALTER TABLE people ALTER email SET NOT NULL",
            "INSERT INTO people (id) VALUES (1), (2)",
            &["2 rows of public.people with NULL in email, which becomes NOT NULL"],
        ),
        (
            "ALTER TABLE people ADD CONSTRAINT one UNIQUE (email)",
            "INSERT INTO people (id, email) VALUES (1, 'a'), (2, 'a'), (3, NULL), (4, NULL)",
            &["2 rows of public.people alike in what one wants unique"],
        ),
        (
            "CREATE UNIQUE INDEX one ON people (lower(email) DESC, nick) WHERE age > 3",
            "INSERT INTO people (id, email, nick, age) VALUES (1, 'a', 'x', 5), (2, 'A', 'x', 6), (3, 'a', 'x', 1), (4, 'a', 'y', 9)",
            &["2 rows of public.people alike in what one wants unique"],
        ),
        (
            "ALTER TABLE people ADD CONSTRAINT has_boss FOREIGN KEY (boss) REFERENCES bosses",
            "INSERT INTO bosses VALUES (1); INSERT INTO people (id, boss) VALUES (1, 1), (2, 2), (3, NULL)",
            &["1 row of public.people without the row in public.bosses that the constraint has_boss wants"],
        ),
        (
            "ALTER TABLE people ADD CONSTRAINT grown CHECK (age >= 18)",
            "INSERT INTO people (id, age) VALUES (1, 17), (2, 18), (3, NULL)",
            &["1 row of public.people that the constraint grown would not take"],
        ),
        (
            "ALTER TABLE people ADD CONSTRAINT grown CHECK (age >= 18) NOT VALID",
            "INSERT INTO people (id, age) VALUES (1, 17)",
            &[],
        ),
        (
            "ALTER TABLE people ALTER nick TYPE varchar(3)",
            "INSERT INTO people (id, nick) VALUES (1, 'abc'), (2, 'abcd'), (3, 'abc  ')",
            &["1 row of public.people with a value in nick that does not fit character varying(3)"],
        ),
        (
            "ALTER TABLE people ALTER age TYPE smallint",
            "INSERT INTO people (id, age) VALUES (1, 32767), (2, 32768), (3, -40000)",
            &["2 rows of public.people with a value in age that does not fit smallint"],
        ),
        (
            "ALTER TABLE people ALTER nick TYPE integer USING nick::integer",
            "INSERT INTO people (id, nick) VALUES (1, ' 7 '), (2, 'x')",
            &["1 row of public.people with a value in nick that does not fit integer"],
        ),
        (
            "ALTER TABLE people ALTER amount TYPE numeric(4,2)",
            "INSERT INTO people (id, amount) VALUES (1, 99.99), (2, 100), (3, 99.996)",
            &["2 rows of public.people with a value in amount that does not fit numeric(4,2)"],
        ),
        (
            "ALTER TYPE mood RENAME TO mood_old; CREATE TYPE mood AS ENUM ('sad', 'ok');
             ALTER TABLE people ALTER mood TYPE mood USING mood::text::mood; DROP TYPE mood_old",
            "INSERT INTO people (id, mood) VALUES (1, 'happy'), (2, 'ok'), (3, NULL)",
            &["1 row of public.people with a value in mood that mood does not have"],
        ),
        (
            "ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'",
            "INSERT INTO people (id, mood) VALUES (1, 'happy')",
            &[],
        ),
        (
            "ALTER TABLE people ADD COLUMN city text NOT NULL",
            "INSERT INTO people (id) VALUES (1)",
            &["1 row of public.people without a value for city, which comes as NOT NULL without a default"],
        ),
        // Under the name that the live table still has.
        (
            "ALTER TABLE people RENAME TO persons; ALTER TABLE persons RENAME email TO mail; ALTER TABLE persons ALTER mail SET NOT NULL",
            "INSERT INTO people (id) VALUES (1)",
            &["1 row of public.people with NULL in email, which becomes NOT NULL"],
        ),
        (
            "ALTER TABLE people ADD COLUMN a int; ALTER TABLE people ADD UNIQUE (a)",
            "INSERT INTO people (id) VALUES (1)",
            &[],
        ),
        ("DROP TABLE bosses", "INSERT INTO bosses VALUES (1)", &[]),
    ];
    let world = World::with(server, set(Tool::Sqlx, &[(base, "")])).await;
    for (step, rows, wanted) in cases {
        world.say("TRUNCATE people, bosses").await;
        let (before, after) = readings(&world, step).await;
        let database = world.database();
        assert_eq!(
            database.in_the_way(&before, &after).await,
            Ok(Vec::new()),
            "{step}: nothing is there yet"
        );
        world.say(rows).await;
        let found =
            database.in_the_way(&before, &after).await.unwrap_or_else(|failure| panic!("{step}: {failure}"));
        assert_eq!(found, *wanted, "{step}");
    }
    // Somebody else's table.
    world.say("TRUNCATE people, bosses").await;
    let (before, after) = readings(&world, "ALTER TABLE bosses ADD COLUMN name text").await;
    world.say("ALTER TABLE bosses OWNER TO postgres").await;
    let found = world.database().in_the_way(&before, &after).await.expect("an answer");
    assert!(found.len() == 1 && found[0].contains("public.bosses belongs to `postgres`"), "{found:?}");
}

/// The catalog before and after, from a copy of the database.
async fn readings(world: &World<'_>, step: &str) -> (Catalog, Catalog) {
    let copy = world.server.new_name();
    let mut admin = world.server.admin("postgres").await;
    crate::world::say(&mut admin, &format!("CREATE DATABASE {copy} TEMPLATE {}", world.name)).await;
    let database = world.database_at(&world.server.url(OWNER, &copy));
    let before = database.catalog(world.set.tool).await.expect("a catalog");
    let mut conn = world.server.admin(&copy).await;
    crate::world::say(&mut conn, step).await;
    let after = database.catalog(world.set.tool).await.expect("a catalog");
    (before, after)
}

#[tokio::test]
async fn what_is_lost_is_counted_exactly() {
    if !has_postgres() {
        return;
    }
    let base = "CREATE TYPE state AS ENUM ('open', 'closed');
        CREATE TABLE \"Odd \"\"Table\" (id int PRIMARY KEY, \"a b\" text DEFAULT 'it''s', n int DEFAULT 0, js json DEFAULT '{}',
            tags text[] DEFAULT '{}', st state DEFAULT 'open', v varchar(3) DEFAULT 'abc', late timestamptz DEFAULT now(),
            updated_at timestamptz, created_at timestamptz);
        INSERT INTO \"Odd \"\"Table\" (id, updated_at, created_at)
            SELECT n, ('2026-01-0' || n || ' 12:00')::timestamptz, timestamptz '2026-01-01' FROM generate_series(1, 5) n;
        UPDATE \"Odd \"\"Table\" SET \"a b\" = 'x', n = 1, js = '[1]', tags = '{a}', st = 'closed', v = 'd' WHERE id > 3;
        UPDATE \"Odd \"\"Table\" SET \"a b\" = NULL WHERE id = 1;
        CREATE TABLE parts (id int, k int) PARTITION BY LIST (k);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
        INSERT INTO parts SELECT n, 1 FROM generate_series(1, 1000) n;";
    let world = World::with(Server::shared(), set(Tool::Sqlx, &[(base, "")])).await;
    let table = name("Odd \"Table");
    let column = |column: &str, default: Option<&str>| LossKind::Column {
        table: table.clone(),
        column: column.into(),
        default: default.map(str::to_owned),
    };
    let kinds = [
        column("a b", Some("'it''s'::text")),
        column("n", Some("0")),
        column("js", Some("'{}'::json")),
        column("tags", Some("'{}'::text[]")),
        column("st", Some("'open'::public.state")),
        column("v", Some("'abc'::character varying")),
        column("late", Some("now()")),
        LossKind::Rewritten {
            table: table.clone(),
            column: "n".into(),
            from: "integer".into(),
            to: "text".into(),
        },
        LossKind::Table { table: table.clone() },
        LossKind::Rows { table: name("parts") },
    ];
    // 2026-01-04 00:00 UTC.
    let since = Timestamp(1_767_484_800_000);
    let losses = world.database().count(&kinds, Some(since)).await.expect("counts");
    let affected: Vec<u64> = losses.iter().map(|loss| loss.affected).collect();
    assert_eq!(affected, [2, 2, 2, 2, 2, 2, 5, 5, 5, 1000]);
    assert!(losses[..9].iter().all(|loss| loss.rows == 5 && loss.since_deploy == Some(2)), "{losses:?}");
    assert_eq!((losses[9].rows, losses[9].since_deploy), (1000, None));
    assert!(losses[9].bytes >= 40_000 && losses[8].bytes >= 8_192 && losses[0].bytes > 0, "{losses:?}");
    let losses = world.database().count(&kinds, None).await.expect("counts");
    assert!(losses.iter().all(|loss| loss.since_deploy.is_none()));
    let gone = LossKind::Table { table: name("gone") };
    let failure = world.database().count(&[gone], None).await.expect_err("no table");
    assert!(failure.message.contains("public.gone"), "{failure}");
}
