//! `unship hold` and `unship hold release`

use std::process::ExitCode;

use unship_core::journal::Outcome;

use super::advise;
use super::failure::FailureArgs;
use super::output::WARN;
use super::rollback::confirmed;
use super::run_output::{self, plan_lines};
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit};
use crate::flow::decide::advise_for;
use crate::flow::hold::{self, Request};
use crate::flow::{self};
use crate::plain::plain;
use crate::wire::LedgerUse;

/// Contain first: answer 503 with Retry-After on every host while people decide
///
/// What serves is stopped and marked as bad. `unship rollback` and `unship deploy` end the hold when the other
/// release is proved; `unship hold release` lets the same release serve again. For example:
/// `unship hold --mode data-corruption`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    hold: Hold,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Let what is held serve again
    Release(Release),
}

#[derive(Debug, clap::Args)]
struct Hold {
    #[command(flatten)]
    site: SiteArgs,

    #[command(flatten)]
    failure: FailureArgs,

    /// More words on why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// What clients are told to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    retry_after: u32,

    /// Act on the hosts alone when the ledger cannot be read or written
    #[arg(long)]
    break_glass: bool,

    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct Release {
    #[command(flatten)]
    site: SiteArgs,

    /// Why it may serve again, for the record
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Go on without this host; may be given several times
    #[arg(long, value_name = "HOST")]
    without: Vec<String>,

    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        None => hold_all(&args.hold, output),
        Some(Verb::Release(args)) => release(args, output),
    }
}

fn hold_all(args: &Hold, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    let request =
        Request { mode: args.failure.mode(), reason: args.reason.clone(), retry_after_s: args.retry_after };
    site::block_on(async {
        let ledger = LedgerUse::of(args.break_glass);
        let world = site::world_for(&site, ledger, "hold").await?;
        let stop = site::stop_on_ctrl_c();
        let proposal = hold::plan(&world, site::run_id()?, &request).await;
        let proposal = proposal.map_err(|error| site::said(error, ledger))?;
        let plan = &proposal.prepared.plan;
        if args.dry_run && output.is_json() {
            return run_output::dry_run(&proposal.prepared, output);
        }
        output.note(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
        output.note(format!("  failure   {}", plain(&plan.reason)));
        for risk in &proposal.risks {
            output.note(format!("  {WARN}risk{WARN:#}      {risk}"));
        }
        for line in plan_lines(plan) {
            output.note(line);
        }
        output.note("");
        if args.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !args.yes && !confirmed("Hold now? Every request is turned away.")? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        let marked = proposal.prepared.marks.first().map(|(release, ..)| release.clone());
        let report = flow::run::execute(&world, proposal.prepared, &stop).await;
        let report = report.map_err(|error| site::said(error, ledger))?;
        let status = run_output::finish(&report, output)?;
        // Now that nothing does harm, what to do next. A person reads it; `unship advise --json` gives it to programs.
        if let (Some(held), Some(Outcome::Completed)) = (marked, report.outcome) {
            let said = args.failure.said(&site).await;
            let advice = advise_for(&world, &held, true, &said).await;
            output.note("");
            for line in advise::lines(&advice) {
                output.note(line);
            }
        }
        Ok(status)
    })
}

fn release(args: &Release, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let mut world = site::world(&site, LedgerUse::Required).await?;
        world.target.without = site::host_names(&args.without, &world)?;
        let stop = site::stop_on_ctrl_c();
        let prepared = hold::release(&world, site::run_id()?, &args.reason).await?;
        if args.dry_run {
            return run_output::dry_run(&prepared, output);
        }
        let plan = &prepared.plan;
        output.note(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
        for line in plan_lines(plan) {
            output.note(line);
        }
        output.note("");
        if !args.yes && !confirmed("Let it serve again now?")? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        let report = flow::run::execute(&world, prepared, &stop).await?;
        run_output::finish(&report, output)
    })
}
