//! `unship adopt`

use std::process::ExitCode;

use unship_core::release::Tag;

use super::run_output::{self, plan_lines};
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit};
use crate::flow;
use crate::plain::plain;
use crate::wire::LedgerUse;

/// Take over an install that is there and serves, without touching it
///
/// Looks at what the service's systemd units run on every host, stores it as the release of the tag, and makes it
/// the current one, so that it can be gone back to. For example: `unship adopt --tag v1.0.0`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tag of the release that serves; it is held against what the service says of itself
    #[arg(long, value_name = "TAG")]
    tag: String,

    #[command(flatten)]
    site: SiteArgs,

    /// Show what would be taken over, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let tag: Tag = args.tag.parse().map_err(|error: unship_core::release::NameError| {
        CliError::usage(error.to_string()).hint("`git tag` lists the tags")
    })?;
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let stop = site::stop_on_ctrl_c();
        let takeover = flow::adopt::plan(&world, site::run_id()?, &tag).await?;
        if args.dry_run && output.is_json() {
            return run_output::dry_run(&takeover.prepared, output);
        }
        let plan = &takeover.prepared.plan;
        output.note(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
        for line in takeover.seen.iter().chain(&takeover.notes) {
            output.note(format!("  {}", plain(line)));
        }
        for line in plan_lines(plan) {
            output.note(line);
        }
        output.note("");
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !args.yes && !super::rollback::confirmed("Take it over now?")? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        let report = flow::run::execute(&world, takeover.prepared, &stop).await?;
        run_output::finish(&report, output)
    })
}
