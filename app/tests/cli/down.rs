//! Option 3 and option 2 through the program, on a real PostgreSQL: a release whose migrations the release before cannot
//! run on is taken back, nothing that somebody wrote is lost, and a hotfix on top of it brings everything back.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use unship::database::shadow::postgres::{Binaries, Cluster, PostgresShadow, Server};
use unship::ports::Shadow as _;
use unship::wire::ShadowLimits;

use super::site::{Site, settings};

/// Applies what a version of the service has and the database has not, as sqlx does.
const UP: &str = r#"#!/usr/bin/env python3
import hashlib, pathlib, subprocess, sys
version = subprocess.run([sys.argv[1], "version"], capture_output=True, text=True, check=True).stdout.strip()
url = sys.argv[2] if len(sys.argv) > 2 else __import__("os").environ["DATABASE_URL"]
def psql(sql):
    words = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", url]
    ran = subprocess.run(words, input=sql, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(ran.stderr)
    return ran.stdout
psql("SET client_min_messages = error; CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, "
     "description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, "
     "checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)")
done = psql("SELECT version FROM _sqlx_migrations").split()
files = subprocess.run(["git", "-C", str(pathlib.Path(__file__).parent / "tinyd"), "ls-tree", "--name-only",
                        version, "migrations/"], capture_output=True, text=True, check=True).stdout.split()
for path in sorted(files):
    number = path.split("/")[1].split("_")[0].lstrip("0")
    if not path.endswith(".up.sql") or number in done:
        continue
    sql = subprocess.run(["git", "-C", str(pathlib.Path(__file__).parent / "tinyd"), "show", f"{version}:{path}"],
                         capture_output=True, check=True).stdout
    digest = hashlib.sha384(sql).hexdigest()
    psql(f"BEGIN; {sql.decode()}; INSERT INTO _sqlx_migrations (version, description, success, checksum, "
         f"execution_time) VALUES ({number}, 'x', TRUE, '\\x{digest}', 0); COMMIT;")
"#;

const ISSUES: (&str, &str, &str) = (
    "0001_issues",
    "CREATE TABLE issues (id bigint PRIMARY KEY, title text NOT NULL, state text NOT NULL DEFAULT 'open');",
    "DROP TABLE issues;",
);
const STATUS: (&str, &str, &str) = (
    "0002_status",
    "ALTER TABLE issues ADD COLUMN status text NOT NULL DEFAULT 'open';
     UPDATE issues SET status = 'done' WHERE state = 'closed';
     ALTER TABLE issues DROP COLUMN state;",
    "ALTER TABLE issues ADD COLUMN state text NOT NULL DEFAULT 'open';
     UPDATE issues SET state = 'closed' WHERE status <> 'open';
     ALTER TABLE issues DROP COLUMN status;",
);
const NOTES: (&str, &str, &str) = (
    "0003_notes",
    "CREATE TABLE notes (issue bigint PRIMARY KEY REFERENCES issues, note text NOT NULL);",
    "DROP TABLE notes;",
);

struct Service {
    site: Site,
    url: String,
    runtime: tokio::runtime::Runtime,
    _shadow: PostgresShadow,
}

impl Service {
    /// Three releases: 2.0.0, 2.1.0 with migrations that 2.0.0 cannot run on, and 2.1.1, a hotfix of that.
    fn new() -> Service {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (shadow, url) = runtime.block_on(async {
            let limits = ShadowLimits::default();
            let cluster = Cluster::start(Binaries::find(None).expect("binaries"), &limits).await;
            let server = Arc::new(Server::Throwaway(cluster.expect("a cluster")));
            let mut shadow = PostgresShadow::open(server, limits, &[]).await.expect("a database");
            let url = shadow.lend(&[]).await.expect("an address").url;
            (shadow, url)
        });
        let site = Site::with("");
        fs_err::write(site.path("database-url"), &url).expect("writes");
        fs_err::write(site.path("up.py"), UP).expect("writes");
        let text = fs_err::read_to_string(site.config()).expect("reads");
        let more = format!(
            "[database]\nurl_file = \"{}\"\n[migrations]\nfolder = \"migrations\"\ntool = \"sqlx\"\n\
             boot = \"runs-none\"\nup = [\"python3\", \"{}\", \"{{executable}}\"]\n[queries]\npaths = [\"queries\"]\n",
            site.path("database-url").display(),
            site.path("up.py").display()
        );
        let text = text
            .replace("stateless = true\n", "")
            .replace("[environment.test]", &format!("{more}[environment.test]"));
        fs_err::write(site.config(), text).expect("writes");
        let service = Service { site, url, runtime, _shadow: shadow };
        service.release("2.0.0", &[ISSUES], "SELECT id, title, state FROM issues");
        service.release("2.1.0", &[ISSUES, STATUS, NOTES], "SELECT id, title, status FROM issues");
        service.release("2.1.1", &[ISSUES, STATUS, NOTES], "SELECT id, title, status FROM issues");
        service
    }

    fn release(&self, tag: &str, migrations: &[(&str, &str, &str)], query: &str) {
        let folder = self.site.path("tinyd");
        let write = |path: &str, text: &str| {
            let path = folder.join(path);
            fs_err::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
            fs_err::write(path, text).expect("writes");
        };
        for (name, up, down) in migrations {
            write(&format!("migrations/{name}.up.sql"), up);
            write(&format!("migrations/{name}.down.sql"), down);
        }
        write("queries/issues.sql", query);
        let define = format!(
            "#define VERSION \"{tag}\"\n#define ANSWERS 0\n#define ABORTS_AFTER_MS 0\n#define READY_AFTER_MS 0\n\
             #define DRAINS 1\n#define FLAGGED 0\n"
        );
        write("release.h", &define);
        for words in [
            &["add", "release.h", "migrations", "queries"][..],
            &["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", tag],
            &["tag", tag],
        ] {
            let made = Command::new("git").arg("-C").arg(&folder).args(words).status().expect("git runs");
            assert!(made.success(), "git {words:?}");
        }
    }

    fn sql(&self, sql: &'static str) {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("it runs");
        });
    }

    fn rows(&self, sql: &'static str) -> Vec<String> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("it answers")
        })
    }

    /// The digests that the refusal names.
    fn digests(&self, words: &[&str]) -> Vec<String> {
        let refused = self.site.unship(words);
        assert_eq!(refused.status, 3, "{}{}", refused.stdout, refused.stderr);
        let words: Vec<&str> = refused.stderr.split([' ', '`', '\n']).collect();
        let pairs = words.windows(2).filter(|pair| pair[0] == "--accept-loss");
        pairs.map(|pair| pair[1].to_owned()).collect()
    }
}

