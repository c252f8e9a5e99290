//! `unship flags`

use std::process::ExitCode;

use unship_core::release::RunId;

use super::site::{self, SiteArgs};
use super::{CliError, Output, beside, run_output, time_text};
use crate::flow::{self, flags};
use crate::plain::plain;
use crate::wire::LedgerUse;

/// Show flags, turn them off, set back what a run turned off
///
/// A small bug behind a flag is mended without a rollback: `unship flags off topics_ui --reason "lists twice"`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the flags of the environment
    List(List),
    /// Turn flags off, read them back, and keep what they were in the record
    Off(Off),
    /// Set the flags back that a run turned off
    Restore(Restore),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Off {
    /// The flags
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Why; kept in the record
    #[arg(long, value_name = "TEXT", default_value = "turned off by hand")]
    reason: String,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Restore {
    /// The run that turned them off; `unship log` lists the runs
    run: String,
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::List(args) => list(args, output),
        Verb::Off(args) => off(args, output),
        Verb::Restore(args) => restore(args, output),
    }
}

fn list(args: &List, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let found = flags::list(&world).await?;
        if output.is_json() {
            output.document(&found)?;
            return Ok(ExitCode::SUCCESS);
        }
        if found.is_empty() {
            output.note("there are no flags");
        }
        for flag in found {
            let on = if flag.value.on { "on " } else { "off" };
            let when = flag.changed_at.map(|at| format!(", {}", time_text(at))).unwrap_or_default();
            let who = flag.changed_by.map(|who| format!(", by {}", plain(&who))).unwrap_or_default();
            output.line(format!("{on}  {}{when}{who}", plain(flag.name.as_str())));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn off(args: &Off, output: &mut Output) -> Result<ExitCode, CliError> {
    let (names, site) = (beside::names(&args.names)?, args.site.site()?);
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let stop = site::stop_on_ctrl_c();
        let prepared = flags::turn_off(&world, site::run_id()?, &names, &args.reason).await?;
        let run = prepared.run.clone();
        let report = flow::run::execute(&world, prepared, &stop).await?;
        let status = run_output::finish(&report, output)?;
        output.note(format!("set back with `unship flags restore {run}`"));
        Ok(status)
    })
}

fn restore(args: &Restore, output: &mut Output) -> Result<ExitCode, CliError> {
    let of: RunId = args.run.parse().map_err(|error: unship_core::release::NameError| {
        CliError::usage(error.to_string()).hint("`unship log` lists the runs")
    })?;
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let stop = site::stop_on_ctrl_c();
        let prepared = flags::restore(&world, site::run_id()?, &of).await?;
        let report = flow::run::execute(&world, prepared, &stop).await?;
        run_output::finish(&report, output)
    })
}
