//! `unship log`, `unship show`, `unship ledger`

use std::process::ExitCode;

use unship_core::explain::{self, Tone};
use unship_core::journal::{Entry, Event, Outcome, State, fold};
use unship_core::release::{NameError, RunId};

use super::output::{BAD, DIM, GOOD, STRONG, WARN};
use super::site::{self, SiteArgs};
use super::{CliError, Output, exit, time_text};
use crate::flow::RunReport;
use crate::plain::plain;
use crate::ports::World;
use crate::wire::LedgerUse;

/// List the runs of an environment, newest first
#[derive(Debug, clap::Args)]
pub struct Log {
    #[command(flatten)]
    site: SiteArgs,

    /// How many
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    count: u32,
}

/// Show one run: every event with its time
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The run, as `unship log` names it
    run: String,

    #[command(flatten)]
    site: SiteArgs,
}

/// Look after the ledger
#[derive(Debug, clap::Args)]
pub struct Ledger {
    #[command(subcommand)]
    verb: LedgerVerb,
}

#[derive(Debug, clap::Subcommand)]
enum LedgerVerb {
    /// Read everything and say what is damaged
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn log(args: &Log, output: &mut Output) -> Result<ExitCode, CliError> {
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let mut reports = Vec::new();
        // A run that is not finished is not in the ledger yet.
        let unfinished = crate::flow::unfinished(&world).await?;
        reports.extend(unfinished.map(|(entries, state)| report(&state, &entries)));
        for run in world.ledger.runs(args.count).await.map_err(failed)? {
            let entries = world.ledger.entries(&run).await.map_err(failed)?;
            let state = fold(&entries).map_err(|error| CliError::failed(format!("run {run}: {error}")))?;
            reports.push(report(&state, &entries));
        }
        if output.is_json() {
            output.document(&reports)?;
            return Ok(ExitCode::SUCCESS);
        }
        if reports.is_empty() {
            output.note("nothing was run here yet");
        }
        for report in &reports {
            output.line(line(report));
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn failed(error: crate::ports::LedgerError) -> CliError {
    crate::flow::FlowError::from(error).into()
}

fn report(state: &State, entries: &[Entry]) -> RunReport {
    RunReport::of(state, entries.last().map_or(state.holder.since, |entry| entry.at))
}

fn line(report: &RunReport) -> String {
    let (style, outcome) = (outcome_style(report.outcome), explain::outcome(report.outcome));
    let from = report.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
    let (verb, at) = (report.kind.verb(), time_text(report.started_at));
    let what = format!("{verb} {from}{}", report.to);
    format!("{at}  {what:<32} {style}{outcome:<14}{style:#} {DIM}{}{DIM:#}", report.run)
}

fn outcome_style(outcome: Option<Outcome>) -> anstyle::Style {
    match outcome {
        Some(Outcome::Completed) => GOOD,
        Some(Outcome::Partial | Outcome::WentBackPartly) => BAD,
        Some(Outcome::WentBack) | None => WARN,
    }
}

pub(super) fn show(args: &Show, output: &mut Output) -> Result<ExitCode, CliError> {
    let run: RunId = args.run.parse().map_err(|error: NameError| CliError::usage(error.to_string()))?;
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let entries = entries(&world, &run).await?;
        if output.is_json() {
            output.document(&entries)?;
            return Ok(ExitCode::SUCCESS);
        }
        let state = fold(&entries).map_err(|error| CliError::failed(format!("run {run}: {error}")))?;
        let holder = &state.holder;
        output.line(format!("{STRONG}{}{STRONG:#}  by {}, {}", state.plan.title(), holder.who, run));
        for entry in &entries {
            output.line(format!("{}  {}", time_text(entry.at), event_text(&entry.event, &state)));
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) async fn entries(world: &World, run: &RunId) -> Result<Vec<Entry>, CliError> {
    let entries = world.ledger.entries(run).await.map_err(failed)?;
    if !entries.is_empty() {
        return Ok(entries);
    }
    match crate::flow::unfinished(world).await? {
        Some((entries, state)) if state.holder.run == *run => Ok(entries),
        _ => Err(CliError::failed(format!("there is no run {run}")).hint("`unship log` lists the runs")),
    }
}

fn event_text(event: &Event, state: &State) -> String {
    let said = explain::event(event, state);
    let style = match said.tone {
        Tone::Plain => anstyle::Style::new(),
        Tone::Good => GOOD,
        Tone::Bad => BAD,
        Tone::Warn => WARN,
    };
    format!("{style}{}{style:#}{}", plain(&said.head), plain(&said.rest))
}

pub(super) fn ledger(args: &Ledger, output: &mut Output) -> Result<ExitCode, CliError> {
    let LedgerVerb::Verify(args) = &args.verb;
    let site = args.site.site()?;
    site::block_on(async {
        let world = site::world(&site, LedgerUse::Required).await?;
        let findings = world.ledger.verify().await.map_err(failed)?;
        if output.is_json() {
            output.document(&serde_json::json!({ "findings": findings }))?;
        }
        if findings.is_empty() {
            output.note("the ledger is whole");
        }
        for finding in &findings {
            output.note(format!("{BAD}damaged{BAD:#}  {finding}"));
        }
        Ok(ExitCode::from(if findings.is_empty() { exit::OK } else { exit::FAILED }))
    })
}