fn has_postgres() -> bool {
    match Binaries::find(None) {
        Ok(_) => true,
        Err(error) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
            println!("SKIPPED: {error}");
            false
        }
    }
}

const ROLLBACK: [&str; 6] = ["rollback", "--mode", "data-corruption", "--hotfix-eta", "none", "--yes"];

#[test]
fn a_release_that_broke_the_schema_is_taken_back_and_comes_again_as_a_hotfix_with_everything() {
    if !has_postgres() {
        return;
    }
    let service = Service::new();
    let site = &service.site;
    let first = site.unship(&["deploy", "2.0.0"]);
    assert_eq!(first.status, 0, "{}", first.stderr);
    service.sql("INSERT INTO issues VALUES (1, 'before', 'closed'), (2, 'before, open', 'open')");
    let deployed = site.unship(&["deploy", "2.1.0"]);
    assert_eq!(deployed.status, 0, "{}", deployed.stderr);
    service.sql(
        "INSERT INTO issues VALUES (3, 'between', 'duplicate');
         UPDATE issues SET status = 'declined' WHERE id = 2;
         INSERT INTO notes VALUES (3, 'see 1'), (1, 'ask')",
    );
    settings().bind(|| {
        insta::assert_snapshot!("down_refused", site.says(&ROLLBACK));
    });
    let digests = service.digests(&ROLLBACK);
    assert_eq!(digests.len(), 2, "a digest a migration");
    let mut accepting = ROLLBACK.to_vec();
    for digest in &digests {
        accepting.extend(["--accept-loss", digest.as_str()]);
    }
    settings().bind(|| {
        insta::assert_snapshot!("down_done", site.says(&accepting));
    });
    assert_eq!(site.serves().as_deref(), Some("2.0.0"));
    let now = service.rows("SELECT id || ' ' || title || ' ' || state FROM issues ORDER BY id");
    assert_eq!(now, ["1 before closed", "2 before, open closed", "3 between closed"]);
    // The old release goes on: one row is new, one that was there is changed.
    service
        .sql("INSERT INTO issues VALUES (4, 'after', 'open'); UPDATE issues SET state = 'open' WHERE id = 2");
    let fenced = site.unship(&["deploy", "2.1.1"]);
    assert_eq!(fenced.status, 3, "{}", fenced.stderr);
    assert!(fenced.stderr.contains("unship hotfix ship"), "{}", fenced.stderr);
    settings().bind(|| {
        insta::assert_snapshot!("hotfix_start", site.says(&["hotfix", "start", "--on", "2.1.0"]));
        insta::assert_snapshot!("hotfix_ship", site.says(&["hotfix", "ship", "2.1.1", "--on", "2.1.0"]));
    });
    assert_eq!(site.serves().as_deref(), Some("2.1.1"));
    settings().bind(|| {
        insta::assert_snapshot!("migrate_status", site.says(&["migrate", "status"]));
    });
    let log = site.unship(&["log", "--json"]).stdout;
    let log: serde_json::Value = serde_json::from_str(&log).expect("JSON");
    let runs = log.as_array().or(log["runs"].as_array()).expect("runs");
    let run = runs.iter().find(|run| run.to_string().contains("rollback")).expect("the rollback");
    let run = run["run"].as_str().expect("its name").to_owned();
    settings().bind(|| {
        insta::assert_snapshot!("salvage_list", site.says(&["salvage", "list"]));
        insta::assert_snapshot!("restore", site.says(&["migrate", "restore", &run]));
        insta::assert_snapshot!("restore_again", site.says(&["migrate", "restore", &run]));
    });
    let issues = service.rows("SELECT id || ' ' || title || ' ' || status FROM issues ORDER BY id");
    // The row that 2.0.0 opened again meanwhile is what 2.0.0 made of it, and was named.
    assert_eq!(issues, ["1 before done", "2 before, open open", "3 between duplicate", "4 after open"]);
    let notes = service.rows("SELECT issue || ' ' || note FROM notes ORDER BY issue");
    assert_eq!(notes, ["1 ask", "3 see 1"]);
}

