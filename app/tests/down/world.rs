//! A database with migrations of a tool applied by unship itself, a program that takes the newest one down, and the
//! state of everything as a text that can be compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use unship::database::postgres::live::PostgresDatabase;
use unship::ports::{Database as _, DatabaseFailure, Progress, StepBy, SteppedDown};
use unship_core::down::{Allowed, Dialect, LossKind, Program, Session, row_changes};
use unship_core::protocol::Epoch;
use unship_core::release::{Digest, Release};
use unship_core::schema::delta;
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::{
    self, Down, LockScope, Migration, MigrationFile, MigrationSet, Rows, Tool, When, about, lock_key,
};

use crate::server::Server;

/// Keeps what is said.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Progress for Heard {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, text: &str) {
        self.0.lock().expect("a lock").push(text.to_owned());
    }
}

/// A database on a server.
pub struct World<'a> {
    pub server: &'a Server,
    pub name: String,
    pub set: MigrationSet,
    folder: tempfile::TempDir,
}

pub const BASE: &str =
    "CREATE TABLE issues (id bigint PRIMARY KEY, title text NOT NULL, parent bigint REFERENCES issues
        DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO issues SELECT n, 'issue ' || n, nullif(n - 1, 0) FROM generate_series(1, 50) n;";
pub const UP: &str =
    "CREATE TABLE labels (id bigint PRIMARY KEY, issue bigint REFERENCES issues, label text);
    INSERT INTO labels SELECT n, n, 'label ' || n FROM generate_series(1, 20) n;
    ALTER TABLE issues ADD COLUMN note text;
    UPDATE issues SET note = 'note ' || id WHERE id <= 7;
    CREATE INDEX issues_note ON issues (note);";
pub const DOWN: &str = "DROP TABLE labels; ALTER TABLE issues DROP COLUMN note;";

/// The role that migrates: no superuser.
pub const OWNER: &str = "owner";

/// Migrations of a tool, from (up, down).
pub fn set(tool: Tool, steps: &[(&str, &str)]) -> MigrationSet {
    let mut files = Vec::new();
    for (place, (up, down)) in steps.iter().enumerate() {
        let n = place + 1;
        match tool {
            Tool::Sqlx | Tool::GolangMigrate | Tool::Plain => {
                files.push(MigrationFile::new(format!("{n:04}_step.up.sql"), *up));
                files.push(MigrationFile::new(format!("{n:04}_step.down.sql"), *down));
            }
            Tool::Goose => files.push(MigrationFile::new(
                format!("{n:04}_step.sql"),
                format!("-- +goose Up\n-- +goose StatementBegin\n{up}\n-- +goose StatementEnd\n-- +goose Down\n-- +goose StatementBegin\n{down}\n-- +goose StatementEnd\n"),
            )),
            Tool::Dbmate => files.push(MigrationFile::new(
                format!("{n:04}_step.sql"),
                format!("-- migrate:up\n{up}\n-- migrate:down\n{down}\n"),
            )),
            Tool::Diesel => {
                files.push(MigrationFile::new(format!("2024-01-{n:02}-000000_step/up.sql"), *up));
                files.push(MigrationFile::new(format!("2024-01-{n:02}-000000_step/down.sql"), *down));
            }
        }
    }
    tools::read(tool, files).expect("migrations")
}

