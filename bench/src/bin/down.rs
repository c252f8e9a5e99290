//! `down-lock`: how long a table is locked by a step down that loses nothing, against the bare down in a transaction
//! with its lock; also what all of it takes, and the most memory that unship needs.
//!
//! Usage: `down [--rows N] [--rounds N]`. Each round makes two tables of N rows (10,000,000 unless given), takes a
//! column out of both, and then drops both.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use unship::database::postgres::live::PostgresDatabase;
use unship::database::shadow::Limits;
use unship::database::shadow::postgres::{Binaries, Cluster, PostgresShadow, Server};
use unship::ports::{Database as _, Progress, Shadow as _, StepBy};
use unship_bench::{Comparison, report};
use unship_core::down::{Allowed, Dialect, LossKind, Program, RowChange, Session, Value};
use unship_core::protocol::Epoch;
use unship_core::release::Digest;
use unship_core::schema::delta;
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::Tool;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The one place of this program that writes to a person beside the figures.
fn say(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes());
}

struct Watched;

impl Progress for Watched {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, text: &str) {
        say(&format!("  {text}"));
    }
}

/// What is measured of one step down.
struct Measured {
    locked_ms: f64,
    whole_ms: f64,
}

fn run() -> Result<(), Failure> {
    let (mut rows, mut rounds) = (10_000_000_u64, 1_usize);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--rows" => rows = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            _ => return Err(format!("`{word}` is not known").into()),
        }
    }
    tokio::runtime::Runtime::new()?.block_on(measure(rows, rounds))
}

async fn measure(rows: u64, rounds: usize) -> Result<(), Failure> {
    // It is a live one here, with many rows.
    let limits = Limits { step_ms_max: 3_600_000, disk_bytes_max: 1 << 40, ..Limits::default() };
    let cluster = Cluster::start(Binaries::find(None)?, &limits).await?;
    let server = Arc::new(Server::Throwaway(cluster));
    let mut bench = Bench::open(server, &limits).await?;
    let mut column = lists("down-lock");
    let mut table = lists("down-lock-table");
    for round in 0..rounds {
        for name in ["bare", "ours"] {
            let began = Instant::now();
            make(&mut bench.conn, name, rows).await?;
            say(&format!(
                "round {}: {name} has {rows} rows, made in {:.0} s",
                round + 1,
                began.elapsed().as_secs_f64()
            ));
        }
        for (list, down, of) in
            [(&mut column, "ALTER TABLE {} DROP COLUMN note", true), (&mut table, "DROP TABLE {}", false)]
        {
            let bare = bench.bare(&down.replace("{}", "bare")).await?;
            let ours = bench.ours(&down.replace("{}", "ours"), of, rows).await?;
            say(&format!(
                "{down}: locked {:.1} ms against {:.1} ms bare; all of it {:.1} s",
                ours.locked_ms,
                bare.locked_ms,
                ours.whole_ms / 1_000.0
            ));
            list.other.push(bare.locked_ms);
            list.ours.push(ours.locked_ms);
        }
    }
    report(&column)?;
    report(&table)?;
    say(&format!("most memory of this process, unship in it: {}", peak_memory()?));
    Ok(())
}

fn lists(name: &str) -> Comparison {
    Comparison { name: name.to_owned(), ours: Vec::new(), other: Vec::new(), unit: "ms" }
}

fn peak_memory() -> Result<String, Failure> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.map_or_else(|| "not known".to_owned(), |line| line.trim().to_owned()))
}

async fn go(conn: &mut PgConnection, sql: &str) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await?;
    Ok(())
}

/// Rows as a service has them: a title, a state, and the column that goes.
async fn make(conn: &mut PgConnection, name: &str, rows: u64) -> Result<(), Failure> {
    let sql = format!(
        "DROP TABLE IF EXISTS {name};
        CREATE TABLE {name} (id bigint NOT NULL, title text NOT NULL, state text NOT NULL, note text);
        INSERT INTO {name} SELECT n, 'the title of issue ' || n, 'open', 'a note on issue ' || n FROM generate_series(1, {rows}) n;
        ALTER TABLE {name} ADD PRIMARY KEY (id); ANALYZE {name}; CHECKPOINT"
    );
    // A role without the right to ask for a checkpoint does without.
    let (sql, checkpoint) = sql.rsplit_once(';').unwrap_or((&sql, ""));
    go(conn, sql).await?;
    let _ = go(conn, checkpoint).await;
    Ok(())
}

