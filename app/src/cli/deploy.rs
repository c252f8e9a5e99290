//! `unship deploy`

use std::process::ExitCode;

use unship_core::release::Tag;

use super::run_output::{self, plan_lines};
use super::site::{self, SiteArgs};
use super::{CliError, Output, aftercare};
use crate::flow;
use crate::wire::{LedgerUse, Upkeep};

/// Bring a release out: build the tag, put it on every host, flip host by host with proof
///
/// A failure takes back what was done, host by host. For example: `unship deploy v1.4.0`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The git tag of the release
    tag: String,

    #[command(flatten)]
    site: SiteArgs,

    /// The release that serves now is bad, and this is why: it is never gone back to
    #[arg(long, value_name = "REASON")]
    supersedes_bad: Option<String>,

    /// Go on without this host; may be given several times
    #[arg(long, value_name = "HOST")]
    without: Vec<String>,

    /// Build and show the plan, and change nothing on any host
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let tag: Tag = args.tag.parse().map_err(|error: unship_core::release::NameError| {
        CliError::usage(error.to_string()).hint("`git tag` lists the tags")
    })?;
    let mut site = args.site.site()?;
    // Whatever comes later, also from other machines, finds the agent there.
    site.upkeep = if args.dry_run { Upkeep::Never } else { Upkeep::Renew };
    site::block_on(async {
        let mut world = site::world(&site, LedgerUse::Required).await?;
        world.target.without = site::host_names(&args.without, &world)?;
        let stop = site::stop_on_ctrl_c();
        let prepared =
            flow::deploy::plan(&world, site::run_id()?, &tag, args.supersedes_bad.as_deref()).await?;
        if args.dry_run {
            return run_output::dry_run(&prepared, output);
        }
        let plan = &prepared.plan;
        output.note(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
        for line in plan_lines(plan) {
            output.note(line);
        }
        output.note("");
        let report = flow::run::execute(&world, prepared, &stop).await?;
        let code = run_output::finish(&report, output)?;
        aftercare::after(&site, output).await;
        Ok(code)
    })
}
