//! `unship drill`

mod chart;
mod render;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::progress::TerminalProgress;
use super::site;
use super::{CliError, Output, exit};
use crate::config::{Config, Drill, ScenarioTable};
use crate::flow::drill::{self as flow, DrillError, DrillReport, Way};
use crate::load::LoadError;
use crate::wire::remember_rehearsal;
use crate::wire::sandbox::{Sandbox, SandboxError, scenario};

/// Rehearse a rollback for real, under load, in a world of its own
///
/// Deploys the good release of a scenario, puts load on it, deploys the bad one, waits until the failure
/// shows, goes the scenario's way out (back, a flag off, a hotfix, or back with the migrations), and says what it
/// cost. Status 0 only if everything that must hold held.
/// For example: `unship drill --scenario panic-loop`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; looked for in this folder and above it unless given
    #[arg(long, value_name = "FILE", env = "UNSHIP_CONFIG")]
    config: Option<PathBuf>,

    /// The scenario; the first in the configuration unless given
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,

    /// Show the scenarios
    #[arg(long, conflicts_with_all = ["scenario", "keep", "dry_run"])]
    list: bool,

    /// Keep everything that the drill makes in this new folder, to look at afterwards
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,

    /// Show what would be done and start nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let file = site::config_file(args.config.as_deref())?;
    let drill = Config::read(&file)?.drill.ok_or_else(|| SandboxError::NoDrill { file: file.clone() })?;
    if args.list {
        return list(&drill, output);
    }
    let Some(table) = drill.scenarios.find(args.scenario.as_deref()) else {
        let known: Vec<&str> = drill.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        let name = args.scenario.as_deref().unwrap_or_default();
        return Err(CliError::usage(format!("there is no scenario `{name}`"))
            .hint(format!("known: {}", known.join(", "))));
    };
    if args.dry_run {
        return dry_run(table, &drill, output);
    }
    let service = Config::read(&file)?.service.name;
    let report = site::block_on(rehearse(&file, args.keep.as_deref(), table, &drill, output))?;
    // Only option 1 is what a decision weighs a hotfix against.
    if report.all_held() && report.option == Some(1) {
        remember_rehearsal(service.as_str(), report.ceremony_ms);
    }
    if output.is_json() {
        output.document(&report)?;
    } else {
        for line in render::report(&report, render::width()) {
            output.line(line);
        }
    }
    Ok(ExitCode::from(if report.all_held() { exit::OK } else { exit::FAILED }))
}

/// Sets the stage, rehearses, and takes the stage down whatever happened.
async fn rehearse(
    file: &Path,
    keep: Option<&Path>,
    table: &ScenarioTable,
    drill: &Drill,
    output: &mut Output,
) -> Result<DrillReport, CliError> {
    let stop = stop_at_once();
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot tell where unship itself is: {error}")))?;
    let open = Sandbox::open(file, keep, &program);
    // Dropped, it removes what it made, and the child runner ends with its standard input.
    let mut sandbox = tokio::select! {
        sandbox = open => sandbox?,
        () = stop.cancelled() => return Err(DrillError::Stopped.into()),
    };
    let result = perform(&mut sandbox, table, drill, &stop).await;
    if let Some(folder) = keep {
        let config = sandbox.config_file().display();
        output.note(format!("kept in {}; look around with `--config {config}`", folder.display()));
    }
    for killed in sandbox.close().await {
        output.note(format!("warning: {killed}"));
    }
    result
}

async fn perform(
    sandbox: &mut Sandbox,
    table: &ScenarioTable,
    drill: &Drill,
    stop: &CancellationToken,
) -> Result<DrillReport, CliError> {
    let world = sandbox.world(Arc::new(TerminalProgress::default())).await?;
    let scenario = scenario(table);
    // Nobody resumes what happens in a sandbox: a rehearsal may be dropped in the middle of a step.
    tokio::select! {
        report = flow::run(&world, &*sandbox, &scenario, &drill.load, stop) => Ok(report?),
        () = stop.cancelled() => Err(DrillError::Stopped.into()),
    }
}

