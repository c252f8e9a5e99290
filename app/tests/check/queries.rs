//! What the older release's queries make of a span, on a real server.

use std::sync::Arc;

use sqlx::ConnectOptions as _;
use unship::database::shadow::postgres::{Binaries, Cluster, PostgresShadow, Server};
use unship::flow::check::{self, OldQueries};
use unship::ports::{AtStart, Shadow as _};
use unship::wire::ShadowLimits;
use unship_core::queries;
use unship_core::verdict::{QueryEvidence, SpanVerdict, Verdict};

use crate::world::{Unseen, has_postgres, plain};

/// One throwaway server for many spans, each in a database of its own.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    server: Arc<Server>,
}

impl Bench {
    pub fn start() -> Bench {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let limits = ShadowLimits::default();
        let binaries = Binaries::find(None).expect("binaries");
        let cluster = runtime.block_on(Cluster::start(binaries, &limits)).expect("a cluster");
        Bench { runtime, server: Arc::new(Server::Throwaway(cluster)) }
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A connection to a database of its own, without the limits of a shadow.
    pub fn connection(&self) -> sqlx::PgConnection {
        self.database().0
    }

    /// The same, and how another program reaches that database.
    pub fn database(&self) -> (sqlx::PgConnection, String) {
        self.runtime.block_on(async {
            let server = Arc::clone(&self.server);
            let mut shadow =
                PostgresShadow::open(server, ShadowLimits::default(), &[]).await.expect("a shadow");
            let url = shadow.lend(&[]).await.expect("a database").url;
            let options: sqlx::postgres::PgConnectOptions = url.parse().expect("an address");
            (options.connect().await.expect("a connection"), url)
        })
    }

    /// The verdict on a span of one migration, with queries each in a file of its own.
    pub fn verdict(&self, base: &str, step: &str, queries: &[&str], role: Option<&str>) -> SpanVerdict {
        let set = plain(&[("base", base, ""), ("step", step, "")]);
        let files: Vec<(String, &str)> = queries
            .iter()
            .enumerate()
            .map(|(place, text)| {
                // sqlx's offline files are JSON.
                let ending = if text.starts_with('{') { "json" } else { "sql" };
                (format!("q{place}.{ending}"), *text)
            })
            .collect();
        let queries = queries::read(files.iter().map(|(path, text)| (path.as_str(), *text))).queries;
        let old = OldQueries { queries, source: "tests".into(), role: role.map(str::to_owned) };
        let plan = check::plan_after(&set, "0001_base", Some(old), AtStart::default()).expect("a plan");
        self.runtime.block_on(async {
            let server = Arc::clone(&self.server);
            let mut shadow =
                PostgresShadow::open(server, ShadowLimits::default(), &[]).await.expect("a shadow");
            let report = check::execute(plan, &mut shadow, &mut Unseen).await.expect("a report");
            Box::new(shadow).close().await.expect("closed");
            report.span_verdict.expect("a span")
        })
    }
}

fn verdict(base: &str, step: &str, queries: &[&str]) -> SpanVerdict {
    Bench::start().verdict(base, step, queries, None)
}

const BASE: &str = "CREATE TABLE users (id bigserial PRIMARY KEY, email text, name varchar(20), age int);
    CREATE UNIQUE INDEX users_email ON users (email);
    CREATE TABLE sums (a int, twice int NOT NULL GENERATED ALWAYS AS (a * 2) STORED);
    CREATE TABLE notes (id int, body text NOT NULL);
    CREATE TYPE place AS (x int, y int);
    CREATE TABLE places (at place);
    CREATE TABLE logs (id bigserial PRIMARY KEY, user_id bigint REFERENCES users, line text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO logs (user_id, line) VALUES (NEW.id, 'new'); RETURN NEW; END $$;
    CREATE TRIGGER note AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION note();";

const READ_NOTE: &str = r#"{"db_name":"PostgreSQL","query":"SELECT body FROM notes","describe":{
    "columns":[{"ordinal":0,"name":"body","type_info":"Text"}],"parameters":{"Left":[]},"nullable":[false]}}"#;
const READ: &str = "SELECT id, email FROM users WHERE id = $1";
const ADD: &str = "INSERT INTO users (email, name) VALUES ($1, $2)";

