//! `unship report`

mod html;
mod page;

use std::process::ExitCode;

use unship_core::aftercare::{self, Notice, Suspects};
use unship_core::journal::fold;
use unship_core::release::{NameError, RunId};

use super::aftercare::to_whom;
use super::site::{self, SiteArgs};
use super::{CliError, Output, log, time_text};
use crate::ports::Delivery;
use crate::wire::{LedgerUse, Site};
use page::Page;

/// Write down what a run did, for the post-mortem: one HTML page, or Markdown
///
/// The page needs nothing but itself: it can be mailed, printed, and read on a phone.
/// For example: `unship report --html incident.html`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,

    /// The run, as `unship log` names it; the newest one unless given
    run: Option<String>,

    /// Write a page to this file
    #[arg(long, value_name = "FILE", conflicts_with = "markdown")]
    html: Option<std::path::PathBuf>,

    /// Print Markdown; this is what is done without `--html` too
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let named = args.run.as_deref().map(str::parse::<RunId>).transpose();
    let named = named.map_err(|error: NameError| CliError::usage(error.to_string()))?;
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let run = match named {
            Some(run) => run,
            None => newest(&world).await?,
        };
        let entries = log::entries(&world, &run).await?;
        let state = fold(&entries).map_err(|error| CliError::failed(format!("run {run}: {error}")))?;
        let notice = Notice::of_run(&state, &entries).ok_or_else(|| {
            CliError::failed(format!("run {run} is not finished"))
                .hint("go on with `unship resume`, or end it with `unship abort`")
        })?;
        let deliveries = deliveries(&site, &run);
        if let Some(file) = &args.html {
            let page = Page { notice: &notice, state: &state, entries: &entries, deliveries: &deliveries };
            fs_err::write(file, html::page(&page)).map_err(|error| CliError::failed(error.to_string()))?;
            output.note(format!("written to {}", file.display()));
            return Ok(ExitCode::SUCCESS);
        }
        if output.is_json() {
            output.document(&serde_json::json!({ "notice": notice, "deliveries": deliveries }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let suspects = match &notice.from {
            Some(_) => site.suspects(&notice).await,
            None => Suspects::No { why: "no release was taken back".into() },
        };
        output.line(format!("# {} {}: {}", notice.service, notice.environment, state.plan.title()));
        output.line("");
        output.line(aftercare::markdown(&notice, &suspects, time_text));
        if !deliveries.is_empty() {
            output.line("\n### Told\n");
            for delivery in &deliveries {
                output.line(format!("- {}: {}", to_whom(delivery), delivery.state.words()));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn newest(world: &crate::ports::World) -> Result<RunId, CliError> {
    let runs =
        world.ledger.runs(1).await.map_err(|error| CliError::from(crate::flow::FlowError::from(error)))?;
    runs.into_iter().next().ok_or_else(|| CliError::failed("nothing was run here yet"))
}

fn deliveries(site: &Site, run: &RunId) -> Vec<Delivery> {
    let all = site.aftercare().and_then(|aftercare| aftercare.list().ok()).unwrap_or_default();
    all.into_iter().filter(|delivery| delivery.run == *run).collect()
}
