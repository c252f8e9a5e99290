//! shithubd: a small forge. `shithubd help` lists what it does.

mod admin;
mod cli;
mod client;
mod config;
mod database;
mod flags;
mod forge;
mod git;
mod secret;
mod serve;
mod smoke;
mod store;
mod validate;
mod version;
mod web;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::Config;

/// Everything a command can end with. Each part says what went wrong in its own words.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Database(#[from] database::DatabaseError),
    #[error(transparent)]
    Web(#[from] web::WebError),
    #[error(transparent)]
    Worker(#[from] worker::WorkerError),
    #[error(transparent)]
    Admin(#[from] admin::AdminError),
    #[error(transparent)]
    Smoke(#[from] smoke::SmokeError),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(#[source] std::io::Error),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    abort_on_panic();
    start_logging(cli.log);
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    if matches!(cli.command, Command::Version) {
        return say(version::TAG);
    }
    // Taken before any thread exists: it reads, and then clears, the process environment.
    let passed = listenfd::ListenFd::from_env();
    let config = Config::load(&cli.settings)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        match cli.command {
            Command::Version => say(version::TAG),
            Command::Web(options) => Ok(web::run(&config, &options, passed).await?),
            Command::Worker(options) => {
                worker::run(&config, &options).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Migrate { step } => say(&database::migrations::run(&config, step).await?),
            Command::Admin { task } => say(&admin::run(&config, task).await?),
            Command::Smoke(options) => say(&smoke::run(&options.url).await?),
        }
    })
}

fn say(text: &str) -> Result<ExitCode, Failure> {
    writeln!(std::io::stdout().lock(), "{}", text.trim_end()).map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// A task that panics would leave a process that looks alive and serves half of what it should.
/// Such a process dies at once instead, and whatever supervises it starts a whole one.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn start_logging(level: tracing::level_filters::LevelFilter) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .init();
}
