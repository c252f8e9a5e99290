//! The command line: one file a verb. It reads arguments, calls a flow, and says what came of it; it decides
//! nothing. Data goes to stdout, everything else to stderr.

mod check;
mod completions;
mod deploy;
mod drill;
mod error;
pub mod exit;
mod explain;
mod lock;
mod log;
pub mod output;
mod progress;
mod quarantine;
mod resume;
mod rollback;
mod run_output;
mod site;
mod sqlite_shadow;
mod status;
mod supervise;

pub use error::CliError;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::Output;

/// Take a bad release back: the code, where it must the schema, and what belongs to them
#[derive(Debug, Parser)]
#[command(name = "unship", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Say the same facts as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// When to colour the output
    #[arg(long, global = true, value_enum, default_value_t = output::ColorChoice::Auto, value_name = "WHEN")]
    pub color: output::ColorChoice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Rollback(rollback::Args),
    Deploy(deploy::Args),
    Status(status::Args),
    Resume(resume::Resume),
    Abort(resume::Abort),
    Check(check::Args),
    Explain(explain::Args),
    Drill(drill::Args),
    Log(log::Log),
    Show(log::Show),
    Quarantine(quarantine::Args),
    Lock(lock::Args),
    Ledger(log::Ledger),
    Supervise(supervise::Args),
    Completions(completions::Args),
    SqliteShadow(sqlite_shadow::Args),
}

/// Reads the arguments, runs the verb, prints what went wrong, and gives the exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let mut output = Output::new(cli.color, cli.json);
    match run(cli.command, &mut output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}

/// Prints help, the version or what is wrong with the arguments; the last with `--json` also as the document that
/// every other error is.
fn not_understood(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told when this cannot be written.
    let _ = error.print();
    if error.exit_code() == 0 {
        return ExitCode::SUCCESS;
    }
    let words = std::env::args_os().skip(1).take_while(|word| word != "--");
    if words.into_iter().any(|word| word == "--json") {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default();
        let mut usage = CliError::usage(message.strip_prefix("error: ").unwrap_or(message));
        for line in lines {
            usage = usage.hint(line);
        }
        Output::new(output::ColorChoice::Auto, true).error_document(&usage);
    }
    ExitCode::from(exit::USAGE)
}

/// Says why the child runner's shim did not become the command.
pub fn shim_failed(error: &unship_host::supervise::ShimError) -> ExitCode {
    let error = CliError::failed(error.to_string());
    Output::new(output::ColorChoice::Auto, false).error(&error);
    error.exit_code()
}

fn run(command: Command, output: &mut Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Check(args) => check::run(&args, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Rollback(args) => rollback::run(&args, output),
        Command::Deploy(args) => deploy::run(&args, output),
        Command::Status(args) => status::run(&args, output),
        Command::Resume(args) => resume::resume(&args, output),
        Command::Abort(args) => resume::abort(&args, output),
        Command::Log(args) => log::log(&args, output),
        Command::Show(args) => log::show(&args, output),
        Command::Quarantine(args) => quarantine::run(&args, output),
        Command::Drill(args) => drill::run(&args, output),
        Command::Lock(args) => lock::run(&args, output),
        Command::Ledger(args) => log::ledger(&args, output),
        Command::Supervise(args) => supervise::run(&args, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::SqliteShadow(args) => sqlite_shadow::run(&args),
    }
}

/// A point in time for a person, in UTC to the second.
fn time_text(at: unship_core::time::Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