fn list(drill: &Drill, output: &mut Output) -> Result<ExitCode, CliError> {
    let scenarios = drill.scenarios.iter();
    if output.is_json() {
        let all: Vec<_> = scenarios
            .map(|table| {
                serde_json::json!({
                    "scenario": table.name, "about": table.about, "good": table.good, "bad": table.bad,
                    "option": scenario(table).way.option(), "to": scenario(table).ends_on(),
                })
            })
            .collect();
        output.document(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = drill.scenarios.iter().map(|table| table.name.chars().count()).max().unwrap_or(0);
    for table in scenarios {
        output.line(format!(
            "{:<width$}  {} -> {}  {}",
            table.name,
            table.bad,
            scenario(table).ends_on(),
            table.about
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn dry_run(table: &ScenarioTable, drill: &Drill, output: &mut Output) -> Result<ExitCode, CliError> {
    let scenario = scenario(table);
    let mode = scenario.mode.words();
    let (builds, way, floor) = match &scenario.way {
        Way::Back => (String::new(), format!("roll back, mode {mode}"), Some("flip")),
        Way::Flag(flag) => {
            (String::new(), format!("turn off the flag {flag}, wait until the failure is gone"), None)
        }
        Way::Hotfix(hotfix) => (
            format!(" and {hotfix}"),
            format!("ship {hotfix} as the hotfix of {}, mode {mode}", scenario.bad),
            Some("flip"),
        ),
        Way::Down => (
            String::new(),
            format!("take the migrations of {} down and roll back, mode {mode}", scenario.bad),
            Some("start"),
        ),
    };
    let floor = floor.map(|what| format!(", the same {what} without unship")).unwrap_or_default();
    let users = if drill.users.is_some() { ", users write" } else { "" };
    let compare = if drill.users.is_some() { ", what users wrote compared" } else { "" };
    let lines = [
        format!("build {}, {}{builds}, deploy {}", scenario.good, scenario.bad, scenario.good),
        format!("{} requests a second for {} ms{users}", drill.load.rate_per_s, scenario.steady_ms),
        format!("deploy {}{users}", scenario.bad),
        format!("wait for {}, at most {} ms", scenario.seen.words(), scenario.seen_within_ms),
        way,
        format!("load for another {} ms{users}, smoke test{compare}{floor}", scenario.settle_ms),
    ];
    if output.is_json() {
        output.document(&serde_json::json!({
            "scenario": scenario.name, "from": scenario.bad, "to": scenario.ends_on(), "would": lines,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(format!("{}: {} -> {}", scenario.name, scenario.bad, scenario.ends_on()));
    for (index, line) in lines.iter().enumerate() {
        output.line(format!("  {:>2}  {line}", index + 1));
    }
    Ok(ExitCode::SUCCESS)
}

/// A token that Ctrl-C or SIGTERM cancels.
fn stop_at_once() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
        super::output::say("stopping the drill and everything that it started");
        cancelled.cancel();
    });
    token
}

impl From<DrillError> for CliError {
    fn from(error: DrillError) -> CliError {
        let hint = error.hint();
        let cli = match error {
            DrillError::Flow(error) => return error.into(),
            DrillError::Load(LoadError::Plan(error)) => {
                CliError::usage(format!("unship.toml: drill.{error}"))
            }
            other => CliError::failed(other.to_string()),
        };
        hint.into_iter().fold(cli, CliError::hint)
    }
}

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> CliError {
        let hint = error.hint();
        let cli = match error {
            SandboxError::Config(error) => return error.into(),
            SandboxError::NoDrill { .. } | SandboxError::NothingListens | SandboxError::Exists { .. } => {
                CliError::usage(error.to_string())
            }
            other => CliError::failed(other.to_string()),
        };
        hint.into_iter().fold(cli, CliError::hint)
    }
}
