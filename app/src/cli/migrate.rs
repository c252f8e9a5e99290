//! `unship migrate`

mod down;
mod open;
mod restore;
mod text;

use std::process::ExitCode;

use super::site::block_on;
use super::{CliError, Output, exit};
use crate::flow::FlowError;
use crate::flow::migrate::{self, Site};
use open::{Opened, Where};

/// Migrations by themselves: what is applied, one checked step down, what is not applied yet
///
/// Speaks the version table as the migration tool does: sqlx, golang-migrate, goose, diesel, dbmate. For example:
/// `unship migrate status`, or for a database that unship does not deploy for:
/// `unship migrate status --migrations migrations --database-url-file url`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Say of every migration whether it is applied, edited since, unknown or fenced
    Status(Status),
    /// Take the newest applied migration down: this one and no other
    ///
    /// Its down is tried on a throwaway database, what it destroys is counted, and all of it is one transaction: the
    /// version row, what is salvaged, the down, the check that the schema changed as it did when it was tried.
    Down(down::Args),
    /// Apply what is not applied yet, one migration after the other, as the tool does
    Up(Up),
    /// Compare version table, checksums and schema with what the migrations say; changes nothing
    Verify(Verify),
    Restore(restore::Restore),
}

#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    at: Where,
}

#[derive(Debug, clap::Args)]
struct Up {
    #[command(flatten)]
    at: Where,

    /// Lift the fences around what was taken down of this release first
    #[arg(long, conflicts_with = "database_url_file")]
    lift_fences: bool,

    /// Show what would be applied and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    at: Where,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::Status(args) => status(args, output),
        Verb::Down(args) => down::run(args, output),
        Verb::Up(args) => up(args, output),
        Verb::Verify(args) => verify(args, output),
        Verb::Restore(args) => restore::run(args, output),
    }
}

fn status(args: &Status, output: &mut Output) -> Result<ExitCode, CliError> {
    block_on(async {
        let opened = Opened::of(&args.at).await?;
        let status = migrate::status(opened.parts()?.database, &opened.subject).await?;
        if output.is_json() {
            output.document(&status)?;
            return Ok(ExitCode::SUCCESS);
        }
        for line in text::status(&status) {
            output.line(line);
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn verify(args: &Verify, output: &mut Output) -> Result<ExitCode, CliError> {
    block_on(async {
        let opened = Opened::of(&args.at).await?;
        let verified = migrate::verify(&opened.parts()?, &opened.subject).await?;
        if output.is_json() {
            output.document(&verified)?;
        } else {
            for line in text::verified(&verified) {
                output.line(line);
            }
        }
        Ok(ExitCode::from(if verified.wrong.is_empty() { exit::OK } else { exit::FAILED }))
    })
}

fn up(args: &Up, output: &mut Output) -> Result<ExitCode, CliError> {
    block_on(async {
        let opened = Opened::of(&args.at).await?;
        let site = match &opened.world {
            Some(world) if !args.dry_run => {
                Some(Site::take(world, opened.run.clone(), "migrate up".to_owned()).await?)
            }
            _ => None,
        };
        let raised = raise(args, &opened, output).await;
        if let Some(site) = site {
            site.give_back().await;
        }
        let raised = raised?;
        if output.is_json() {
            output.document(&serde_json::json!({
                "applied": raised.applied, "left": raised.left,
                "stopped": raised.stopped.as_ref().map(ToString::to_string),
            }))?;
        } else {
            for line in text::raised(&raised, args.dry_run) {
                output.line(line);
            }
        }
        match raised.stopped {
            None => Ok(ExitCode::SUCCESS),
            Some(error) => {
                let hint = error.hint();
                let stopped = CliError::new(exit::PARTIAL, error.to_string());
                Err(match hint {
                    Some(hint) => stopped.hint(hint),
                    None => stopped,
                })
            }
        }
    })
}

async fn raise(args: &Up, opened: &Opened, output: &mut Output) -> Result<migrate::Raised, FlowError> {
    let parts = opened.parts()?;
    if let Some(release) = opened.subject.release.as_ref().filter(|_| args.lift_fences && !args.dry_run) {
        for fence in parts.database.lift_fences(release).await? {
            output.note(format!("{} is fenced no more", fence.migration));
        }
    }
    migrate::up(&parts, &opened.subject, args.dry_run).await
}
