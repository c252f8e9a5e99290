//! `unship salvage`

use std::path::PathBuf;
use std::process::ExitCode;

use unship_core::down::LossKind;
use unship_core::release::NameError;

use super::output::{DIM, STRONG, WARN};
use super::rollback::confirmed;
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit, time_text};
use crate::flow::salvage::{self, Which};
use crate::plain::plain;
use crate::ports::Salvaged;
use crate::wire::LedgerUse;

/// Look after what steps down destroyed and kept
///
/// Everything that a `migrate down` or a rollback with option 3 destroys is kept in the database itself, in the schema
/// `_unship`. `unship migrate restore RUN` puts it back after the migration was applied again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what is kept, newest first
    List(List),
    /// Write what a run kept into files, one a table or column, each row as JSON in a line
    Export(Export),
    /// Drop what a run kept, for good
    Drop(Drop),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    site: SiteArgs,
}

/// Which salvage.
#[derive(Debug, clap::Args)]
pub(super) struct WhichArgs {
    /// The run, as `unship salvage list` names it
    run: String,

    /// One step of the run alone
    #[arg(long, value_name = "NUMBER")]
    step: Option<usize>,
}

impl WhichArgs {
    pub(super) fn which(&self) -> Result<Which, CliError> {
        let run = self.run.parse().map_err(|error: NameError| {
            CliError::usage(error.to_string()).hint("`unship salvage list` lists the runs")
        })?;
        Ok(Which { run, step: self.step })
    }
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    which: WhichArgs,

    /// A folder that is not there yet; with several steps, one in it for each
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,

    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, clap::Args)]
struct Drop {
    #[command(flatten)]
    which: WhichArgs,

    #[command(flatten)]
    site: SiteArgs,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    match &args.verb {
        Verb::List(args) => list(args, output),
        Verb::Export(args) => export(args, output),
        Verb::Drop(args) => drop_for_good(args, output),
    }
}

fn list(args: &List, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::BreakGlass).await?;
        let all = salvage::list(&world).await?;
        if output.is_json() {
            output.document(&all)?;
            return Ok(ExitCode::SUCCESS);
        }
        if all.is_empty() {
            output.note("nothing is salvaged here");
        }
        for salvaged in &all {
            for line in lines(salvaged) {
                output.line(line);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn lines(salvaged: &Salvaged) -> Vec<String> {
    let of = salvaged.release.as_ref().map(|release| format!(" of {release}")).unwrap_or_default();
    let mut lines = vec![format!(
        "{STRONG}{}{STRONG:#}{of}  {}  {DIM}run {} step {}{DIM:#}",
        plain(&salvaged.migration),
        time_text(salvaged.at),
        salvaged.run,
        salvaged.step
    )];
    let whats: Vec<String> = salvaged.stores.iter().map(|store| plain(&what(&store.kind))).collect();
    let width = whats.iter().map(|what| what.chars().count()).max().unwrap_or(0).min(48);
    for (store, what) in salvaged.stores.iter().zip(whats) {
        let (rows, size) = (count(store.rows, "row"), bytes(store.bytes));
        lines.push(format!(
            "  {what:width$}  {rows:>14}  {size:>9}  {DIM}{}{DIM:#}",
            plain(&store.place.to_string())
        ));
    }
    lines.push(match salvaged.restored {
        Some(at) => format!("  restored {}", time_text(at)),
        None => format!(
            "  {WARN}not restored{WARN:#}: `unship migrate restore {}` after the next up",
            salvaged.run
        ),
    });
    lines
}

/// What a store is of, for a person.
fn what(kind: &LossKind) -> String {
    match kind {
        LossKind::Table { table } => format!("table {table}"),
        LossKind::Column { table, column, .. } => format!("column {table}.{column}"),
        LossKind::Rewritten { table, column, from, .. } => format!("column {table}.{column} as {from}"),
        LossKind::Rows { table } => format!("rows of {table} that the down changed"),
        LossKind::Sequence { sequence } => format!("last number of sequence {sequence}"),
    }
}

/// `1 row`, `12,345 rows`.
pub(super) fn count(number: u64, what: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {what}{}", if number == 1 { "" } else { "s" })
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes / 1_048_576),
        _ => format!("{} GiB", bytes / 1_073_741_824),
    }
}

fn export(args: &Export, output: &mut Output) -> Result<ExitCode, CliError> {
    let (which, site) = (args.which.which()?, args.site.site()?);
    site::block_on(async {
        let world = site::world(&site, LedgerUse::BreakGlass).await?;
        let found = salvage::find(&world, &which).await?;
        let mut files = Vec::new();
        if found.len() > 1 {
            fs_err::create_dir(&args.to).map_err(|error| {
                CliError::failed(error.to_string()).hint("name a folder that is not there yet")
            })?;
        }
        for salvaged in &found {
            let folder = if found.len() > 1 {
                args.to.join(format!("step-{}", salvaged.step))
            } else {
                args.to.clone()
            };
            files.extend(salvage::export(&world, salvaged, &folder).await?);
        }
        if output.is_json() {
            output.document(&serde_json::json!({ "files": files }))?;
            return Ok(ExitCode::SUCCESS);
        }
        for file in files {
            output.line(file.display().to_string());
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn drop_for_good(args: &Drop, output: &mut Output) -> Result<ExitCode, CliError> {
    let (which, site) = (args.which.which()?, args.site.site()?);
    site::block_on(async {
        let world = site::world(&site, LedgerUse::BreakGlass).await?;
        let found = salvage::find(&world, &which).await?;
        for line in found.iter().flat_map(lines) {
            output.note(line);
        }
        if !args.yes && !confirmed("Drop it for good?")? {
            return Err(CliError::new(exit::REFUSED, "nothing was changed: the answer was not `y`"));
        }
        for salvaged in &found {
            salvage::drop(&world, salvaged).await?;
        }
        if output.is_json() {
            output.document(&serde_json::json!({ "dropped": found }))?;
        } else {
            output.note(format!("dropped what was salvaged of run {}", which.run));
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests;
