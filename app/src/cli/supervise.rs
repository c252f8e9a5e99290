//! `unship supervise`, and the small program between it and a service's process

use std::process::ExitCode;

use super::site::SiteArgs;
use super::{CliError, Output};

/// Run the service's units on this machine, for machines without systemd
///
/// Stays in the foreground. It starts what is current, restarts what fails, and does what `unship deploy` and
/// `unship rollback` ask. If it dies, the instances keep serving and the next one takes them over.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    output.note(format!("supervising {} in {}", site.config.service.name, site.root().display()));
    unship_host::supervise::run(
        &site.host_paths(),
        site.service(),
        unship_host::supervise::SuperviseOptions::default(),
    )
    .map_err(|error| CliError::failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}
