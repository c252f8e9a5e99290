//! `unship resume` and `unship abort`

use std::process::ExitCode;

use super::site::{self, SiteArgs};
use super::{CliError, Output, aftercare, run_output};
use crate::flow;
use crate::wire::LedgerUse;

/// Go on with a run that was interrupted
///
/// What was begun and has no recorded outcome is looked at first and never blindly repeated.
#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    site: SiteArgs,

    /// Act on the journal and the hosts alone when the ledger cannot be read or written
    #[arg(long)]
    break_glass: bool,

    /// Go back to where the run began: apply the migrations again that it took down, put back what was salvaged,
    /// and let the release serve again that it took back. Only where migrations were taken down, or where the run
    /// halted because the target came up nowhere
    #[arg(long)]
    back: bool,
}

/// End a run that was interrupted: a deploy is taken back, a rollback stays where it is
#[derive(Debug, clap::Args)]
pub struct Abort {
    #[command(flatten)]
    site: SiteArgs,

    /// Act on the journal and the hosts alone when the ledger cannot be read or written
    #[arg(long)]
    break_glass: bool,
}

pub(super) fn resume(args: &Resume, output: &mut Output) -> Result<ExitCode, CliError> {
    let (site, ledger) = (args.site.site()?, LedgerUse::of(args.break_glass));
    site::block_on(async {
        let world = site::world_for(&site, ledger, "resume").await?;
        let way = if args.back { flow::Way::Back } else { flow::Way::On };
        let report = flow::resume(&world, way, &site::stop_on_ctrl_c()).await;
        let code = run_output::finish(&report.map_err(|error| site::said(error, ledger))?, output)?;
        aftercare::after(&site, output).await;
        Ok(code)
    })
}

pub(super) fn abort(args: &Abort, output: &mut Output) -> Result<ExitCode, CliError> {
    let (site, ledger) = (args.site.site()?, LedgerUse::of(args.break_glass));
    site::block_on(async {
        let world = site::world_for(&site, ledger, "abort").await?;
        let report = flow::abort(&world, &site::stop_on_ctrl_c()).await;
        let code = run_output::finish(&report.map_err(|error| site::said(error, ledger))?, output)?;
        aftercare::after(&site, output).await;
        Ok(code)
    })
}
