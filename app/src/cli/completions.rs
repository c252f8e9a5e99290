//! `unship completions`

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CliError, Output};

/// Print a completion script for a shell
///
/// For example: `unship completions bash > /etc/bash_completion.d/unship`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "unship", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
