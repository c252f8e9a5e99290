//! What `check` finds out beside the migrations: the live database, and whether the older release starts.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::queries::Bench;
use crate::world::{commit, has_postgres, said, unship, write};

const USERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, age int, name text);
    CREATE TABLE logs (line text);";

fn run(bench: &Bench, conn: &mut sqlx::PgConnection, sql: &'static str) {
    bench.block_on(async { sqlx::raw_sql(sql).execute(conn).await.map(drop) }).expect("it runs");
}

/// A folder with two migrations, and a live database that has the first, with a file that holds its URL.
fn live(bench: &Bench) -> (tempfile::TempDir, sqlx::PgConnection) {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("m/1_users.up.sql", USERS),
            ("m/2_wide.up.sql", "ALTER TABLE users ALTER age TYPE bigint, ADD COLUMN bio text;"),
        ],
    );
    let (mut conn, url) = bench.database();
    std::fs::write(folder.path().join("url"), url).expect("a file");
    run(bench, &mut conn, USERS);
    (folder, conn)
}

fn checked(folder: &Path, tool: &str) -> (Option<i32>, String) {
    let check = ["check", "--after", "1_users", "--migrations", "m", "--tool", tool, "--live", "url"];
    let output = unship(folder, &check);
    (output.status.code(), said(&output))
}

#[test]
fn a_live_database_that_was_changed_by_hand_is_named() {
    if !has_postgres() {
        return;
    }
    let bench = Bench::start();
    let (folder, mut conn) = live(&bench);
    let (_, said) = checked(folder.path(), "plain");
    assert!(!said.contains("live database"), "{said}");
    // The size of the live table is what writing it anew costs.
    let rewrite = "2_wide takes ACCESS EXCLUSIVE on users (";
    assert!(said.contains(rewrite) && said.contains("and writes it anew: about 1 s"), "{said}");
    run(
        &bench,
        &mut conn,
        "ALTER TABLE users ALTER name TYPE varchar(9); CREATE INDEX by_hand ON logs (line)",
    );
    let (_, said) = checked(folder.path(), "plain");
    assert!(
        said.contains("type of column users.name is not as the migrations leave it [live-drift]"),
        "{said}"
    );
    assert!(
        said.contains("elsewhere, index logs.by_hand is in the live database and in no migration"),
        "{said}"
    );
}

#[test]
fn a_tool_whose_last_run_broke_off_refuses_to_start() {
    if !has_postgres() {
        return;
    }
    let bench = Bench::start();
    let (folder, mut conn) = live(&bench);
    run(
        &bench,
        &mut conn,
        "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
        INSERT INTO schema_migrations VALUES (2, true)",
    );
    let (status, said) = checked(folder.path(), "golang-migrate");
    assert!(said.contains("the tool's last run broke off at version 2"), "{said}");
    assert_eq!(status, Some(10), "the column's type changed, too: {said}");
}

/// Ends with its scope.
struct Runner(Child);

impl Drop for Runner {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Releases of a program that is a shell script: the first does not start on what the second brings, the one before the
/// last starts nowhere.
fn releases(folder: &Path) {
    let settings = format!(
        r#"[service]
name = "starts"
[build]
command = ["sh", "build.sh"]
artifact = "out"
[[unit]]
name = "web"
command = ["bin/app"]
notify = false
[migrations]
folder = "migrations"
tool = "golang-migrate"
up = ["{{executable}}", "migrate"]
[environment.test]
hosts = ["local"]
root = "{0}/root"
runtime = "{0}/run"
ledger = "{0}/ledger"
"#,
        folder.display()
    );
    // It asks the database, as a real one does.
    let refuses = "#!/bin/sh\n[ \"$1\" = migrate ] || exec sleep 600\n\
                   newer=$(psql -qAtX \"$DATABASE_URL\" -c \"SELECT count(*) FROM pg_class WHERE relname = 'b'\") || exit 1\n\
                   [ \"$newer\" = 0 ] || { echo 'no migration found for version 2' >&2; exit 1; }\n";
    write(
        folder,
        &[
            ("unship.toml", &settings),
            ("build.sh", "mkdir -p out/bin && cp app out/bin/app && chmod +x out/bin/app\n"),
            ("app", refuses),
            ("migrations/1_a.up.sql", "CREATE TABLE a (id int);"),
        ],
    );
    commit(folder, "v1.0.0");
    write(folder, &[("app", "#!/bin/sh\nexit 0\n"), ("migrations/2_b.up.sql", "CREATE TABLE b (id int);")]);
    commit(folder, "v1.1.0");
    write(folder, &[("migrations/3_c.up.sql", "CREATE TABLE c (id int);")]);
    commit(folder, "v1.2.0");
    write(folder, &[("app", "#!/bin/sh\necho 'no configuration' >&2\nexit 1\n")]);
    commit(folder, "v1.3.0");
    write(folder, &[("migrations/4_d.up.sql", "CREATE TABLE d (id int);")]);
    commit(folder, "v1.4.0");
}

#[test]
fn the_older_release_is_started_where_its_artifact_is_at_hand() {
    if !has_postgres() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    releases(folder.path());
    let checked = |span: &str| {
        let output = unship(folder.path(), &["check", span]);
        (output.status.code(), said(&output))
    };
    let (status, by_rule) = checked("v1.0.0..v1.1.0");
    assert!(by_rule.contains("refuses (by rule)") && by_rule.contains("settles"), "{by_rule}");
    assert_eq!(status, Some(11), "a rule alone proves nothing: {by_rule}");
    let runner = Command::new(env!("CARGO_BIN_EXE_unship"))
        .arg("supervise")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _runner = Runner(runner.expect("the child runner"));
    let started = std::time::Instant::now();
    while !folder.path().join("run/supervise.sock").exists() {
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "the child runner does not answer");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for tag in ["v1.0.0", "v1.1.0", "v1.3.0"] {
        let built = unship(folder.path(), &["deploy", tag, "--dry-run"]);
        assert!(built.status.success(), "{}", said(&built));
    }
    let (status, proved) = checked("v1.0.0..v1.1.0");
    assert!(
        proved.contains("refuses (proved)") && proved.contains("no migration found for version 2"),
        "{proved}"
    );
    assert_eq!(status, Some(10), "{proved}");
    let (status, proved) = checked("v1.1.0..v1.2.0");
    assert!(proved.contains("starts (proved)"), "{proved}");
    assert_eq!(status, Some(0), "{proved}");
    // What starts nowhere here shows nothing.
    let (status, tried) = checked("v1.3.0..v1.4.0");
    assert!(tried.contains("refuses (by rule)") && tried.contains("no configuration"), "{tried}");
    assert_eq!(status, Some(11), "{tried}");
}
