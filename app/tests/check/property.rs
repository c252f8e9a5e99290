//! No pair is judged `compatible` whose old query fails on the new schema: schemas, migrations and queries are
//! generated, judged, and then PostgreSQL executes the queries on rows, before the migration and after it.
//!
//! What a query must not do is fail after the migration although it went well before it, with the same values and
//! with rows of the newer release in its new tables. Seeds make every case; a failing one names its own.
//! `UNSHIP_PROVE_CASES` says how many; 500 unless given. In longer runs most cases in which nothing fails are not
//! judged, since no verdict on them can be wrong.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use unship_core::queries::{Sort, sort_of};
use unship_core::verdict::Verdict;

use crate::chance::Chance;
use crate::queries::Bench;
use crate::world::has_postgres;

const CASES: u64 = 500;

/// One pair of releases.
pub struct Case {
    pub base: String,
    pub rows: String,
    pub step: String,
    /// What the newer release writes.
    pub new_rows: String,
    /// Each with values for its parameters.
    pub queries: Vec<(String, Vec<&'static str>)>,
}

fn base(chance: &mut Chance) -> (String, String) {
    let kind = chance.pick(&["int", "bigint"]);
    let text = chance.pick(&["text", "varchar(12)"]);
    let filled = chance.pick(&["", " NOT NULL DEFAULT 'x'", " DEFAULT 'x'", " NOT NULL"]);
    let action = chance.pick(&["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON UPDATE CASCADE"]);
    let mut sql = format!(
        "CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE a (id serial PRIMARY KEY, k {kind} DEFAULT 1, s {text}{filled}, m mood DEFAULT 'ok', n int);
        CREATE TABLE b (id serial PRIMARY KEY, a_id int REFERENCES a{action}, k int, t text, u int DEFAULT 5);
        CREATE TABLE c (id serial PRIMARY KEY, line text, k int);"
    );
    for extra in [
        "CREATE UNIQUE INDEX a_n ON a (n);",
        "CREATE UNIQUE INDEX b_t ON b (t);",
        "CREATE VIEW v AS SELECT id, k, s FROM a;",
        "CREATE FUNCTION f(x int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM b WHERE b.k = x';",
        "CREATE FUNCTION g(x int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; BEGIN SELECT t INTO r FROM b WHERE b.id = x; RETURN r; END $$;",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO c (line, k) VALUES ('a', NEW.k); RETURN NEW; END $$; CREATE TRIGGER note AFTER INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION note();",
        "ALTER TABLE b ADD CHECK (u > 0);",
    ] {
        if chance.one_in(2) {
            sql.push_str(extra);
        }
    }
    let rows = "INSERT INTO a (k, s, n) VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', NULL);
        INSERT INTO b (a_id, k, t) VALUES (1, 1, 'x'), (2, 2, 'y'), (NULL, NULL, NULL);
        INSERT INTO c (line, k) VALUES ('l', 1);";
    (sql, rows.to_owned())
}

/// A migration, and what the newer release writes then.
fn step(chance: &mut Chance) -> (&'static str, &'static str) {
    *chance.pick(&[
        ("ALTER TABLE a DROP COLUMN n", ""),
        ("ALTER TABLE a DROP COLUMN k CASCADE", ""),
        ("ALTER TABLE b DROP COLUMN t CASCADE", ""),
        ("ALTER TABLE b DROP COLUMN u", ""),
        ("ALTER TABLE c DROP COLUMN line", ""),
        ("ALTER TABLE a RENAME COLUMN s TO title", ""),
        ("ALTER TABLE b RENAME COLUMN k TO kk", ""),
        ("ALTER TABLE b RENAME TO bb", ""),
        ("ALTER TABLE b RENAME TO bb; CREATE VIEW b AS SELECT * FROM bb", ""),
        ("DROP TABLE c CASCADE", ""),
        ("DROP VIEW IF EXISTS v", ""),
        ("DROP INDEX IF EXISTS a_n", ""),
        ("DROP INDEX IF EXISTS b_t", ""),
        ("CREATE UNIQUE INDEX ON b (k)", ""),
        ("CREATE UNIQUE INDEX ON a (k, s)", ""),
        ("ALTER TABLE a ADD COLUMN t text", ""),
        ("ALTER TABLE a ADD COLUMN u int NOT NULL DEFAULT 0", ""),
        ("ALTER TABLE b ADD COLUMN n int CHECK (n IS NOT NULL) NOT VALID", ""),
        ("ALTER TABLE b ADD COLUMN n int CHECK (n > 0)", ""),
        ("ALTER TABLE b ADD COLUMN n int, ADD COLUMN o int, ADD CHECK (num_nonnulls(n, o) > 0) NOT VALID", ""),
        ("ALTER TABLE c ADD COLUMN n text UNIQUE", ""),
        ("DELETE FROM c; ALTER TABLE c ADD COLUMN n text DEFAULT '' UNIQUE", ""),
        ("DELETE FROM c; ALTER TABLE c ADD COLUMN n text NOT NULL", ""),
        ("ALTER TABLE a ALTER n SET DEFAULT 1", ""),
        ("ALTER TABLE b ALTER u SET DEFAULT -1", ""),
        ("ALTER TABLE b ALTER u DROP DEFAULT", ""),
        ("ALTER TABLE a ALTER s DROP DEFAULT", ""),
        ("ALTER TABLE a ALTER k SET NOT NULL", ""),
        ("DELETE FROM b WHERE t IS NULL; ALTER TABLE b ALTER t SET NOT NULL", ""),
        ("ALTER TABLE c ALTER k SET NOT NULL", ""),
        ("ALTER TABLE a ADD CHECK (k < 50)", ""),
        ("ALTER TABLE c ADD CHECK (length(line) < 3)", ""),
        ("ALTER TABLE b ADD CHECK (u < 9)", ""),
        ("ALTER TABLE b ADD FOREIGN KEY (k) REFERENCES a (id)", ""),
        ("ALTER TABLE b ALTER k TYPE bigint", ""),
        ("ALTER TABLE b ALTER t TYPE varchar(2)", ""),
        ("ALTER TABLE c ALTER line TYPE varchar(5)", ""),
        ("ALTER TABLE c ALTER k TYPE smallint", ""),
        ("ALTER TABLE a ALTER s TYPE text", ""),
        ("ALTER TABLE b ALTER u TYPE text", ""),
        ("CREATE TABLE d (a_id int REFERENCES a)", "INSERT INTO d SELECT id FROM a"),
        ("CREATE TABLE d (a_id int REFERENCES a ON DELETE CASCADE)", "INSERT INTO d SELECT id FROM a"),
        ("CREATE TABLE d (b_id int NOT NULL REFERENCES b ON DELETE SET NULL)", "INSERT INTO d SELECT id FROM b"),
        ("CREATE TABLE d (c_id int REFERENCES c ON UPDATE CASCADE)", "INSERT INTO d SELECT id FROM c"),
        ("CREATE TABLE d (id int, k int, line text)", "INSERT INTO d VALUES (1, 1, 'x')"),
        ("ALTER TYPE mood ADD VALUE 'new'", ""),
        ("ALTER TABLE a DROP COLUMN m; DROP TYPE mood", ""),
        ("CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; CREATE TRIGGER stop BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION stop()", ""),
        ("CREATE RULE r AS ON INSERT TO c DO ALSO INSERT INTO a (n) VALUES (1)", ""),
        ("CREATE OR REPLACE FUNCTION f(x int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1 / 0::bigint'", ""),
        ("CREATE FUNCTION f(x int, y int DEFAULT 1) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'", ""),
        ("DROP FUNCTION IF EXISTS f(int)", ""),
        ("DROP FUNCTION IF EXISTS g(int)", ""),
        ("ALTER TABLE c ENABLE ROW LEVEL SECURITY; ALTER TABLE c FORCE ROW LEVEL SECURITY", ""),
        ("ALTER TABLE a DROP COLUMN n; ALTER TABLE a ADD COLUMN n int", ""),
        ("ALTER TABLE c DROP COLUMN k; ALTER TABLE c ADD COLUMN k int GENERATED ALWAYS AS (1) STORED", ""),
        ("ALTER TABLE b ALTER id DROP DEFAULT", ""),
        ("CREATE INDEX ON a (k); CREATE TABLE e (id int)", ""),
        ("DELETE FROM c; CREATE INDEX ON c ((line::int))", ""),
        ("DELETE FROM c; CREATE INDEX ON c (k) WHERE line::int > 3", ""),
        ("DELETE FROM c; ALTER TABLE c ADD COLUMN n int GENERATED ALWAYS AS (line::int) STORED", ""),
        ("CREATE INDEX ON c ((lower(line)))", ""),
        ("UPDATE a SET k = 7", ""),
        ("INSERT INTO c (line) VALUES ('seed')", ""),
        ("COMMENT ON TABLE a IS 'x'", ""),
    ])
}

fn query(chance: &mut Chance) -> (&'static str, Vec<&'static str>) {
    let (text, values): (&str, &[&str]) = *chance.pick(&[
        ("SELECT id, k FROM a WHERE id = $1", &["1"][..]),
        ("SELECT id, s FROM a ORDER BY id", &[]),
        ("SELECT * FROM a", &[]),
        ("SELECT * FROM b WHERE k = $1", &["1"]),
        ("SELECT count(*) FROM c", &[]),
        ("SELECT m FROM a WHERE id = $1", &["1"]),
        ("SELECT a.id, t FROM a JOIN b ON b.a_id = a.id", &[]),
        ("SELECT a.k, u FROM a JOIN b ON b.a_id = a.id WHERE b.k > $1", &["0"]),
        ("SELECT (SELECT n FROM b LIMIT 1) FROM a", &[]),
        ("SELECT id FROM a WHERE EXISTS (SELECT k FROM c WHERE c.k = a.k)", &[]),
        ("SELECT * FROM b NATURAL JOIN c", &[]),
        ("SELECT s FROM v WHERE id = $1", &["1"]),
        ("SELECT f(1)", &[]),
        ("SELECT g(id) FROM a", &[]),
        ("INSERT INTO a (k, s) VALUES ($1, $2)", &["99", "new"]),
        (
            "INSERT INTO a (s, n) VALUES ($1, $2) ON CONFLICT (n) DO UPDATE SET s = excluded.s",
            &["again", "1"],
        ),
        ("INSERT INTO a (k) SELECT k FROM b", &[]),
        ("INSERT INTO b (a_id, k, t) VALUES ($1, $2, $3) RETURNING id", &["1", "700", "longer"]),
        ("INSERT INTO b (t) VALUES ($1) ON CONFLICT (t) DO NOTHING", &["x"]),
        ("INSERT INTO b VALUES ($1, $2, $3, $4, $5)", &["80", "1", "2", "z", "3"]),
        ("INSERT INTO b (a_id) VALUES (1), (2)", &[]),
        ("INSERT INTO c (line) VALUES ($1), ($2)", &["a line", "another"]),
        ("INSERT INTO c (line, k) VALUES ('x', 70000)", &[]),
        ("INSERT INTO c DEFAULT VALUES", &[]),
        ("UPDATE a SET k = k + 100 WHERE id = $1", &["1"]),
        ("UPDATE a SET id = id + 1000", &[]),
        ("UPDATE a SET s = $1, n = DEFAULT", &["same"]),
        ("UPDATE b SET u = $1 WHERE t = $2", &["10", "x"]),
        ("UPDATE b SET t = NULL, k = NULL", &[]),
        ("UPDATE c SET line = line || $1", &["more"]),
        ("UPDATE c SET id = id + 100", &[]),
        ("DELETE FROM a WHERE id = $1", &["3"]),
        ("DELETE FROM b WHERE k = $1", &["1"]),
        ("DELETE FROM c", &[]),
        ("WITH gone AS (DELETE FROM b RETURNING k) INSERT INTO c (k) SELECT k FROM gone", &[]),
        ("SELECT table_name FROM information_schema.tables LIMIT 1", &[]),
    ]);
    (text, values.to_vec())
}

fn case(seed: u64) -> Case {
    let mut chance = Chance::new(seed);
    let (base, rows) = base(&mut chance);
    let (mut steps, mut new_rows) = (String::new(), String::new());
    for _ in 0..=chance.below(2) {
        let (sql, rows) = step(&mut chance);
        let _ = writeln!(steps, "{sql};");
        let _ = writeln!(new_rows, "{rows};");
    }
    let queries = (0..=chance.below(4)).map(|_| query(&mut chance));
    let queries = queries.map(|(text, values)| (text.to_owned(), values)).collect();
    Case { base, rows, step: steps, new_rows, queries }
}

/// The query that fails after the migration and not before it, with PostgreSQL's words; none if the migration does
/// not run on these rows.
pub async fn broken(conn: &mut sqlx::PgConnection, case: &Case) -> Result<Option<String>, sqlx::Error> {
    run(conn, "BEGIN").await?;
    let outcome = inside(conn, case).await;
    run(conn, "ROLLBACK").await?;
    outcome
}

async fn run(conn: &mut sqlx::PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}

async fn inside(conn: &mut sqlx::PgConnection, case: &Case) -> Result<Option<String>, sqlx::Error> {
    run(conn, &case.base).await?;
    run(conn, &case.rows).await?;
    let mut before = Vec::new();
    for query in &case.queries {
        before.push(tried(conn, query).await?);
    }
    run(conn, "SAVEPOINT migration").await?;
    if run(conn, &format!("{}{}", case.step, case.new_rows)).await.is_err() {
        return Ok(None);
    }
    for (query, before) in case.queries.iter().zip(before) {
        if let (None, Some(message)) = (before, tried(conn, query).await?) {
            return Ok(Some(format!("{}: {message}", query.0)));
        }
    }
    Ok(None)
}

/// Executes a query and takes it back; what PostgreSQL said if it failed.
async fn tried(
    conn: &mut sqlx::PgConnection,
    (text, values): &(String, Vec<&'static str>),
) -> Result<Option<String>, sqlx::Error> {
    run(conn, "SAVEPOINT query").await?;
    let list = values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ");
    let list = if list.is_empty() { list } else { format!("({list})") };
    let verb = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    let executed = match sort_of(&verb) {
        Sort::Plannable => format!("DEALLOCATE ALL; PREPARE q AS {text}; EXECUTE q{list}"),
        Sort::NoSchema | Sort::Copy | Sort::Table | Sort::NotPlannable => text.clone(),
    };
    // A session of the newer schema's time has no plans from before it.
    let sql = format!("DISCARD PLANS; {executed}; SET CONSTRAINTS ALL IMMEDIATE");
    let said = run(conn, &sql).await.err().map(|error| error.to_string());
    run(conn, "ROLLBACK TO SAVEPOINT query").await?;
    Ok(said)
}

#[test]
fn no_old_query_fails_where_the_verdict_is_compatible() {
    if !has_postgres() {
        return;
    }
    let cases =
        std::env::var("UNSHIP_PROVE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(CASES);
    let first = std::env::var("UNSHIP_PROVE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let bench = Bench::start();
    let next = AtomicU64::new(first);
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| lane(&bench, &next, first + cases, cases > CASES, &found));
        }
    });
    let Found { counts, wrong, really, passed_over } = found.into_inner().expect("no lane broke down");
    let [compatible, unknown, breaks] = counts;
    println!(
        "{cases} cases: {compatible} compatible, {unknown} unknown, {breaks} breaks ({really} failed when executed), \
         {passed_over} not judged because nothing fails"
    );
    assert!(
        wrong.is_empty(),
        "{} of {compatible} were judged compatible and fail:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    // A judge that calls nothing compatible would pass, and so would one that is never put to the test.
    let judged = cases - passed_over;
    assert!(cases < 100 || compatible * 20 > judged && breaks * 20 > judged, "the cases show nothing");
}

/// Cases that are judged at once.
const LANES: usize = 4;

/// Of the cases in which nothing fails, one in so many is judged in runs that are longer than the ordinary one.
const JUDGED_ONE_IN: u64 = 8;

#[derive(Default)]
struct Found {
    counts: [u64; 3],
    wrong: Vec<String>,
    /// Judged to break, and seen to.
    really: u64,
    passed_over: u64,
}

/// Judges one case after the other until there are no more.
fn lane(bench: &Bench, next: &AtomicU64, end: u64, is_long: bool, found: &Mutex<Found>) {
    let mut conn = bench.connection();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let case = case(seed);
        let texts: Vec<&str> = case.queries.iter().map(|(text, _)| text.as_str()).collect();
        let failed = bench.block_on(broken(&mut conn, &case)).expect("the oracle answers");
        if is_long && failed.is_none() && !seed.is_multiple_of(JUDGED_ONE_IN) {
            found.lock().expect("no lane broke down").passed_over += 1;
            continue;
        }
        let span = bench.verdict(&case.base, &case.step, &texts, None);
        let mut found = found.lock().expect("no lane broke down");
        match (span.verdict, failed) {
            (Verdict::Compatible, Some(failed)) => found.wrong.push(format!(
                "seed {seed}: {failed}\n{}{}\n{}{texts:#?}\n{:#?}",
                case.base, case.step, case.new_rows, span.reasons
            )),
            (Verdict::Breaks, Some(_)) => found.really += 1,
            _ => {}
        }
        found.counts[span.verdict as usize] += 1;
    }
}

/// The oracle itself: it must see a query that fails.
#[test]
fn the_oracle_sees_what_fails() {
    if !has_postgres() {
        return;
    }
    let bench = Bench::start();
    let mut conn = bench.connection();
    let case = |step: &str| Case {
        base: "CREATE TABLE t (a int);".into(),
        rows: "INSERT INTO t VALUES (1);".into(),
        step: format!("{step};"),
        new_rows: String::new(),
        queries: vec![
            ("SELECT a FROM t WHERE a = $1".into(), vec!["1"]),
            ("SELECT nothing".into(), Vec::new()),
        ],
    };
    let fails = bench.block_on(broken(&mut conn, &case("ALTER TABLE t DROP COLUMN a"))).expect("an answer");
    assert!(fails.is_some_and(|said| said.contains("SELECT a FROM t")));
    let passes =
        bench.block_on(broken(&mut conn, &case("ALTER TABLE t ADD COLUMN b int"))).expect("an answer");
    assert_eq!(passes, None);
}
