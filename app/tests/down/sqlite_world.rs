//! A SQLite database of a service, its migrations, and programs for their downs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use unship::database::sqlite::live::SqliteDatabase;
use unship::ports::{Database as _, DatabaseFailure, OnConflict, Progress, Restored, StepBy, SteppedDown};
use unship_core::down::{Dialect, Loss, LossReport, Program, Session, row_changes};
use unship_core::protocol::Epoch;
use unship_core::release::{Digest, Release};
use unship_core::schema::delta;
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::{Migration, MigrationFile, Tool, about, read};

/// Nobody watches.
pub struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

/// A database with its migrations.
pub struct World {
    pub folder: PathBuf,
    /// Goes away with it, unless the folder is somebody else's.
    _own: Option<tempfile::TempDir>,
    pub db: SqliteDatabase,
    pub file: PathBuf,
    pub tool: Tool,
    pub migrations: Vec<Migration>,
}

/// All rows of every table of the service: a line each, sorted, with every value's storage class and bytes.
pub type Dump = BTreeMap<String, Vec<String>>;

pub fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

pub fn by(step: usize) -> StepBy {
    StepBy {
        run: "run-1".parse().expect("a run"),
        step,
        epoch: Epoch(3),
        service: "shop".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        release: Some(release("v1.4.0")),
        reason: "it's broken".into(),
        who: "operator@desk".into(),
        at: Timestamp(1_767_323_045_000),
    }
}

/// The migrations of a tool, each an up and a down.
pub fn migrations(tool: Tool, steps: &[(String, String)]) -> Vec<Migration> {
    let mut files = Vec::new();
    for (number, (up, down)) in (1..).zip(steps) {
        let mut file = |name: String, text: String| files.push(MigrationFile::new(name, text));
        match tool {
            Tool::Sqlx | Tool::GolangMigrate | Tool::Plain => {
                file(format!("{number:04}_s.up.sql"), up.clone());
                file(format!("{number:04}_s.down.sql"), down.clone());
            }
            Tool::Diesel => {
                file(format!("2026-01-{number:02}-000000_s/up.sql"), up.clone());
                file(format!("2026-01-{number:02}-000000_s/down.sql"), down.clone());
            }
            Tool::Goose => {
                let text = format!("-- +goose Up\n{up}\n-- +goose Down\n{down}\n");
                file(format!("{number:04}_s.sql"), text);
            }
            Tool::Dbmate => {
                let text = format!("-- migrate:up\n{up}\n-- migrate:down\n{down}\n");
                file(format!("202601{number:02}000000_s.sql"), text);
            }
        }
    }
    read(tool, files).expect("right").migrations
}

pub fn pair(up: &str, down: &str) -> (String, String) {
    (up.to_owned(), down.to_owned())
}

impl World {
    /// A database in which all steps are applied as their tool would.
    pub async fn new(tool: Tool, steps: &[(String, String)]) -> World {
        let own = tempfile::tempdir().expect("a folder");
        let folder = own.path().to_owned();
        World { _own: Some(own), ..World::in_folder(&folder, tool, steps).await }
    }

    pub async fn in_folder(folder: &Path, tool: Tool, steps: &[(String, String)]) -> World {
        let file = folder.join("service.db");
        let made = SqliteConnectOptions::new().filename(&file).create_if_missing(true).connect().await;
        made.expect("a database").close().await.expect("closed");
        let world = World::open(folder, tool, steps);
        for migration in &world.migrations {
            world.up(migration).await.expect("the up runs");
        }
        world
    }

    /// One that is there already.
    pub fn open(folder: &Path, tool: Tool, steps: &[(String, String)]) -> World {
        let file = folder.join("service.db");
        let url_file = folder.join("url");
        fs_err::write(&url_file, format!("sqlite://{}\n", file.display())).expect("a file");
        let migrations = migrations(tool, steps);
        World {
            folder: folder.to_owned(),
            _own: None,
            db: SqliteDatabase { url_file },
            file,
            tool,
            migrations,
        }
    }

    pub async fn up(&self, migration: &Migration) -> Result<(), DatabaseFailure> {
        let live = self.db.look(self.tool).await?;
        self.db.step_up(migration, &live).await
    }

    pub async fn up_again(&self) {
        self.up(self.newest()).await.expect("the up runs again");
    }

    pub fn newest(&self) -> &Migration {
        self.migrations.last().expect("there is one")
    }

    pub async fn connect(&self, foreign_keys: bool) -> SqliteConnection {
        connect(&self.file, foreign_keys).await
    }

