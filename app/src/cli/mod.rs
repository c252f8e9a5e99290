//! The command line: one file a verb. It reads arguments, calls a flow, and says what came of it; it decides
//! nothing. Data goes to stdout, everything else to stderr.

mod adopt;
mod advise;
mod aftercare;
mod agent;
mod beside;
mod check;
mod completions;
mod deploy;
mod downs;
mod drill;
mod error;
pub mod exit;
mod explain;
mod failure;
mod flags;
mod folder;
mod hold;
mod host;
mod hotfix;
mod init;
mod lock;
mod log;
mod migrate;
pub mod output;
mod progress;
mod quarantine;
mod report;
mod resume;
mod rollback;
mod run_output;
mod salvage;
mod schema;
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
    Adopt(adopt::Args),
    Advise(advise::Args),
    Hold(hold::Args),
    Hotfix(hotfix::Args),
    Aftercare(aftercare::Args),
    Deploy(deploy::Args),
    Status(status::Args),
    Init(init::Args),
    Resume(resume::Resume),
    Abort(resume::Abort),
    Check(check::Args),
    Explain(explain::Args),
    Drill(drill::Args),
    Log(log::Log),
    Report(report::Args),
    Show(log::Show),
    Quarantine(quarantine::Args),
    Salvage(salvage::Args),
    Flags(flags::Args),
    Migrate(migrate::Args),
    Lock(lock::Args),
    Ledger(log::Ledger),
    Agent(agent::Args),
    Supervise(supervise::Args),
    Completions(completions::Args),
    Host(host::Args),
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

/// Says why nothing answers for a held host, if that is so.
pub fn hold_ended(ended: Result<(), unship_host::hold::HoldError>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = CliError::failed(error.to_string());
            Output::new(output::ColorChoice::Auto, false).error(&error);
            error.exit_code()
        }
    }
}

fn run(command: Command, output: &mut Output) -> Result<ExitCode, CliError> {
    match command {
        Command::Check(args) => check::run(&args, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Adopt(args) => adopt::run(&args, output),
        Command::Advise(args) => advise::run(&args, output),
        Command::Aftercare(args) => aftercare::run(&args, output),
        Command::Rollback(args) => rollback::run(&args, output),
        Command::Hold(args) => hold::run(&args, output),
        Command::Hotfix(args) => hotfix::run(&args, output),
        Command::Deploy(args) => deploy::run(&args, output),
        Command::Init(args) => init::run(&args, output),
        Command::Status(args) => status::run(&args, output),
        Command::Resume(args) => resume::resume(&args, output),
        Command::Abort(args) => resume::abort(&args, output),
        Command::Log(args) => log::log(&args, output),
        Command::Report(args) => report::run(&args, output),
        Command::Show(args) => log::show(&args, output),
        Command::Quarantine(args) => quarantine::run(&args, output),
        Command::Salvage(args) => salvage::run(&args, output),
        Command::Flags(args) => flags::run(&args, output),
        Command::Migrate(args) => migrate::run(&args, output),
        Command::Drill(args) => drill::run(&args, output),
        Command::Lock(args) => lock::run(&args, output),
        Command::Ledger(args) => log::ledger(&args, output),
        Command::Agent(args) => agent::run(&args, output),
        Command::Supervise(args) => supervise::run(&args, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Host(args) => host::run(&args),
        Command::SqliteShadow(args) => sqlite_shadow::run(&args),
    }
}

/// A point in time for a person, in UTC to the second.
fn time_text(at: unship_core::time::Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