#[test]
fn half_way_down_it_can_be_taken_all_the_way_back() {
    if !has_postgres() {
        return;
    }
    let service = Service::new();
    let site = &service.site;
    for tag in ["2.0.0", "2.1.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    service.sql("INSERT INTO issues VALUES (1, 'a', 'duplicate'); INSERT INTO notes VALUES (1, 'see 2')");
    let mut accepting = ROLLBACK.to_vec();
    let digests = service.digests(&ROLLBACK);
    for digest in &digests {
        accepting.extend(["--accept-loss", digest.as_str()]);
    }
    // The second step down finds the table in use for longer than it waits.
    service.sql(
        "CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$; \
         DROP FUNCTION public.no()",
    );
    let holding = service.runtime.block_on(async {
        let mut connection = PgConnection::connect(&service.url).await.expect("a connection");
        sqlx::raw_sql("BEGIN; LOCK TABLE issues IN ACCESS SHARE MODE")
            .execute(&mut connection)
            .await
            .expect("locked");
        connection
    });
    let halted = site.unship(&accepting);
    assert_eq!(halted.status, 4, "{}{}", halted.stdout, halted.stderr);
    assert!(halted.stderr.contains("unship resume --back"), "{}", halted.stderr);
    drop(holding);
    let back = site.unship(&["resume", "--back"]);
    assert_eq!(back.status, 1, "{}{}", back.stdout, back.stderr);
    assert_eq!(site.serves().as_deref(), Some("2.1.0"));
    assert_eq!(service.rows("SELECT status FROM issues"), ["duplicate"]);
    assert_eq!(service.rows("SELECT note FROM notes"), ["see 2"]);
    let status = site.unship(&["quarantine", "check", "2.1.0"]).status;
    assert_eq!(status, 0, "it serves, and is not bad");
}

#[test]
fn whoever_will_not_wait_for_a_hotfix_has_not_accepted_a_broken_schema_and_can_step_down() {
    if !has_postgres() {
        return;
    }
    let service = Service::new();
    let site = &service.site;
    for tag in ["2.0.0", "2.1.0"] {
        assert_eq!(site.unship(&["deploy", tag]).status, 0, "{tag}");
    }
    service.sql("INSERT INTO issues VALUES (1, 'a', 'duplicate'); INSERT INTO notes VALUES (1, 'see 2')");
    // A rehearsal took longer than the hotfix will.
    let state = site.path("state/unship/tinyd");
    fs_err::create_dir_all(&state).expect("makes");
    fs_err::write(state.join("rehearsal.json"), r#"{"took_ms": 60000}"#).expect("writes");
    let back = ["rollback", "--mode", "degraded", "--hotfix-eta", "1s", "--yes"];
    let forward = site.unship(&back);
    assert_eq!(forward.status, 3, "{}", forward.stderr);
    assert!(forward.stderr.contains("ship the hotfix"), "{}", forward.stderr);
    let overruled = [back.as_slice(), &["--override", "nobody is there to write it"]].concat();
    let refused = site.unship(&overruled);
    assert_eq!(refused.status, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot run on the schema"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--step-down"), "{}", refused.stderr);
    assert_eq!(site.serves().as_deref(), Some("2.1.0"), "nothing was changed");
    let mut down = [back.as_slice(), &["--step-down"]].concat();
    let digests = service.digests(&down);
    assert_eq!(digests.len(), 2, "a digest a migration");
    for digest in &digests {
        down.extend(["--accept-loss", digest.as_str()]);
    }
    let went = site.unship(&down);
    assert_eq!(went.status, 0, "{}", went.stderr);
    assert!(went.stderr.contains("stepping down all the same"), "{}", went.stderr);
    assert_eq!(site.serves().as_deref(), Some("2.0.0"));
    assert_eq!(service.rows("SELECT state FROM issues"), ["closed"]);
}