    /// What the service writes.
    pub async fn run(&self, sql: &str) {
        let mut conn = self.connect(about(self.tool).sqlite_foreign_keys).await;
        say(&mut conn, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        conn.close().await.expect("closed");
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let mut conn = self.connect(false).await;
        let number = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut conn).await;
        conn.close().await.expect("closed");
        number.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn dump(&self) -> Dump {
        dump(&self.file, self.tool, true).await
    }

    /// The program for the newest migration's down, which allows nothing.
    pub async fn program(&self) -> Program {
        let (tool, migration) = (self.tool, self.newest());
        let script = migration.down.script().expect("a down");
        let table = about(tool).table.expect("a table");
        let before = self.migrations.len().checked_sub(2).map(|at| self.migrations[at].version.recorded());
        let live = self.db.look(tool).await.expect("looks");
        Program {
            dialect: Dialect::Sqlite,
            tool,
            migration: migration.id.clone(),
            version: migration.version.recorded().to_owned(),
            version_before: before.map(str::to_owned),
            applied: live.applied.versions.into_iter().collect(),
            down: script.digest,
            session: Session { lock_ms_max: 300, lock_attempts_max: 3, statement_ms_max: 60_000 },
            table: ObjectName { schema: None, name: table.name.to_owned() },
            tool_lock: None,
            locks: Vec::new(),
            allowed: Vec::new(),
            captured: Vec::new(),
            batches: script.batches.clone(),
            rows: row_changes(&table, table.down, migration, before),
            delta: self.delta().await,
            atomic: true,
            foreign_keys: about(tool).sqlite_foreign_keys,
            fence: false,
        }
    }

    /// What the down does to the catalog, tried by hand on a copy of the file.
    async fn delta(&self) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = World::open(folder.path(), self.tool, &[]);
        let mut conn = self.connect(false).await;
        let copied = sqlx::query("VACUUM INTO ?").bind(copy.file.to_str()).execute(&mut conn).await;
        copied.expect("copied");
        conn.close().await.expect("closed");
        let before = copy.db.catalog(self.tool).await.expect("read");
        for batch in &self.newest().down.script().expect("a down").batches {
            copy.run(batch).await;
        }
        delta(&before, &copy.db.catalog(self.tool).await.expect("read"))
    }

    /// What the down destroys, executed on a copy.
    pub async fn losses(&self, program: &Program) -> Vec<Loss> {
        let rehearsed = self.db.rehearse(std::slice::from_ref(program)).await.expect("rehearsed");
        let mut rehearsed = rehearsed.expect("SQLite can");
        assert_eq!(rehearsed.len(), 1);
        let one = rehearsed.remove(0);
        assert_eq!(one.fails, None);
        one.losses
    }

    /// The program that allows what the rehearsal found.
    pub async fn accepted(&self) -> Program {
        let program = self.program().await;
        let losses = self.losses(&program).await;
        accept(program, losses)
    }

    pub async fn down(&self, program: &Program) -> Result<SteppedDown, DatabaseFailure> {
        self.db.step_down(program, &by(1), &Silent).await
    }

    pub async fn restore(&self, conflicts: OnConflict, dry_run: bool) -> Result<Restored, DatabaseFailure> {
        let all = self.db.salvaged().await.expect("listed");
        match all.first() {
            Some(newest) => self.db.restore(newest, conflicts, dry_run, &Silent).await,
            None => Ok(Restored::default()),
        }
    }

    /// No copy lies about, and SQLite finds no fault.
    pub async fn expect_tidy(&self) {
        let left: Vec<String> = std::fs::read_dir(&self.folder)
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(".unship-copy-"))
            .collect();
        assert!(left.is_empty(), "left: {left:?}");
        let mut conn = self.connect(false).await;
        let check: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut conn).await.expect("checked");
        conn.close().await.expect("closed");
        assert_eq!(check, "ok");
    }
}

pub fn accept(program: Program, losses: Vec<Loss>) -> Program {
    let report = LossReport { migration: program.migration.clone(), down: program.down, losses };
    Program { allowed: report.allowed(), ..program }
}

pub async fn connect(file: &Path, foreign_keys: bool) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).foreign_keys(foreign_keys);
    options.connect().await.expect("a connection")
}

pub async fn say(conn: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop)
}

/// The rows of every table but the tool's, SQLite's and unship's. With `rowids` also the rowids that are nobody's column.
pub async fn dump(file: &Path, tool: Tool, rowids: bool) -> Dump {
    let mut conn = connect(file, false).await;
    let tables = sqlx::query(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'unship\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut conn)
    .await
    .expect("tables");
    let mut all = Dump::new();
    for row in tables {
        let (table, without_rowid): (String, bool) = (row.get(0), row.get(1));
        if about(tool).table.is_some_and(|version| version.name == table) {
            continue;
        }
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY name")
                .bind(&table)
                .fetch_all(&mut conn)
                .await
                .expect("columns");
        let mut parts: Vec<String> = columns
            .iter()
            .map(|column| {
                let quoted = format!("\"{}\"", column.replace('"', "\"\""));
                let name = column.replace('\'', "''");
                format!(
                    "'{name}=' || typeof({quoted}) || ' ' || CASE typeof({quoted}) WHEN 'text' THEN \
                     hex(CAST({quoted} AS BLOB)) WHEN 'blob' THEN hex({quoted}) ELSE quote({quoted}) END"
                )
            })
            .collect();
        if rowids && !without_rowid {
            parts.push("'rowid ' || rowid".to_owned());
        }
        let sql = format!("SELECT {} FROM \"{}\"", parts.join(" || ', ' || "), table.replace('"', "\"\""));
        let mut rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect("rows");
        rows.sort();
        all.insert(table, rows);
    }
    conn.close().await.expect("closed");
    all
}