impl<'a> World<'a> {
    /// The usual two migrations.
    pub async fn new(server: &'a Server, tool: Tool) -> World<'a> {
        World::with(server, set(tool, &[(BASE, "DROP TABLE issues;"), (UP, DOWN)])).await
    }

    /// A new database with these migrations applied.
    pub async fn with(server: &'a Server, set: MigrationSet) -> World<'a> {
        let name = server.new_name();
        let mut admin = server.admin("postgres").await;
        say(&mut admin, &format!("DO $$ BEGIN CREATE ROLE {OWNER} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")).await;
        say(&mut admin, &format!("CREATE DATABASE {name} OWNER {OWNER}")).await;
        let mut inside = server.admin(&name).await;
        say(&mut inside, &format!("ALTER SCHEMA public OWNER TO {OWNER}")).await;
        let world = World { server, name, set, folder: tempfile::tempdir().expect("a folder") };
        let database = world.database();
        for migration in &world.set.migrations {
            let live = database.look(world.set.tool).await.expect("a look");
            database.step_up(migration, &live).await.expect("applied");
        }
        world
    }

    /// A copy of this database under another name.
    pub fn named(&self, name: &str) -> World<'a> {
        let folder = tempfile::tempdir().expect("a folder");
        World { server: self.server, name: name.to_owned(), set: self.set.clone(), folder }
    }

    /// The backend, as the owner.
    pub fn database(&self) -> PostgresDatabase {
        self.database_as(OWNER)
    }

    pub fn database_as(&self, role: &str) -> PostgresDatabase {
        self.database_at(&self.server.url(role, &self.name))
    }

    pub fn database_at(&self, url: &str) -> PostgresDatabase {
        let count = fs_err::read_dir(self.folder.path()).expect("a folder").count();
        let url_file: PathBuf = self.folder.path().join(format!("url{count}"));
        fs_err::write(&url_file, format!("{url}\n")).expect("a file");
        PostgresDatabase { url_file, through: None }
    }

    pub async fn admin(&self) -> PgConnection {
        self.server.admin(&self.name).await
    }

    pub async fn say(&self, sql: &str) {
        let mut conn = self.admin().await;
        say(&mut conn, sql).await;
        conn.close().await.expect("closed");
    }

    /// One number.
    pub async fn ask(&self, sql: &str) -> i64 {
        let mut conn = self.admin().await;
        let number = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut conn).await;
        conn.close().await.expect("closed");
        number.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn newest(&self) -> &Migration {
        self.set.newest().expect("a migration")
    }

    /// The program for the newest migration. What it does to the catalog is learnt in a copy of the database.
    pub async fn program(&self, allowed: Vec<Allowed>) -> Program {
        let migration = self.newest();
        let Down::Script(script) = &migration.down else { panic!("a down") };
        let live = self.database().look(self.set.tool).await.expect("a look");
        let table = live.table.clone().expect("a version table");
        let copy = self.server.new_name();
        let mut admin = self.server.admin("postgres").await;
        say(&mut admin, &format!("CREATE DATABASE {copy} TEMPLATE {}", self.name)).await;
        let rehearsal = self.database_at(&self.server.url(OWNER, &copy));
        let before = rehearsal.catalog(self.set.tool).await.expect("a catalog");
        let mut conn = self.server.admin(&copy).await;
        for batch in &script.batches {
            say(&mut conn, batch).await;
        }
        conn.close().await.expect("closed");
        let after = rehearsal.catalog(self.set.tool).await.expect("a catalog");
        say(&mut admin, &format!("DROP DATABASE {copy}")).await;
        let earlier = self.set.migrations.iter().rev().nth(1).map(|one| one.version.recorded().to_owned());
        let of_tool = about(self.set.tool).table.expect("a table");
        let writes = of_tool.down.iter().filter(|write| write.when == When::AfterScript);
        let scope = LockScope { database: &self.name, schema: "public", table: &table.name };
        let only_newest = matches!(of_tool.rows, Rows::OnlyNewest { .. });
        let applied = self.set.migrations.iter().map(|one| one.version.recorded().to_owned());
        Program {
            dialect: Dialect::Postgres,
            tool: self.set.tool,
            migration: migration.id.clone(),
            version: migration.version.recorded().to_owned(),
            version_before: earlier.clone(),
            applied: if only_newest {
                live.applied.versions.into_iter().collect()
            } else {
                applied.collect()
            },
            down: script.digest,
            session: Session { lock_ms_max: 400, lock_attempts_max: 2, statement_ms_max: 20_000 },
            tool_lock: lock_key(self.set.tool, scope),
            locks: vec![name("issues"), name("labels")],
            allowed,
            captured: Vec::new(),
            batches: script.batches.clone(),
            rows: row_changes(&of_tool, writes, migration, earlier.as_deref()),
            delta: delta(&before, &after),
            atomic: true,
            foreign_keys: true,
            fence: true,
            table,
        }
    }

    /// The same program for a copy of the database.
    pub fn program_in(&self, program: &Program) -> Program {
        let scope = LockScope { database: &self.name, schema: "public", table: &program.table.name };
        Program { tool_lock: lock_key(self.set.tool, scope), ..program.clone() }
    }

    /// The usual program, which loses a table and a column.
    pub async fn usual(&self) -> Program {
        self.program(losses(50, 20)).await
    }

    /// Everything that a step may change, as text, with who owns what is in `_unship`.
    pub async fn state(&self) -> String {
        let catalog = self.database().catalog(self.set.tool).await.expect("a catalog");
        let mut text: String = delta(&unship_core::schema::Catalog::default(), &catalog).join("\n");
        let mut conn = self.admin().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname = 'public' ORDER BY 1",
        )
        .fetch_all(&mut conn)
        .await
        .expect("tables");
        for table in tables {
            let sql = format!(
                "SELECT count(*), md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
            );
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut conn).await.expect("rows");
            text.push_str(&format!("\n{table}: {} {}", row.get::<i64, _>(0), row.get::<String, _>(1)));
        }
        let ours: Vec<String> = sqlx::query_scalar(
            "SELECT 'trigger ' || tgname::text FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT 'table ' || relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                WHERE relkind = 'r' AND nspname = '_unship' ORDER BY 1",
        )
        .fetch_all(&mut conn)
        .await
        .expect("ours");
        conn.close().await.expect("closed");
        let kept = [
            "table epoch",
            "table fence",
            "table step",
            "table restored",
            "table salvage",
            "table salvage_store",
            "table salvage_sequence",
        ];
        for one in ours.iter().filter(|one| !kept.contains(&one.as_str())) {
            text.push_str(&format!("\n{one}"));
        }
        text
    }

    pub async fn step(&self, program: &Program) -> Result<SteppedDown, DatabaseFailure> {
        self.database().step_down(program, &by(1), &Heard::default()).await
    }

    /// Fails unless the step fails, with these words, and leaves everything as it was.
    pub async fn expect_refused(&self, program: &Program, words: &[&str]) -> DatabaseFailure {
        let before = self.state().await;
        let failure = self.step(program).await.expect_err("a failure");
        for word in words {
            let text = format!("{}\n{}", failure.message, failure.hint.clone().unwrap_or_default());
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
        assert!(!failure.in_doubt, "{failure}");
        assert!(!failure.message.contains("hunter2"), "{failure}");
        assert_eq!(self.state().await, before, "{failure}");
        failure
    }
}

pub fn name(table: &str) -> ObjectName {
    ObjectName { schema: Some("public".into()), name: table.into() }
}

pub fn losses(notes: u64, labels: u64) -> Vec<Allowed> {
    let column = LossKind::Column { table: name("issues"), column: "note".into(), default: None };
    let table = LossKind::Table { table: name("labels") };
    vec![Allowed { kind: column, affected_max: notes }, Allowed { kind: table, affected_max: labels }]
}

pub fn release() -> Release {
    Release { tag: "v1.4.0".parse().expect("a tag"), digest: Digest::of(b"the bad one") }
}

pub fn by(epoch: u64) -> StepBy {
    StepBy {
        run: "20260101T000000-000-1".parse().expect("a run"),
        step: 3,
        epoch: Epoch(epoch),
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        release: Some(release()),
        reason: "panic loop".into(),
        who: "op@bastion".into(),
        at: Timestamp(1_767_225_600_000),
    }
}

pub async fn say(conn: &mut PgConnection, sql: &str) {
    let said = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await;
    said.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// How often each of these was seen.
pub fn tally(of: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in of {
        *counts.entry(one).or_default() += 1;
    }
    counts
}
