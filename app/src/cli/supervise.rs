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

    /// End when standard input does: whoever started this and holds its other end cannot leave it behind
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    if args.while_stdin_is_open {
        end_with_stdin()?;
    }
    output.note(format!("supervising {} in {}", site.config.service.name, site.root().display()));
    unship_host::supervise::run(
        &site.host_paths(),
        site.service(),
        unship_host::supervise::SuperviseOptions::default(),
    )
    .map_err(|error| CliError::failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Ends this process in order, as SIGTERM does, as soon as standard input is closed.
fn end_with_stdin() -> Result<(), CliError> {
    let wait = || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
    };
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(wait)
        .map(|_| ())
        .map_err(|error| CliError::failed(format!("cannot watch standard input: {error}")))
}