struct Bench {
    conn: PgConnection,
    database: PostgresDatabase,
    /// The same tables, without rows, where each down is tried first.
    tried: (PgConnection, PostgresDatabase),
    steps: usize,
    _folder: tempfile::TempDir,
    /// The server goes with the last of its databases.
    _server: Arc<Server>,
}

const VERSIONS: &str = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)";

impl Bench {
    async fn open(server: Arc<Server>, limits: &Limits) -> Result<Bench, Failure> {
        let folder = tempfile::tempdir()?;
        let mut both = Vec::new();
        for name in ["live", "tried"] {
            let mut shadow = PostgresShadow::open(Arc::clone(&server), *limits, &[]).await?;
            let url = shadow.lend(&[]).await?.url;
            let url_file = folder.path().join(name);
            fs_err::write(&url_file, &url)?;
            let options: sqlx::postgres::PgConnectOptions = url.parse()?;
            let mut conn = options.disable_statement_logging().connect().await?;
            go(&mut conn, VERSIONS).await?;
            both.push((conn, PostgresDatabase { url_file, through: None }));
        }
        let tried = both.pop().ok_or("no database")?;
        let (conn, database) = both.pop().ok_or("no database")?;
        Ok(Bench { conn, database, tried, steps: 0, _folder: folder, _server: server })
    }

    /// The down as somebody careful would run it by hand: in a transaction, the lock first.
    async fn bare(&mut self, down: &str) -> Result<Measured, Failure> {
        let began = Instant::now();
        go(&mut self.conn, "BEGIN; LOCK TABLE bare IN ACCESS EXCLUSIVE MODE").await?;
        let locked = Instant::now();
        go(&mut self.conn, down).await?;
        go(&mut self.conn, "COMMIT").await?;
        Ok(Measured { locked_ms: ms(locked), whole_ms: ms(began) })
    }

    async fn ours(&mut self, down: &str, is_column: bool, rows: u64) -> Result<Measured, Failure> {
        self.steps += 1;
        let version = i64::try_from(self.steps)?;
        let (tried, rehearsal) = &mut self.tried;
        if is_column {
            make(tried, "ours", 10).await?;
        }
        let before = rehearsal.catalog(Tool::Sqlx).await?;
        go(tried, down).await?;
        let after = rehearsal.catalog(Tool::Sqlx).await?;
        go(
            &mut self.conn,
            &format!("INSERT INTO _sqlx_migrations VALUES ({version}, '', now(), true, '', 0)"),
        )
        .await?;
        let table = ObjectName { schema: Some("public".into()), name: "ours".into() };
        let kind = if is_column {
            LossKind::Column { table: table.clone(), column: "note".into(), default: None }
        } else {
            LossKind::Table { table: table.clone() }
        };
        let versions = ObjectName { schema: Some("public".into()), name: "_sqlx_migrations".into() };
        let program = Program {
            dialect: Dialect::Postgres,
            tool: Tool::Sqlx,
            migration: format!("{version}_bench"),
            version: version.to_string(),
            version_before: None,
            applied: vec![version.to_string()],
            down: Digest::of(down.as_bytes()),
            session: Session { lock_ms_max: 5_000, lock_attempts_max: 3, statement_ms_max: 600_000 },
            table: versions,
            tool_lock: None,
            locks: vec![table],
            allowed: vec![Allowed { kind, affected_max: rows }],
            captured: Vec::new(),
            batches: vec![down.to_owned()],
            rows: vec![RowChange {
                sql: "DELETE FROM {table} WHERE version = $1".into(),
                values: vec![Value::Number(version)],
            }],
            delta: delta(&before, &after),
            atomic: true,
            foreign_keys: true,
            fence: false,
        };
        let began = Instant::now();
        let done = self.database.step_down(&program, &by(self.steps)?, &Watched).await?;
        let whole_ms = ms(began);
        for line in done.said {
            say(&format!("  {line}"));
        }
        let kept = self.database.salvaged().await?.into_iter().next().ok_or("nothing was salvaged")?;
        if kept.stores.iter().map(|store| store.rows).sum::<u64>() != rows {
            return Err("the salvage is not whole".into());
        }
        self.database.drop_salvage(&kept).await?;
        let locked_us = u32::try_from(done.locked_us).unwrap_or(u32::MAX);
        Ok(Measured { locked_ms: f64::from(locked_us) / 1_000.0, whole_ms })
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

fn by(step: usize) -> Result<StepBy, Failure> {
    Ok(StepBy {
        run: format!("bench-{step}").parse()?,
        step,
        epoch: Epoch(1),
        service: "bench".parse()?,
        environment: "bench".parse()?,
        release: None,
        reason: "bench".into(),
        who: "bench".into(),
        at: Timestamp(0),
    })
}
