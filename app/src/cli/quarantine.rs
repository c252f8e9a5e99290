//! `unship quarantine`

use std::process::ExitCode;

use unship_core::release::Tag;

use super::site::{self, SiteArgs};
use super::{CliError, Output, exit, time_text};
use crate::flow::quarantine;
use crate::wire::LedgerUse;

/// Show or lift the quarantine of bad releases
///
/// A deployer of your own can ask before it ships: `unship quarantine check TAG` exits 6 for a bad release.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the bad releases
    List(List),
    /// Exit 6 if the release is bad, 0 if it is not
    Check(Check),
    /// Say that a release is not bad after all; it is unproven again
    Lift(Lift),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The git tag of the release
    tag: String,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Lift {
    /// The git tag of the release
    tag: String,
    /// Why it is not bad after all; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::List(args) => list(args, output),
        Verb::Check(args) => check(args, output),
        Verb::Lift(args) => lift(args, output),
    }
}

fn tag(text: &str) -> Result<Tag, CliError> {
    text.parse().map_err(|error: unship_core::release::NameError| CliError::usage(error.to_string()))
}

fn list(args: &List, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let bad = quarantine::bad(&site::world(&site, LedgerUse::Required).await?, &site::run_id()?).await?;
        if output.is_json() {
            output.document(&bad)?;
            return Ok(ExitCode::SUCCESS);
        }
        if bad.is_empty() {
            output.note("no release is in quarantine");
        }
        for bad in bad {
            let since = bad.since.map_or_else(|| "on the hosts alone".into(), time_text);
            output.line(format!("{}  {}, {since}", bad.release, bad.why));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn check(args: &Check, output: &mut Output) -> Result<ExitCode, CliError> {
    let (tag, site) = (tag(&args.tag)?, args.site.site()?);
    site::block_on(async {
        let bad = quarantine::bad(&site::world(&site, LedgerUse::Required).await?, &site::run_id()?).await?;
        match bad.iter().find(|bad| bad.release.tag == tag) {
            Some(bad) => {
                Err(CliError::new(exit::QUARANTINED, format!("{tag} is in quarantine: {}", bad.why)))
            }
            None if output.is_json() => {
                output.document(&serde_json::json!({ "tag": tag, "quarantined": false }))?;
                Ok(ExitCode::SUCCESS)
            }
            None => Ok(ExitCode::SUCCESS),
        }
    })
}

fn lift(args: &Lift, output: &mut Output) -> Result<ExitCode, CliError> {
    let (tag, site) = (tag(&args.tag)?, args.site.site()?);
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let release = quarantine::lift(&world, site::run_id()?, &tag, &args.reason).await?;
        output.note(format!("{release} is unproven again: {}", args.reason));
        Ok(ExitCode::SUCCESS)
    })
}
