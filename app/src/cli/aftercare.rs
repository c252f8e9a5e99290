//! `unship aftercare`, and the delivery at the end of other commands.

use std::process::ExitCode;
use std::sync::Arc;

use unship_core::aftercare::Kind;

use super::output::{BAD, DIM, GOOD, WARN};
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit, time_text};
use crate::plain::plain;
use crate::ports::{Aftercare, CheckFailure, Delivery, DeliveryState};
use crate::wire::{LedgerUse, Site};

/// How long `run` and `retry` go on, in milliseconds: long enough for a slow answer and for the first two waits.
const RUN_MS_MAX: u64 = 15_000;

/// Show and deliver the notes and issues that are owed after rollbacks
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List every delivery and what became of it
    List(List),
    /// Deliver what is due, for 15 seconds at most
    Run(Run),
    /// Make deliveries due now, also those that were given up, and deliver them
    Retry(Retry),
    /// Give a delivery up for good
    Drop(Drop),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    site: SiteArgs,

    /// Only what is still owed
    #[arg(long)]
    owed: bool,
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Retry {
    #[command(flatten)]
    site: SiteArgs,

    /// The delivery, as `list` names it
    #[arg(required_unless_present = "all", value_name = "DELIVERY")]
    id: Option<String>,

    /// Everything that is owed
    #[arg(long, conflicts_with = "id")]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct Drop {
    #[command(flatten)]
    site: SiteArgs,

    /// The delivery, as `list` names it
    #[arg(value_name = "DELIVERY")]
    id: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::List(args) => list(args, output),
        Verb::Run(args) => deliver(args, output),
        Verb::Retry(args) => retry(args, output),
        Verb::Drop(args) => drop_it(args, output),
    }
}

fn outbox(site: &Site) -> Result<Arc<dyn Aftercare>, CliError> {
    let nobody = || {
        CliError::usage("nobody is told of rollbacks: `unship.toml` has no `[aftercare]`")
            .hint("`example.toml` shows every courier")
    };
    site.aftercare().ok_or_else(nobody)
}

fn list(args: &List, output: &mut Output) -> Result<ExitCode, CliError> {
    let mut deliveries = outbox(&args.site.site()?)?.list()?;
    deliveries.retain(|delivery| !args.owed || delivery.state.is_owed());
    say(&deliveries, output)?;
    Ok(ExitCode::SUCCESS)
}

fn deliver(args: &Run, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        // What an ended run could not put into the outbox is in its journal.
        let world = site::world(&site, LedgerUse::Required).await?;
        crate::flow::unfinished(&world).await?;
        let outbox = outbox(&site)?;
        let tried = outbox.deliver(RUN_MS_MAX).await;
        say(&tried, output)?;
        Ok(owed_code(outbox.as_ref()))
    })
}

fn retry(args: &Retry, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let outbox = outbox(&site)?;
        let ids: Vec<String> = match &args.id {
            Some(id) => vec![id.clone()],
            None => {
                let owed = outbox.list()?.into_iter().filter(|delivery| delivery.state.is_owed());
                owed.map(|delivery| delivery.id).collect()
            }
        };
        for id in &ids {
            outbox.retry(id)?;
        }
        let tried = outbox.deliver(RUN_MS_MAX).await;
        say(&tried, output)?;
        Ok(owed_code(outbox.as_ref()))
    })
}

fn drop_it(args: &Drop, output: &mut Output) -> Result<ExitCode, CliError> {
    let dropped = outbox(&args.site.site()?)?.drop_it(&args.id, &args.reason)?;
    say(std::slice::from_ref(&dropped), output)?;
    Ok(ExitCode::SUCCESS)
}

/// 0 when nothing is owed any more.
fn owed_code(outbox: &dyn Aftercare) -> ExitCode {
    let owed = outbox.list().is_ok_and(|all| all.iter().any(|delivery| delivery.state.is_owed()));
    ExitCode::from(if owed { exit::PARTIAL } else { exit::OK })
}

fn say(deliveries: &[Delivery], output: &mut Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.document(&deliveries);
    }
    if deliveries.is_empty() {
        output.note("nothing is owed");
    }
    for delivery in deliveries {
        output.line(line(delivery));
    }
    Ok(())
}

/// One delivery on one line.
pub(super) fn line(delivery: &Delivery) -> String {
    let style = match delivery.state {
        DeliveryState::Delivered => GOOD,
        DeliveryState::Waiting | DeliveryState::InDoubt => WARN,
        DeliveryState::GaveUp => BAD,
        DeliveryState::Dropped => DIM,
    };
    let mut line = format!("{style}{:<9}{style:#}  {}", delivery.state.words(), delivery.id);
    if let Some(place) = &delivery.place {
        line.push_str(&format!("  {}", plain(place)));
    }
    if let Some(error) = &delivery.error {
        line.push_str(&format!("  {}", plain(error)));
    }
    if delivery.repeated {
        line.push_str("  (may have arrived twice)");
    }
    if let Some(next) = delivery.next_at {
        line.push_str(&format!("  {DIM}next try {}{DIM:#}", time_text(next)));
    }
    line
}

/// The courier, and what it brings where that is not the note of the rollback itself.
pub(super) fn to_whom(delivery: &Delivery) -> String {
    match delivery.kind {
        Kind::Rollback => delivery.courier.clone(),
        Kind::Untested => format!("{} (untested code serves)", delivery.courier),
    }
}

/// Delivers what is due after a command has said its own, within the configured time. It changes no exit status:
/// what could not be brought is said, and is owed.
pub(super) async fn after(site: &Site, output: &mut Output) {
    let Some(outbox) = site.aftercare() else { return };
    let tried = outbox.deliver(site.config.aftercare.budget.0.0).await;
    for delivery in &tried {
        let owed = delivery.state.is_owed();
        let error = delivery.error.as_deref().map(|error| format!(": {}", plain(error))).unwrap_or_default();
        if owed {
            output.note(format!("{WARN}owed{WARN:#}  {}{error}; `unship aftercare list`", to_whom(delivery)));
        } else {
            let place =
                delivery.place.as_deref().map(|place| format!(": {}", plain(place))).unwrap_or_default();
            output.note(format!("{GOOD}told{GOOD:#}  {}{place}", to_whom(delivery)));
        }
    }
}

impl From<CheckFailure> for CliError {
    fn from(failure: CheckFailure) -> CliError {
        failure.hint.into_iter().fold(CliError::failed(failure.message), CliError::hint)
    }
}
