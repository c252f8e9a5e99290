//! `unship sqlite-shadow`: the process in which migrations run on SQLite. Started by `unship check`, not by people.

use std::process::ExitCode;

use super::CliError;

/// Run statements on SQLite in memory, as told on standard input
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {}

pub(super) fn run(_: &Args) -> Result<ExitCode, CliError> {
    crate::wire::serve_sqlite_shadow().map_err(|error| CliError::failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}