/// Migration, queries, verdict, a rule that says why.
const CASES: &[(&str, &[&str], Verdict, &str)] = &[
    // A column that no query names may go; one that is named may not.
    ("ALTER TABLE users DROP COLUMN age", &[READ, ADD], Verdict::Compatible, "column-gone"),
    ("ALTER TABLE users DROP COLUMN email", &[READ], Verdict::Breaks, "query-fails"),
    ("ALTER TABLE users DROP COLUMN age", &["SELECT * FROM users"], Verdict::Breaks, "query-columns-changed"),
    // A restriction matters to who writes.
    ("ALTER TABLE users ADD CHECK (age > 0)", &[READ], Verdict::Compatible, "constraint-added"),
    ("ALTER TABLE users ADD CHECK (length(name) > 0)", &[ADD], Verdict::Unknown, "constraint-added"),
    ("ALTER TABLE users ALTER email SET NOT NULL", &[READ], Verdict::Compatible, "not-null-set"),
    ("ALTER TABLE users ALTER email SET NOT NULL", &[ADD], Verdict::Unknown, "not-null-set"),
    (
        "ALTER TABLE users ALTER age SET NOT NULL",
        &["UPDATE users SET name = $1"],
        Verdict::Unknown,
        "not-null-set",
    ),
    // The trigger writes logs whenever a user is added.
    ("ALTER TABLE logs ADD CHECK (length(line) > 9)", &[READ], Verdict::Compatible, "constraint-added"),
    ("ALTER TABLE logs ADD CHECK (length(line) > 9)", &[ADD], Verdict::Unknown, "constraint-added"),
    ("ALTER TABLE logs DROP COLUMN line", &[READ], Verdict::Compatible, "column-gone"),
    ("ALTER TABLE logs DROP COLUMN line", &[ADD], Verdict::Unknown, "column-gone"),
    // Required columns, and what PREPARE does not see.
    (
        "ALTER TABLE logs ADD COLUMN c int NOT NULL",
        &["INSERT INTO logs (line) VALUES ($1)"],
        Verdict::Breaks,
        "required-column",
    ),
    (
        "ALTER TABLE logs ADD COLUMN c int NOT NULL",
        &["SELECT line FROM logs"],
        Verdict::Compatible,
        "required-column",
    ),
    (
        "DROP INDEX users_email",
        &["INSERT INTO users (email) VALUES ($1) ON CONFLICT (email) DO NOTHING"],
        Verdict::Breaks,
        "query-fails",
    ),
    ("DROP INDEX users_email", &[ADD], Verdict::Compatible, "unique-gone"),
    // Types.
    (
        "ALTER TABLE users ALTER age TYPE bigint",
        &["SELECT age FROM users"],
        Verdict::Breaks,
        "query-types-changed",
    ),
    (
        "ALTER TABLE users ALTER age TYPE bigint",
        &["SELECT id FROM users WHERE age > $1"],
        Verdict::Breaks,
        "column-type-changed",
    ),
    ("ALTER TABLE users ALTER age TYPE bigint", &[READ], Verdict::Compatible, "column-type-changed"),
    (
        "ALTER TABLE users ALTER name TYPE text",
        &["SELECT name FROM users"],
        Verdict::Compatible,
        "column-type-changed",
    ),
    // What is computed from a row that is written.
    ("CREATE INDEX ON users ((name::int))", &[ADD], Verdict::Unknown, "computed-from-writes"),
    ("CREATE INDEX ON users ((name::int))", &[READ], Verdict::Compatible, "computed-from-writes"),
    (
        "ALTER TABLE users ADD COLUMN c int GENERATED ALWAYS AS (name::int) STORED",
        &[ADD],
        Verdict::Unknown,
        "computed-from-writes",
    ),
    // A column that filled itself and does not any more.
    (
        "ALTER TABLE sums ALTER twice DROP EXPRESSION",
        &["INSERT INTO sums (a) VALUES ($1)"],
        Verdict::Breaks,
        "default-gone",
    ),
    // NULL where sqlx's file says that the program takes none.
    ("ALTER TABLE notes ALTER body DROP NOT NULL", &[READ_NOTE], Verdict::Unknown, "not-null-dropped"),
    ("ALTER TABLE notes ALTER body DROP NOT NULL", &[READ], Verdict::Compatible, "not-null-dropped"),
    // All columns, and none named.
    (
        "ALTER TABLE users ADD COLUMN c int",
        &["SELECT * FROM users"],
        Verdict::Unknown,
        "query-columns-changed",
    ),
    (
        "ALTER TABLE logs ADD COLUMN c int",
        &["COPY logs FROM STDIN"],
        Verdict::Breaks,
        "insert-without-columns",
    ),
    (
        "ALTER TABLE logs ADD COLUMN c int",
        &["INSERT INTO logs VALUES ($1, $2, $3)"],
        Verdict::Compatible,
        "insert-without-columns",
    ),
    // A name that means two things now.
    (
        "ALTER TABLE logs ADD COLUMN email text",
        &["SELECT email FROM users JOIN logs ON logs.user_id = users.id"],
        Verdict::Breaks,
        "query-fails",
    ),
    // New foreign keys hold on to rows.
    (
        "CREATE TABLE a (u bigint REFERENCES users)",
        &["DELETE FROM users WHERE id = $1"],
        Verdict::Unknown,
        "referenced-by-new-table",
    ),
    (
        "CREATE TABLE a (u bigint REFERENCES users ON DELETE CASCADE)",
        &["DELETE FROM users WHERE id = $1"],
        Verdict::Compatible,
        "",
    ),
    (
        "CREATE TABLE a (u bigint REFERENCES users ON DELETE CASCADE)",
        &["UPDATE users SET id = id + 1000"],
        Verdict::Unknown,
        "referenced-by-new-table",
    ),
    (
        "CREATE TABLE a (u bigint REFERENCES users ON DELETE CASCADE)",
        &["UPDATE users SET name = $1"],
        Verdict::Compatible,
        "referenced-by-new-table",
    ),
    // A default is taken by an UPDATE too.
    (
        "ALTER TABLE users ALTER email SET DEFAULT 'x'",
        &["UPDATE users SET name = $1, email = DEFAULT"],
        Verdict::Unknown,
        "default-changed",
    ),
    (
        "ALTER TABLE users ALTER email SET DEFAULT 'x'",
        &["UPDATE users SET name = $1"],
        Verdict::Compatible,
        "default-changed",
    ),
    // What does not plan even on the older schema proves nothing.
    (
        "ALTER TABLE users DROP COLUMN age",
        &["SELECT age + interval $1 FROM users"],
        Verdict::Unknown,
        "query-unusable",
    ),
    ("ALTER TABLE users DROP COLUMN age", &["SELECT line FROM logz"], Verdict::Compatible, "column-gone"),
    // Rows.
    ("UPDATE users SET name = 'x'", &[READ], Verdict::Unknown, "rows-changed"),
    ("UPDATE users SET name = 'x'", &["SELECT line FROM logs"], Verdict::Compatible, "rows-changed"),
    (
        "ALTER TABLE users ADD COLUMN c int CHECK (c IS NOT NULL)",
        &[ADD],
        Verdict::Unknown,
        "constraint-added",
    ),
    ("ALTER TABLE users ADD COLUMN c int CHECK (c > 0)", &[ADD], Verdict::Compatible, "constraint-added"),
    ("ALTER SEQUENCE users_id_seq MAXVALUE 9", &[ADD], Verdict::Unknown, "sequence-changed"),
    (
        "ALTER SEQUENCE users_id_seq MAXVALUE 9",
        &["SELECT a FROM sums"],
        Verdict::Compatible,
        "sequence-changed",
    ),
    ("ALTER SEQUENCE users_id_seq MAXVALUE 9", &[], Verdict::Unknown, "sequence-changed"),
    ("ALTER SEQUENCE users_id_seq CACHE 9", &[ADD], Verdict::Compatible, ""),
    ("ALTER SEQUENCE users_id_seq RESTART", &[ADD], Verdict::Unknown, "sequence-set"),
    ("ALTER SEQUENCE users_id_seq RESTART", &["SELECT a FROM sums"], Verdict::Compatible, "sequence-set"),
    ("SELECT setval('users_id_seq', 1)", &[ADD], Verdict::Unknown, "sequence-set"),
    ("DO $$ BEGIN PERFORM setval('users_id_seq', 1); END $$", &[ADD], Verdict::Unknown, "sequence-set"),
    ("CREATE SEQUENCE mine; ALTER SEQUENCE mine RESTART WITH 9", &[ADD], Verdict::Compatible, ""),
    (
        "ALTER TYPE place ADD ATTRIBUTE z int",
        &["INSERT INTO places VALUES (ROW(1, 2))"],
        Verdict::Breaks,
        "query-fails",
    ),
    (
        "ALTER TYPE place ADD ATTRIBUTE z int",
        &["SELECT at FROM places"],
        Verdict::Unknown,
        "composite-changed",
    ),
    ("ALTER TYPE place ADD ATTRIBUTE z int", &[READ], Verdict::Compatible, "composite-changed"),
    ("ALTER TABLE users ADD COLUMN c text DEFAULT '' UNIQUE", &[ADD], Verdict::Unknown, "constraint-added"),
];

