//! A database, folders of migrations in the way of each tool, and the programs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use unship::database::shadow::postgres::{Binaries, Cluster, PostgresShadow, Server};
use unship::ports::Shadow as _;
use unship::wire::ShadowLimits;
use unship_core::tools::Tool;

/// A migration: its number, its name, what it does and, perhaps, how that is taken back.
pub type Step = (u32, &'static str, &'static str, Option<&'static str>);

pub const ISSUES: Step = (
    1,
    "issues",
    "CREATE TABLE issues (id bigint PRIMARY KEY, title text NOT NULL);",
    Some("DROP TABLE issues;"),
);
pub const NOTE: Step =
    (2, "note", "ALTER TABLE issues ADD COLUMN note text;", Some("ALTER TABLE issues DROP COLUMN note;"));
pub const LABELS: Step = (
    3,
    "labels",
    "CREATE TABLE labels (id bigint PRIMARY KEY, name text NOT NULL);",
    Some("DROP TABLE labels;"),
);
pub const ALL: [Step; 3] = [ISSUES, NOTE, LABELS];

/// What a program said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> Said {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Where a database is.
#[allow(clippy::large_enum_variant, reason = "there is one a test")]
enum Engine {
    Postgres { url: String, _shadow: PostgresShadow },
    Sqlite { file: PathBuf },
}

pub struct World {
    folder: tempfile::TempDir,
    engine: Engine,
    runtime: tokio::runtime::Runtime,
}

/// Whether the program is there. Without it, a loud skip, and a failure under `CI=true`.
pub fn has(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok() {
        return true;
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "`testbed/tools {program}` brings it");
    println!("SKIPPED: there is no {program}; `testbed/tools {program}` brings it");
    false
}

/// Go takes no escaped slash in a URL's host: the folder of the socket goes into the query alone.
fn for_go(url: &str) -> String {
    let (user, rest) = url.split_once('@').expect("a user");
    let (_, database) = rest.split_once('/').expect("a database");
    format!("{user}@/{database}&sslmode=disable")
}

impl World {
    /// On a PostgreSQL server of its own, if there is one to be had.
    pub fn postgres() -> Option<World> {
        let binaries = match Binaries::find(None) {
            Ok(binaries) => binaries,
            Err(error) => {
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
                println!("SKIPPED: {error}");
                return None;
            }
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (shadow, url) = runtime.block_on(async {
            let limits = ShadowLimits::default();
            let cluster = Cluster::start(binaries, &limits).await.expect("a cluster");
            let server = Arc::new(Server::Throwaway(cluster));
            let mut shadow = PostgresShadow::open(server, limits, &[]).await.expect("a database");
            let url = shadow.lend(&[]).await.expect("an address").url;
            (shadow, url)
        });
        let folder = tempfile::tempdir().expect("a folder");
        fs_err::write(folder.path().join("url"), &url).expect("writes");
        Some(World { folder, engine: Engine::Postgres { url, _shadow: shadow }, runtime })
    }

    pub fn sqlite() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("service.db");
        fs_err::write(&file, "").expect("writes");
        fs_err::write(folder.path().join("url"), format!("sqlite://{}", file.display())).expect("writes");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        World { folder, engine: Engine::Sqlite { file }, runtime }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::write(path, text).expect("writes");
    }

    /// Writes migrations into a folder as the tool wants them.
    pub fn lay(&self, folder: &str, tool: Tool, steps: &[Step]) {
        fs_err::create_dir_all(self.path(folder)).expect("a folder");
        for (number, name, up, down) in steps {
            let both = |up_mark: &str, down_mark: &str| {
                let down = down.map(|down| format!("{down_mark}\n{down}\n")).unwrap_or_default();
                format!("{up_mark}\n{up}\n{down}")
            };
            match tool {
                Tool::Sqlx | Tool::GolangMigrate | Tool::Plain => {
                    self.write(&format!("{folder}/{number:04}_{name}.up.sql"), up);
                    if let Some(down) = down {
                        self.write(&format!("{folder}/{number:04}_{name}.down.sql"), down);
                    }
                }
                Tool::Goose => {
                    let text = both("-- +goose Up", "-- +goose Down");
                    self.write(&format!("{folder}/{number:05}_{name}.sql"), &text);
                }
                Tool::Dbmate => {
                    let text = both("-- migrate:up", "-- migrate:down");
                    self.write(&format!("{folder}/2026010{number}_{name}.sql"), &text);
                }
                Tool::Diesel => {
                    self.write(&format!("{folder}/2026-01-0{number}-000000_{name}/up.sql"), up);
                    if let Some(down) = down {
                        self.write(&format!("{folder}/2026-01-0{number}-000000_{name}/down.sql"), down);
                    }
                }
            }
        }
    }

    fn run(&self, command: &mut Command) -> Said {
        let output = command.current_dir(self.folder.path()).output().expect("it runs");
        Said {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `unship migrate VERB` on a folder, with more words.
    pub fn migrate(&self, verb: &str, folder: &str, tool: Tool, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unship"));
        command.args(["migrate", verb, "--migrations", folder, "--tool", tool.name()]);
        command.args(["--database-url-file", "url"]).args(words);
        self.run(&mut command)
    }

    /// One step down, with its loss accepted.
    pub fn down(&self, folder: &str, tool: Tool) -> Said {
        let shown = self.migrate("down", folder, tool, &["--dry-run", "--json"]).ok();
        let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("a document");
        let digest = document["loss_digest"].as_str().expect("a digest");
        self.migrate("down", folder, tool, &["--yes", "--accept-loss", digest])
    }

    /// What `unship migrate status` calls applied, by id.
    pub fn applied(&self, folder: &str, tool: Tool) -> Vec<String> {
        let shown = self.migrate("status", folder, tool, &["--json"]).ok();
        let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("a document");
        let all = document["migrations"].as_array().expect("a list").clone();
        let applied = all.iter().filter(|one| one["standing"] == "applied");
        applied.map(|one| one["migration"].as_str().expect("an id").to_owned()).collect()
    }

    /// Runs the real tool on a folder.
    pub fn tool(&self, tool: Tool, folder: &str, words: &[&str]) -> Said {
        let url = match (&self.engine, tool) {
            (Engine::Postgres { url, .. }, Tool::Dbmate) => for_go(url),
            (Engine::Postgres { url, .. }, _) => url.clone(),
            (Engine::Sqlite { file }, Tool::Diesel) => file.display().to_string(),
            (Engine::Sqlite { file }, Tool::Dbmate) => format!("sqlite:{}", file.display()),
            (Engine::Sqlite { file }, _) => format!("sqlite://{}", file.display()),
        };
        let mut command = match tool {
            Tool::Sqlx => Command::new("sqlx"),
            Tool::Diesel => Command::new("diesel"),
            Tool::Dbmate => Command::new("dbmate"),
            Tool::GolangMigrate | Tool::Goose | Tool::Plain => panic!("{tool} is not here"),
        };
        match tool {
            Tool::Sqlx => command.args(["migrate", words[0], "--source", folder]).args(&words[1..]),
            Tool::Diesel => command.args(["migration", words[0], "--migration-dir", folder]),
            _ => command.args(["--migrations-dir", folder, "--no-dump-schema"]).args(words),
        };
        self.run(command.env("DATABASE_URL", url).env("NO_COLOR", "1"))
    }

    /// Runs SQL of the test's own.
    pub fn sql(&self, sql: &str) {
        self.runtime.block_on(async {
            match &self.engine {
                Engine::Postgres { url, .. } => {
                    let mut conn = PgConnection::connect(url).await.expect("a connection");
                    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.expect("it runs");
                }
                Engine::Sqlite { file } => {
                    let url = format!("sqlite://{}", file.display());
                    let mut conn = SqliteConnection::connect(&url).await.expect("a connection");
                    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.expect("it runs");
                }
            }
        });
    }

    /// One text a row.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.runtime.block_on(async {
            match &self.engine {
                Engine::Postgres { url, .. } => {
                    let mut conn = PgConnection::connect(url).await.expect("a connection");
                    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect("rows");
                    rows.iter().map(|row| row.get(0)).collect()
                }
                Engine::Sqlite { file } => {
                    let url = format!("sqlite://{}", file.display());
                    let mut conn = SqliteConnection::connect(&url).await.expect("a connection");
                    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect("rows");
                    rows.iter().map(|row| row.get(0)).collect()
                }
            }
        })
    }

    /// The service's own tables.
    pub fn tables(&self) -> BTreeSet<String> {
        let of = match self.engine {
            Engine::Postgres { .. } => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
            Engine::Sqlite { .. } => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        };
        self.rows(of).into_iter().filter(|name| ["issues", "labels"].contains(&name.as_str())).collect()
    }
}
