//! `unship check`

mod github;
mod markdown;
mod progress;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use unship_core::tools::{self, MigrationSet, Tool};
use unship_core::verdict::Verdict;

use super::site::block_on;
use super::{CliError, Output, exit};
use crate::config::{self, Config};
use crate::flow::check::{self, CheckPlan, CheckReport, Span, is_wrong_down};
use crate::gather::migrations::{self, GatherError, Gathered, Source};
use crate::ports::ShadowFailure;
use crate::wire::{Engine, ShadowChoice, ShadowLimits, shadow};

/// Say for every migration what it does to the schema, and whether its down takes it back
///
/// Each migration is run on a throwaway PostgreSQL: up, down, up again. Nothing else is touched.
///
/// For example: `unship check v1.3.2..v1.4.0`, or for a whole folder, without git:
/// `unship check --all --migrations migrations`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two releases: what the newer one added is judged, on the schema that the older one leaves
    #[arg(value_name = "OLD..NEW", required_unless_present = "all", conflicts_with = "all")]
    span: Option<String>,

    /// Judge every migration of the folder as it is on disk
    #[arg(long)]
    all: bool,

    /// The migrations folder; found if there is only one
    #[arg(long, value_name = "DIR")]
    migrations: Option<PathBuf>,

    /// Whose migrations they are: sqlx, golang-migrate, goose, diesel, dbmate, plain; told from the files
    #[arg(long, value_name = "TOOL")]
    tool: Option<Tool>,

    /// Folder of the PostgreSQL server binaries; found if not given
    #[arg(long, value_name = "DIR", env = "UNSHIP_PG_BIN")]
    pg_bin: Option<PathBuf>,

    /// A PostgreSQL server to make throwaway databases on, instead of one of our own
    #[arg(long, value_name = "URL", env = "UNSHIP_SHADOW_URL", hide_env_values = true)]
    shadow_url: Option<String>,

    /// Longest time for one direction of one migration
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    step_seconds: u64,

    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The database that the migrations are written for
    #[arg(long, value_enum, default_value_t = DatabaseArg::Postgresql, value_name = "DATABASE")]
    database: DatabaseArg,

    /// What makes the exit status other than 0; without it: `unknown` for OLD..NEW, `nothing` for --all
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DatabaseArg {
    /// A throwaway PostgreSQL server
    Postgresql,
    /// SQLite in a process of its own
    Sqlite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Annotations for GitHub's check view
    Github,
    /// A comment for a pull request
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// Always 0 when every migration got its answer
    Nothing,
    /// 10 if something breaks the older release
    Breaks,
    /// 10 if something breaks it, 11 if it is not known
    Unknown,
    /// As `unknown`, and 10 if a down is missing, fails, or leaves another schema
    WrongDown,
}

pub(super) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, CliError> {
    let report = block_on(check(args, output.is_json()))?;
    if output.is_json() {
        output.document(&report)?;
    } else {
        match args.format {
            Format::Text => text::print(&report, output),
            Format::Github => github::print(&report, &args.folder_shown(), output),
            Format::Markdown => markdown::print(&report, output),
        }
    }
    Ok(ExitCode::from(args.status(&report)))
}

async fn check(args: &Args, is_quiet: bool) -> Result<CheckReport, CliError> {
    let (plan, tool) = args.plan().await?;
    let limits = ShadowLimits { step_ms_max: args.step_seconds * 1000, ..ShadowLimits::default() };
    let engine = match args.database {
        DatabaseArg::Postgresql => Engine::Postgres,
        DatabaseArg::Sqlite => Engine::Sqlite,
    };
    let choice = ShadowChoice { engine, pg_bin: args.pg_bin.clone(), url: args.shadow_url.clone(), limits };
    let mut progress = progress::StepsProgress::new(plan.len(), is_quiet);
    let mut shadow = shadow(&choice, tool).await?;
    let report = check::execute(plan, shadow.as_mut(), &mut progress).await;
    progress.finish();
    shadow.close().await?;
    Ok(report?)
}

