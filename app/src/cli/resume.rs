//! `unship resume` and `unship abort`

use std::process::ExitCode;

use super::site::{self, SiteArgs};
use super::{CliError, Output, run_output};
use crate::flow;
use crate::wire::LedgerUse;

/// Go on with a run that was interrupted
///
/// What was begun and has no recorded outcome is looked at first and never blindly repeated.
#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    site: SiteArgs,
}

/// End a run that was interrupted: a deploy is taken back, a rollback stays where it is
#[derive(Debug, clap::Args)]
pub struct Abort {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn resume(args: &Resume, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let report = flow::resume(&world, &site::stop_on_ctrl_c()).await?;
        run_output::finish(&report, output)
    })
}

pub(super) fn abort(args: &Abort, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let report = flow::abort(&world, &site::stop_on_ctrl_c()).await?;
        run_output::finish(&report, output)
    })
}
