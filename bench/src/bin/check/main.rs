//! `executed`: all work of `unship check` on a step (up, down, up again, catalogs, copies) against psql that
//! applies the same up, down and up to the same kind of server.
//!
//! Usage: `check [--migrations DIR --tool TOOL] [--pg-bin DIR] [--rounds N] [--steps N]`. Without a
//! folder, a schema is grown that gains a table in every third step.

mod check_set;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use unship::database::shadow::Limits;
use unship::database::shadow::postgres::{Binaries, Cluster, Server, Session};
use unship::flow::check::{self, StepsSeen};
use unship::wire::{ShadowChoice, shadow};
use unship_core::tools::{MigrationSet, Wrap};
use unship_core::verdict::StepReport;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The one place of this program that writes to a person beside the figures.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("error: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

struct Options {
    migrations: Option<PathBuf>,
    tool: Option<String>,
    pg_bin: Option<PathBuf>,
    rounds: usize,
    steps: usize,
}

fn options() -> Result<Options, Failure> {
    let mut options = Options { migrations: None, tool: None, pg_bin: None, rounds: 3, steps: 120 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
        match word.as_str() {
            "--migrations" => options.migrations = Some(value.into()),
            "--tool" => options.tool = Some(value),
            "--pg-bin" => options.pg_bin = Some(value.into()),
            "--steps" => options.steps = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            _ => return Err(format!("`{word}` is not known").into()),
        }
    }
    Ok(options)
}

fn run() -> Result<(), Failure> {
    let options = options()?;
    let set = match &options.migrations {
        Some(folder) => check_set::read(folder, options.tool.as_deref())?,
        None => check_set::grown(options.steps)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut steps_per_second = Vec::new();
    let comparison = unship_bench::paired(
        "executed",
        "ms",
        options.rounds,
        || -> Result<f64, Failure> {
            let ms = runtime.block_on(ours(&set, options.pg_bin.clone()))?;
            #[expect(clippy::cast_precision_loss, reason = "counts of steps are small")]
            steps_per_second.push(set.migrations.len() as f64 / ms * 1000.0);
            Ok(ms)
        },
        || runtime.block_on(psql(&set, options.pg_bin.clone())),
    )?;
    unship_bench::report(&comparison)?;
    let middle = unship_bench::median(&steps_per_second).unwrap_or_default();
    let line = format!("bench executed: {} steps, {middle:.1} steps a second\n", set.migrations.len());
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}

struct Unseen;

impl StepsSeen for Unseen {
    fn begins(&mut self, _id: &str) {}
    fn judged(&mut self, _report: &StepReport) {}
}

/// Milliseconds for all steps, without the start of the server, which both sides need.
async fn ours(set: &MigrationSet, pg_bin: Option<PathBuf>) -> Result<f64, Failure> {
    let choice = ShadowChoice { pg_bin, limits: Limits::default(), ..ShadowChoice::default() };
    let mut shadow = shadow(&choice, set.tool).await?;
    let started = Instant::now();
    let report = check::execute(check::plan(set), shadow.as_mut(), &mut Unseen).await?;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    shadow.close().await?;
    if report.summary.could_not_run > 0 {
        return Err(format!("{} steps could not run", report.summary.could_not_run).into());
    }
    Ok(ms)
}

/// The psql program itself: Debian's `/usr/bin/psql` is a script around it that costs more than the work.
fn psql_program(pg_bin: Option<&Path>) -> PathBuf {
    let beside = |binaries: Binaries| binaries.directory.join("psql");
    [pg_bin, Some(Path::new("/usr/lib/postgresql/15/bin")), None]
        .into_iter()
        .filter_map(|place| Binaries::find(place).ok().map(beside))
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("psql"))
}

/// Milliseconds for psql to apply up, down and up of every step, one call each as a person would.
async fn psql(set: &MigrationSet, pg_bin: Option<PathBuf>) -> Result<f64, Failure> {
    let limits = Limits::default();
    let cluster = Cluster::start(Binaries::find(pg_bin.as_deref())?, &limits).await?;
    let socket = cluster.socket_directory().to_owned();
    let session = Session::open(Arc::new(Server::Throwaway(cluster)), limits).await?;
    let program = psql_program(pg_bin.as_deref());
    let started = Instant::now();
    for migration in &set.migrations {
        let ups = [&migration.up];
        let downs = migration.down.script().map(|down| [down, &migration.up]);
        for script in ups.into_iter().chain(downs.into_iter().flatten()) {
            let mut command = Command::new(&program);
            command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "unship", "-d", "unship_shadow", "-h"]);
            command.arg(&socket);
            if script.wrap == Wrap::Transaction {
                command.arg("--single-transaction");
            }
            command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                std::io::Write::write_all(&mut stdin, script.sql.as_bytes())?;
            }
            // A step whose down is wrong fails here too; psql has done its work all the same.
            child.wait()?;
        }
    }
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    session.close().await?;
    Ok(ms)
}