#[test]
fn queries_settle_what_the_schema_leaves_open() {
    if !has_postgres() {
        return;
    }
    let bench = Bench::start();
    for (step, queries, expected, rule) in CASES {
        let span = bench.verdict(BASE, step, queries, None);
        assert_eq!(span.verdict, *expected, "{step} with {queries:?}: {span:#?}");
        let said = rule.is_empty() || span.reasons.iter().any(|reason| reason.rule == *rule);
        assert!(said, "{step} with {queries:?} does not say {rule}: {:#?}", span.reasons);
        assert_eq!(span.settles.is_empty(), span.verdict != Verdict::Unknown, "{step}");
    }
}

#[test]
fn queries_are_planned_with_the_rights_of_the_application() {
    if !has_postgres() {
        return;
    }
    let base = "CREATE TABLE t (id int, secret text); CREATE ROLE unship_test_app; GRANT SELECT, INSERT ON t TO unship_test_app;";
    let step = "REVOKE INSERT ON t FROM unship_test_app";
    let role = Some("unship_test_app");
    let insert = "INSERT INTO t (id) VALUES ($1)";
    let bench = Bench::start();
    let broken = bench.verdict(base, step, &[insert], role);
    assert_eq!(broken.verdict, Verdict::Breaks, "{broken:#?}");
    let base = "CREATE TABLE t (id int, secret text); GRANT SELECT, INSERT ON t TO unship_test_app;";
    let fine = bench.verdict(base, step, &["SELECT id FROM t"], role);
    assert_eq!(fine.verdict, Verdict::Compatible, "{fine:#?}");
    let not_known = bench.verdict(base, step, &[insert], None);
    assert_eq!(not_known.verdict, Verdict::Unknown, "{not_known:#?}");
}

