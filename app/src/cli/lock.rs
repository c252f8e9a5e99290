//! `unship lock`

use std::process::ExitCode;

use super::site::{self, SiteArgs};
use super::{CliError, Output, time_text};
use crate::flow::FlowError;
use crate::wire::LedgerUse;

/// Show who acts on the environment, or take it from them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show who acts on the environment
    Show(Show),
    /// Take the environment from whoever acts on it
    ///
    /// The run that loses it stops before its next step; `unship resume` or `unship abort` then goes on with
    /// it, and from then on the hosts refuse the one who lost it.
    Take(Take),
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Take {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let (site, take) = match &args.verb {
        Verb::Show(args) => (args.site.site()?, false),
        Verb::Take(args) => (args.site.site()?, true),
    };
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let holder = if take { world.ledger.take().await } else { world.ledger.holder().await };
        let holder = holder.map_err(FlowError::from)?;
        if output.is_json() {
            output.document(&serde_json::json!({ "holder": holder, "taken": take && holder.is_some() }))?;
            return Ok(ExitCode::SUCCESS);
        }
        match holder {
            None => output.note("nobody acts on the environment"),
            Some(holder) => {
                let taken = if take { "taken from " } else { "" };
                output.line(format!(
                    "{taken}{}: {}, run {}, since {}",
                    holder.who,
                    holder.what,
                    holder.run,
                    time_text(holder.since)
                ));
                if take {
                    output.note("go on with `unship resume`, or end it with `unship abort`");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
