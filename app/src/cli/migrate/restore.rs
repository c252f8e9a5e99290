//! `unship migrate restore`

use std::process::ExitCode;

use clap::ValueEnum;
use unship_core::release::RunId;

use crate::cli::output::{BAD, GOOD};
use crate::cli::salvage::{WhichArgs, count};
use crate::cli::site::{self, SiteArgs};
use crate::cli::{CliError, Output, exit};
use crate::flow::salvage;
use crate::plain::plain;
use crate::ports::{OnConflict, Restored};
use crate::wire::LedgerUse;

/// Put back what a run's steps down destroyed, after their migrations were applied again
///
/// A row that somebody wrote since is left as it is and named; its saved values stay salvaged.
#[derive(Debug, clap::Args)]
pub struct Restore {
    #[command(flatten)]
    which: WhichArgs,

    /// Try all of it, say what comes of it, and take it back
    #[arg(long)]
    dry_run: bool,

    /// What wins where a row was written since
    #[arg(long, value_enum, default_value_t = Wins::Keep, value_name = "WHO")]
    conflicts: Wins,

    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wins {
    /// What is in the database
    Keep,
    /// What was saved, wherever a constraint allows it
    Saved,
}

pub(super) fn run(args: &Restore, output: &mut Output) -> Result<ExitCode, CliError> {
    let (which, site) = (args.which.which()?, args.site.site()?);
    let conflicts = match args.conflicts {
        Wins::Keep => OnConflict::Keep,
        Wins::Saved => OnConflict::Saved,
    };
    site::block_on(async {
        let world = site::world(&site, LedgerUse::BreakGlass).await?;
        // The oldest migration first: that is what was applied again first. It was taken down last.
        let found = salvage::find(&world, &which).await?;
        let mut all = Vec::new();
        for salvaged in &found {
            let restored = salvage::restore(&world, salvaged, conflicts, args.dry_run).await?;
            if !output.is_json() {
                for line in lines(&salvaged.migration, &restored, args.dry_run) {
                    output.line(line);
                }
            }
            all.push(serde_json::json!({
                "migration": salvaged.migration, "step": salvaged.step, "dry_run": args.dry_run,
                "restored_before": salvaged.restored, "result": restored,
            }));
            if restored.conflicts_count > 0 && conflicts == OnConflict::Keep && !output.is_json() {
                output.note(goes_on(&which.run));
            }
        }
        if output.is_json() {
            output.document(&all)?;
        }
        let left = all.iter().any(|one| one["result"]["conflicts_count"] != 0);
        Ok(ExitCode::from(if left { exit::PARTIAL } else { exit::OK }))
    })
}

fn goes_on(run: &RunId) -> String {
    format!(
        "what was saved of these rows is still salvaged; to let it win: `unship migrate restore {run} --conflicts saved`"
    )
}

fn lines(migration: &str, restored: &Restored, dry_run: bool) -> Vec<String> {
    let word = if dry_run { "would restore" } else { "restored" };
    let style = if restored.conflicts_count == 0 { GOOD } else { BAD };
    let mut lines = vec![format!(
        "{word} {}: {}, {} as saved already, {style}{}{style:#}",
        plain(migration),
        count(restored.rows, "row"),
        restored.same,
        count(restored.conflicts_count, "conflict")
    )];
    for conflict in &restored.conflicts {
        lines.push(format!(
            "  {}  {}  {}",
            plain(&conflict.table.to_string()),
            plain(&conflict.key),
            plain(&conflict.why)
        ));
    }
    let more = restored.conflicts_count.saturating_sub(restored.conflicts.len() as u64);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}
