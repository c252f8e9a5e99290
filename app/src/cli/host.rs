//! `unship host`: the agent at the other end of an ssh session. Started by unship on a host, not by people.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::CliError;

/// How long an agent waits for the next question. Where a network was cut without a word, nothing else would
/// end it; an operator who asks later than that starts a new one.
const IDLE_S_MAX: i64 = 3_600;

/// Serve an operator on standard input and output
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {}

pub(super) fn run(_: &Args) -> Result<ExitCode, CliError> {
    let failed = |error: io::Error| CliError::failed(format!("cannot serve: {error}"));
    let (input, output) = take_over().map_err(failed)?;
    let executable = std::env::current_exe().map_err(failed)?;
    let place = executable.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    unship_host::serve::serve(Patient(input), std::fs::File::from(output), version, &place)
        .map_err(|error| CliError::failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes standard input and output for the operator alone: whatever else is written goes to standard error, and
/// a program that the agent starts can neither read questions nor write into answers.
fn take_over() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let nothing = fs_err::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok((input, output))
}

/// An input that ends when nothing comes for too long.
struct Patient(OwnedFd);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = Timespec { tv_sec: IDLE_S_MAX, tv_nsec: 0 };
        loop {
            let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut polled, Some(&limit)) {
                Ok(0) => return Ok(0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(rustix::io::read(&self.0, buffer)?),
            }
        }
    }
}
