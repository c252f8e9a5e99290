//! Migrations on SQLite, run for real in the killable process of the built binary.

use std::time::{Duration, Instant};

use unship::database::shadow::Limits;
use unship::database::shadow::sqlite::{Launch, SqliteShadow};
use unship::ports::Shadow as _;
use unship_core::schema::diff;
use unship_core::tools::{Migration, MigrationFile, Tool, about, read};
use unship_core::verdict::{StepRun, UpClass, up_class};

fn shadow(step_ms_max: u64) -> SqliteShadow {
    let launch =
        Launch { program: env!("CARGO_BIN_EXE_unship").into(), arguments: vec!["sqlite-shadow".to_owned()] };
    let table = about(Tool::Sqlx).table.expect("sqlx has one").name.to_owned();
    SqliteShadow::open(launch, Limits { step_ms_max, ..Limits::default() }, vec![table])
}

fn migrations(tool: Tool, steps: &[(&str, &str)]) -> Vec<Migration> {
    let mut files = Vec::new();
    for (number, (up, down)) in (1..).zip(steps) {
        files.push(MigrationFile { path: format!("{number:04}_s.up.sql"), bytes: up.as_bytes().to_vec() });
        files
            .push(MigrationFile { path: format!("{number:04}_s.down.sql"), bytes: down.as_bytes().to_vec() });
    }
    read(tool, files).expect("right").migrations
}

async fn run(tool: Tool, step_ms_max: u64, steps: &[(&str, &str)]) -> Vec<StepRun> {
    let mut shadow = shadow(step_ms_max);
    let mut runs = Vec::new();
    for migration in migrations(tool, steps) {
        runs.push(shadow.step(&migration).await.expect("the shadow works"));
    }
    runs
}

fn up(run: &StepRun) -> UpClass {
    let after = run.up.as_ref().expect("the up runs");
    up_class(&run.before, &diff(&run.before, after))
}

fn error(run: &StepRun) -> String {
    let failure = run.up.as_ref().expect_err("the up does not run");
    format!("{}:{} {}", failure.path, failure.line.unwrap_or(0), failure.message)
}

/// What is different after the down, in words.
fn not_undone(run: &StepRun) -> Vec<String> {
    let down = run.down.as_ref().expect("there is a down").outcome.as_ref().expect("the down runs");
    diff(&run.before, down).iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn ups_have_their_class_and_downs_are_compared() {
    let runs = run(
        Tool::Sqlx,
        10_000,
        &[
            ("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'x', CHECK (a <> ''));", "DROP TABLE t;"),
            ("ALTER TABLE t ADD COLUMN b INTEGER REFERENCES t(id);", "ALTER TABLE t DROP COLUMN b;"),
            ("CREATE UNIQUE INDEX i ON t (a) WHERE a > 'm';", "DROP INDEX i;"),
            ("CREATE VIEW v AS SELECT a FROM t;", "DROP VIEW v;"),
            (
                "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = 'y'; SELECT CASE WHEN 1 THEN 2 END; END;\n\
                 CREATE TABLE log (x);",
                "DROP TABLE log;",
            ),
            ("DROP VIEW v;", "CREATE VIEW v AS SELECT a FROM t;"),
            ("INSERT INTO t (id) VALUES (1);", "DELETE FROM t;"),
        ],
    )
    .await;
    let classes: Vec<UpClass> = runs.iter().map(up).collect();
    assert_eq!(
        classes,
        [
            UpClass::Additive,
            UpClass::Restricting,
            UpClass::Restricting,
            UpClass::Additive,
            UpClass::Behavioural,
            UpClass::Breaking,
            UpClass::None,
        ]
    );
    let undone: Vec<usize> = runs.iter().map(|run| not_undone(run).len()).collect();
    assert_eq!(undone, [0, 0, 0, 0, 1, 0, 0], "{:?}", not_undone(&runs[4]));
    for run in &runs[..4] {
        let again = run.down.as_ref().and_then(|down| down.again.as_ref()).expect("run again");
        let again = again.as_ref().expect("the up runs again");
        assert!(diff(run.up.as_ref().expect("ran"), again).is_empty());
    }
    assert!(runs[4].down.as_ref().and_then(|down| down.again.as_ref()).expect("run again").is_err());
}

#[tokio::test]
async fn the_catalog_sees_what_a_rebuild_changes() {
    let runs = run(
        Tool::Sqlx,
        10_000,
        &[
            ("CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE, g INT AS (id * 2) STORED, UNIQUE (n));", ""),
            (
                "PRAGMA foreign_keys = OFF;\nCREATE TABLE q (id INTEGER PRIMARY KEY, n TEXT NOT NULL, g INT AS (id * 3) STORED);\n\
                 INSERT INTO q (id, n) SELECT id, n FROM p;\nDROP TABLE p;\nALTER TABLE q RENAME TO p;",
                "",
            ),
        ],
    )
    .await;
    let run = &runs[1];
    let changes: Vec<String> =
        diff(&run.before, run.up.as_ref().expect("runs")).iter().map(ToString::to_string).collect();
    let all = changes.join("\n");
    for word in ["NOT NULL", "collation", "generated", "removes constraint"] {
        assert!(all.contains(word), "{word} in {all}");
    }
    assert!(
        run.remarks.iter().any(|remark| remark.contains("does nothing inside the transaction")),
        "{:?}",
        run.remarks
    );
}

#[tokio::test]
async fn errors_name_file_and_line_and_leave_nothing_behind() {
    let runs = run(
        Tool::Sqlx,
        10_000,
        &[("CREATE TABLE t (a);\nCREATE TABLE u (b);\nCREATE TABLE t (a);", ""), ("CREATE TABLE t (a);", "")],
    )
    .await;
    assert_eq!(error(&runs[0]), "0001_s.up.sql:3 table t already exists");
    assert!(runs[1].before.is_empty());
    assert_eq!(up(&runs[1]), UpClass::Additive);
}

#[tokio::test]
async fn nothing_leaves_the_shadow() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("escaped.db");
    let path = file.display();
    let attach = format!("ATTACH DATABASE '{path}' AS x; CREATE TABLE x.t (a);");
    let marked = format!("SELECT 1;\u{feff}/* */ attach '{path}' AS x;");
    let vacuum = format!("CREATE TABLE t (a); VACUUM INTO '{path}';");
    let steps: Vec<(&str, &str)> = [
        attach.as_str(),
        marked.as_str(),
        vacuum.as_str(),
        "SELECT load_extension('x');",
        "SELECT \"load_extension\"('x');",
        "PRAGMA temp_store_directory = '/tmp';",
        "PRAGMA main.writable_schema = 1;",
        "PRAGMA max_page_count = 1000000000;",
        "EXPLAIN ATTACH 'x' AS y;",
    ]
    .map(|up| (up, ""))
    .to_vec();
    for run in run(Tool::Sqlx, 10_000, &steps).await {
        assert!(error(&run).contains("not run: "), "{}", error(&run));
    }
    assert!(!file.exists());
}

