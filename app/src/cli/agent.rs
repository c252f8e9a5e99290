//! `unship agent`

use std::process::ExitCode;
use std::sync::Arc;

use super::progress::TerminalProgress;
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit};
use crate::ports::Progress;
use crate::wire::{Placed, agent_script};

/// Put unship's agent on the hosts, which a deploy does by itself
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Put this unship on every host of the environment as the agent
    ///
    /// Needed before a rollback only when this unship speaks another protocol than the agents that the last
    /// deploy put there.
    Install(Install),
    /// Print the program that puts agents on a host
    ///
    /// For hosts on which sudo allows nothing else: an administrator puts it at /usr/local/lib/unship/place.
    /// docs/privileges.md says how.
    Script(Script),
}

#[derive(Debug, clap::Args)]
struct Install {
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Script {}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::Install(args) => install(args, output),
        Verb::Script(_) => {
            output.line(format!("#!/bin/sh\n{}", agent_script().trim_end()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn install(args: &Install, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let progress: Arc<dyn Progress> = Arc::new(TerminalProgress::default());
        let put = site.put_agents(&progress).await;
        let failed = put.iter().filter(|(_, placed)| placed.is_err()).count();
        if output.is_json() {
            let hosts: Vec<_> = put
                .iter()
                .map(|(host, placed)| match placed {
                    Ok(Placed::Sent { bytes, took_ms }) => {
                        serde_json::json!({ "host": host, "placed": "sent", "bytes": bytes, "took_ms": took_ms })
                    }
                    Ok(Placed::Present) => serde_json::json!({ "host": host, "placed": "present" }),
                    Err(error) => {
                        serde_json::json!({ "host": host, "error": error.to_string(), "hint": error.hint })
                    }
                })
                .collect();
            output.document(&serde_json::json!({ "hosts": hosts }))?;
        } else if put.is_empty() {
            output.note("this machine needs no agent");
        }
        for (host, placed) in &put {
            match placed {
                // Told when it happened.
                Ok(Placed::Sent { .. }) => {}
                Ok(Placed::Present) => output.note(format!("{host}: the agent is there")),
                Err(error) => output.error(&CliError::from(error.clone())),
            }
        }
        Ok(ExitCode::from(match failed {
            0 => exit::OK,
            all if all == put.len() => exit::FAILED,
            _ => exit::PARTIAL,
        }))
    })
}