impl Args {
    async fn plan(&self) -> Result<(CheckPlan, Tool), CliError> {
        let Some(span) = &self.span else {
            let folder = self.migrations.clone();
            let project = if folder.is_some() { PathBuf::from("/") } else { PathBuf::from(".") };
            let folder = folder.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
            let set = self.read(&Source::Disk { project, folder }).await?;
            return Ok((check::plan(&set), set.tool));
        };
        let span = parse_span(span)?;
        let folder = self.folder_in_repository()?;
        let at = |revision: &str| Source::Commit {
            repository: PathBuf::from("."),
            revision: revision.to_owned(),
            folder: folder.clone(),
        };
        let new = self.read(&at(&span.new)).await?;
        let old = match self.read(&at(&span.old)).await {
            Ok(old) => old,
            Err(error) => return Err(error),
        };
        Ok((check::plan_span(&old, &new, span), new.tool))
    }

    async fn read(&self, source: &Source) -> Result<MigrationSet, CliError> {
        let gathered: Gathered = migrations::gather(source).await?;
        let Some(tool) = migrations::tool_of(&gathered, self.tool) else {
            let error = CliError::usage(format!("cannot tell whose migrations `{}` are", gathered.folder));
            return Err(match gathered.detection.hint() {
                Some(hint) => error.hint(hint),
                None => error,
            });
        };
        tools::read(tool, gathered.files).map_err(|error| CliError::usage(error.to_string()))
    }

    /// The folder as git names it: `--migrations`, or that of `unship.toml` if there is one.
    fn folder_in_repository(&self) -> Result<Option<String>, CliError> {
        if let Some(folder) = &self.migrations {
            return Ok(Some(folder.to_string_lossy().trim_end_matches('/').to_owned()));
        }
        let here = std::env::current_dir()
            .map_err(|error| CliError::failed(format!("cannot tell the current folder: {error}")))?;
        let Some(path) = config::find(&here) else { return Ok(None) };
        Ok(Config::read(&path)?.migrations.map(|migrations| migrations.folder.as_str().to_owned()))
    }

    /// Paths in annotations are from the top of the repository.
    fn folder_shown(&self) -> String {
        self.migrations.as_deref().unwrap_or(Path::new("migrations")).to_string_lossy().into_owned()
    }

    fn status(&self, report: &CheckReport) -> u8 {
        let default = if self.all { FailOn::Nothing } else { FailOn::Unknown };
        let fail_on = self.fail_on.unwrap_or(default);
        let wrong_down = || report.steps.iter().any(|step| is_wrong_down(step.down.class));
        match (fail_on, report.verdict) {
            (FailOn::Nothing, _) => exit::OK,
            (_, Verdict::Breaks) => exit::CANNOT,
            (FailOn::WrongDown, _) if wrong_down() => exit::CANNOT,
            (FailOn::Unknown | FailOn::WrongDown, Verdict::Unknown) => exit::UNKNOWN,
            _ => exit::OK,
        }
    }
}

fn parse_span(text: &str) -> Result<Span, CliError> {
    match text.split_once("..") {
        Some((old, new)) if !old.is_empty() && !new.is_empty() && !new.starts_with('.') => {
            Ok(Span { old: old.to_owned(), new: new.to_owned() })
        }
        _ => Err(CliError::usage(format!("`{}` is not of the form OLD..NEW", text.escape_debug()))
            .hint("unship check v1.3.2..v1.4.0")),
    }
}

impl From<GatherError> for CliError {
    fn from(error: GatherError) -> Self {
        let cli = Self::usage(error.to_string());
        match error.hint() {
            Some(hint) => cli.hint(hint),
            None => cli,
        }
    }
}

impl From<ShadowFailure> for CliError {
    fn from(error: ShadowFailure) -> Self {
        let cli = Self::failed(error.message);
        match error.hint {
            Some(hint) => cli.hint(hint),
            None => cli,
        }
    }
}