#[test]
fn without_queries_it_says_how_to_give_them() {
    if !has_postgres() {
        return;
    }
    let span = verdict(BASE, "ALTER TABLE users ALTER email SET NOT NULL", &[]);
    assert_eq!(span.verdict, Verdict::Unknown);
    assert!(matches!(&span.queries, QueryEvidence::No { how } if how.contains("--queries")), "{span:#?}");
}

#[test]
fn what_a_later_migration_takes_back_is_no_difference() {
    if !has_postgres() {
        return;
    }
    let step = "CREATE TABLE new (id int); ALTER TABLE new ADD COLUMN c int NOT NULL; \
        ALTER TABLE users DROP COLUMN age; ALTER TABLE users ADD COLUMN age int;";
    let span = verdict(BASE, step, &["SELECT age FROM users", "INSERT INTO logs (line) VALUES ($1)"]);
    assert_eq!(span.verdict, Verdict::Compatible, "{span:#?}");
}

#[test]
fn locks_and_rewrites_are_seen() {
    if !has_postgres() {
        return;
    }
    let step = "ALTER TABLE users ALTER age TYPE bigint; ALTER TABLE logs ADD COLUMN c int;";
    let locks = verdict(BASE, step, &[]).locks;
    let said: Vec<(&str, &str, bool)> =
        locks.iter().map(|lock| (lock.table.as_str(), lock.mode.as_str(), lock.rewrites)).collect();
    assert_eq!(said, [("logs", "ACCESS EXCLUSIVE", false), ("users", "ACCESS EXCLUSIVE", true)]);
}

/// To see its locks a statement is held open in a transaction, which some do not go in.
#[test]
fn what_goes_in_no_transaction_is_run_without_one() {
    if !has_postgres() {
        return;
    }
    let step = "CREATE INDEX CONCURRENTLY users_age ON users (age);\nALTER TABLE logs ADD COLUMN c int;";
    let span = verdict(BASE, step, &[READ]);
    assert_eq!(span.overall(), Verdict::Compatible, "{:?}", span.reasons);
    assert_eq!(span.locks.iter().map(|lock| lock.table.as_str()).collect::<Vec<_>>(), ["logs"]);
}