#[tokio::test]
async fn what_hangs_or_floods_is_stopped_and_the_next_step_goes_on() {
    let forever = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c;";
    // One function call that looks at no clock: only ending the process stops it.
    let stubborn = "SELECT instr(zeroblob(200000000), zeroblob(100000000) || x'01');";
    let flood = "CREATE TABLE f AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 100000) \
                 SELECT zeroblob(100000) FROM c;";
    let started = Instant::now();
    let runs = run(
        Tool::Sqlx,
        3_000,
        &[
            ("CREATE TABLE a (x);", "DROP TABLE a;"),
            (forever, ""),
            (stubborn, ""),
            (flood, ""),
            ("CREATE TABLE b (x);", forever),
            ("CREATE TABLE c (x);", "DROP TABLE c;"),
        ],
    )
    .await;
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    assert!(error(&runs[1]).contains("stopped: not done after 3000 ms"), "{}", error(&runs[1]));
    assert!(error(&runs[2]).contains("stopped: "), "{}", error(&runs[2]));
    assert!(error(&runs[3]).contains("full") || error(&runs[3]).contains("stopped"), "{}", error(&runs[3]));
    let down = runs[4].down.as_ref().expect("a down").outcome.as_ref().expect_err("it hangs");
    assert!(down.message.contains("stopped"), "{}", down.message);
    assert!(not_undone(&runs[5]).is_empty());
    assert!(
        runs[5].before.has_table(&unship_core::schema::Name::global("a")),
        "what was kept is still there"
    );
}

#[tokio::test]
async fn a_tools_own_way_is_kept() {
    // golang-migrate wraps on SQLite, so its script cannot open a transaction of its own.
    let runs = run(Tool::GolangMigrate, 10_000, &[("BEGIN; CREATE TABLE t (a); COMMIT;", "")]).await;
    assert!(error(&runs[0]).contains("cannot start a transaction"), "{}", error(&runs[0]));
    // Foreign keys are on under sqlx and off under golang-migrate.
    let steps = [(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p(id)); INSERT INTO c VALUES (7);",
        "",
    )];
    let strict = run(Tool::Sqlx, 10_000, &steps).await;
    assert!(error(&strict[0]).contains("FOREIGN KEY"), "{}", error(&strict[0]));
    let loose = run(Tool::GolangMigrate, 10_000, &steps).await;
    assert!(loose[0].remarks.iter().any(|remark| remark.contains("point nowhere")), "{:?}", loose[0].remarks);
}

#[tokio::test]
async fn several_downs_together() {
    let steps = [("CREATE TABLE a (x);", "DROP TABLE a;"), ("CREATE TABLE b (x);", "DROP TABLE b;")];
    let all = migrations(Tool::Sqlx, &steps);
    let mut shadow = shadow(10_000);
    for migration in &all {
        shadow.step(migration).await.expect("works");
    }
    let both = shadow.undo_together(&[&all[1], &all[0]]).await.expect("works").expect("both run");
    assert!(both.is_empty());
    assert_eq!(shadow.undo_together(&[&all[0], &all[0]]).await.expect("works").map(|c| c.len()), None);
}
