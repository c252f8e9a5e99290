//! `unship check`

mod github;
mod markdown;
mod progress;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use unship_core::release::Tag;
use unship_core::tools::{Migration, MigrationSet, Tool};
use unship_core::verdict::Verdict;

use super::site::block_on;
use super::{CliError, Output, exit, folder};
use crate::config::{self, Config, EngineName};
use crate::flow::check::{self, CheckPlan, CheckReport, OldQueries, Span, is_wrong_down};
use crate::flow::span;
use crate::gather::migrations::{GatherError, Source};
use crate::gather::queries::{self, FoundQueries};
use crate::ports::{AtStart, BootSaid, LiveSchema, Shadow, ShadowFailure};
use crate::wire::{Engine, ShadowChoice, ShadowLimits, Site, live_queries, live_schema, shadow};

/// Say for every migration what it does to the schema, and whether its down takes it back
///
/// Each migration is run on a throwaway PostgreSQL: up, down, up again. Nothing else is touched.
///
/// For example: `unship check v1.3.2..v1.4.0`, or for a whole folder, without git:
/// `unship check --all --migrations migrations`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two releases: what the newer one added is judged, on the schema that the older one leaves
    #[arg(value_name = "OLD..NEW", required_unless_present_any = ["all", "after"], conflicts_with = "all")]
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

    /// Judge what comes after this migration of the folder, as if the older release ended with it
    #[arg(long, value_name = "MIGRATION", conflicts_with_all = ["span", "all"])]
    after: Option<String>,

    /// The older release's queries: sqlx's .sqlx, sqlc's files, a folder of .sql, an export of pg_stat_statements
    ///
    /// May be given several times. Found in the older release if not given.
    #[arg(long, value_name = "PATH")]
    queries: Vec<String>,

    /// A file with the URL of a database whose pg_stat_statements has the older release's queries
    #[arg(long, value_name = "FILE")]
    statistics_of: Option<PathBuf>,

    /// As which role the older release connects
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// What the older release does when it starts on a newer database; by its tool's rule, and tried if its artifact is
    /// here, unless given
    #[arg(long, value_enum, value_name = "WHAT")]
    boot: Option<BootArg>,

    /// A file with the URL of the live database, which has the older release's migrations: where it is not as they
    /// leave it is said, and it is only read
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    live: Option<PathBuf>,

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

    /// The database that the migrations are written for; that of unship.toml, else PostgreSQL, unless given
    #[arg(long, value_enum, value_name = "DATABASE")]
    database: Option<DatabaseArg>,

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
enum BootArg {
    /// It takes migrations that it does not know as they are
    IgnoresNewer,
    /// It runs no migrator when it starts
    RunsNone,
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
    let (report, live) = block_on(check(args, output.is_json()))?;
    if output.is_json() {
        output.document(&report)?;
    } else {
        match args.format {
            Format::Text => text::print(&report, live.as_ref(), output),
            Format::Github => github::print(&report, &args.folder_shown(), output),
            Format::Markdown => markdown::print(&report, output),
        }
    }
    Ok(ExitCode::from(args.status(&report)))
}

async fn check(args: &Args, is_quiet: bool) -> Result<(CheckReport, Option<LiveSchema>), CliError> {
    let site = configured()?;
    let Planned { plan, tool, older } = args.plan(site.as_ref()).await?;
    let limits = ShadowLimits { step_ms_max: args.step_seconds * 1000, ..ShadowLimits::default() };
    let engine = args.engine(site.as_ref());
    // Before the long work: what cannot be read is said at once.
    let live = match &args.live {
        Some(file) => Some(live_schema(engine, &url_in(file)?, tool).await?),
        None => None,
    };
    let choice = ShadowChoice { engine, pg_bin: args.pg_bin.clone(), url: args.shadow_url.clone(), limits };
    let mut progress = progress::StepsProgress::new(plan.len(), is_quiet);
    let mut shadow = shadow(&choice, tool).await?;
    let report = check::execute(plan, shadow.as_mut(), &mut progress).await;
    progress.finish();
    let report = match report {
        Ok(mut report) => {
            if let (Some(older), None) = (&older, args.boot) {
                try_boot(site.as_ref(), older, shadow.as_mut(), &mut report).await;
            }
            if let Some(live) = &live {
                let before = report.schemas.as_ref().map(|schemas| schemas.before.clone());
                report.amend(|verdict| span::amend_with_live(live, before.as_ref(), verdict));
            }
            Ok(report)
        }
        Err(error) => Err(error),
    };
    shadow.close().await?;
    Ok((report?, live))
}

/// Starts the older release on the newer schema, if it was built here before.
async fn try_boot(
    site: Option<&Configured>,
    older: &Older,
    shadow: &mut dyn Shadow,
    report: &mut CheckReport,
) {
    let Some(site) = site.and_then(Configured::site) else { return };
    let Ok(tag) = older.revision.parse::<Tag>() else { return };
    let Some((shadows, release)) = site.starter(&tag).await else { return };
    let Some(by_rule) = report.span_verdict.as_ref().map(|span| span.boot.clone()) else { return };
    let boot = span::prove_boot(shadows.as_ref(), shadow, &release, &older.applied, &by_rule).await;
    report.amend(|span| span.set_boot(boot));
}

/// What is checked.
struct Planned {
    plan: CheckPlan,
    tool: Tool,
    older: Option<Older>,
}

/// The older of two releases.
struct Older {
    revision: String,
    /// What a database has that had it and then the newer one.
    applied: Vec<Migration>,
}

impl Args {
    async fn plan(&self, site: Option<&Configured>) -> Result<Planned, CliError> {
        let start = self.start(site);
        let Some(span) = &self.span else {
            // Project files may stand above the current folder, so a folder that is named is one of the machine.
            let project = if self.migrations.is_some() { "/" } else { "." };
            let folder =
                self.migrations.as_ref().map(|folder| std::path::absolute(folder).unwrap_or(folder.clone()));
            let set = self.read(&Source::Disk { project: PathBuf::from(project), folder }, site).await?;
            let tool = set.tool;
            let Some(after) = &self.after else {
                return Ok(Planned { plan: check::plan(&set), tool, older: None });
            };
            let queries = self.queries(None, site).await?;
            let plan = check::plan_after(&set, after, queries, start).ok_or_else(|| {
                CliError::usage(format!("no migration of the folder is called `{}`", after.escape_debug()))
            })?;
            return Ok(Planned { plan, tool, older: None });
        };
        let span = parse_span(span)?;
        let folder = self.folder_in_repository(site);
        let at = |revision: &str, folder: &Option<String>| Source::Commit {
            repository: PathBuf::from("."),
            revision: revision.to_owned(),
            folder: folder.clone(),
        };
        let new = self.read(&at(&span.new, &folder), site).await?;
        let mut moved = None;
        let old = match self.read(&at(&span.old, &folder), site).await {
            // The folder may have been another one then.
            Err(error) if folder.is_some() => match self.read(&at(&span.old, &None), site).await {
                Ok(found) if found.tool == new.tool && !found.migrations.is_empty() => {
                    moved = Some(format!("{} has its migrations in another folder", span.old));
                    found
                }
                _ => return Err(error),
            },
            read => read?,
        };
        let queries = self.queries(Some(&span.old), site).await?;
        let older = Older { revision: span.old.clone(), applied: span::applied(&old, &new) };
        let tool = new.tool;
        let mut plan = check::plan_span(&old, &new, span, queries, start);
        plan.remark(moved);
        Ok(Planned { plan, tool, older: Some(older) })
    }

    /// What is said of the older release's start, here or in unship.toml.
    fn start(&self, site: Option<&Configured>) -> AtStart {
        let migrations = site.and_then(|site| site.config.migrations.as_ref());
        AtStart {
            boot: match self.boot {
                Some(BootArg::IgnoresNewer) => BootSaid::IgnoresNewer,
                Some(BootArg::RunsNone) => BootSaid::RunsNone,
                None => migrations.map(|migrations| migrations.boot).unwrap_or_default(),
            },
            migrator: migrations.and_then(|migrations| migrations.migrator).map(|migrator| migrator.0),
        }
    }

    fn engine(&self, site: Option<&Configured>) -> Engine {
        let migrations = site.and_then(|site| site.config.migrations.as_ref());
        match (self.database, migrations.map(|migrations| migrations.database)) {
            (Some(DatabaseArg::Sqlite), _) | (None, Some(EngineName::Sqlite)) => Engine::Sqlite,
            (Some(DatabaseArg::Postgresql), _) | (None, Some(EngineName::Postgresql) | None) => {
                Engine::Postgres
            }
        }
    }

    /// The older release's queries: from its commit, from the disk where that has no such path, and from a server.
    async fn queries(
        &self,
        revision: Option<&str>,
        site: Option<&Configured>,
    ) -> Result<Option<OldQueries>, CliError> {
        let settings = site.and_then(|site| site.config.queries.clone()).unwrap_or_default();
        let named: Vec<String> = match self.queries.as_slice() {
            [] => settings.paths.iter().map(|path| path.as_str().to_owned()).collect(),
            given => given.to_vec(),
        };
        let here = Path::new(".");
        let found = match revision {
            Some(revision) => queries::at_commit(here, revision, &named).await?,
            // Without a release there is no knowing whose queries a folder has, unless somebody says so.
            None if named.is_empty() => FoundQueries::default(),
            None => queries::on_disk(here, &named)?,
        };
        let found = match found {
            empty if empty.files.is_empty() && !self.queries.is_empty() => {
                queries::on_disk(here, &self.queries)?
            }
            found => found,
        };
        let files = found.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let mut set = unship_core::queries::read(files);
        let mut source = found.source();
        if let Some(file) = &self.statistics_of {
            let (texts, name) = statistics_of(file).await?;
            set.queries.extend(unship_core::queries::statistics(&name, texts).queries);
            source = if source.is_empty() { name } else { format!("{source}, {name}") };
        }
        let role = self.role.clone().or(settings.role);
        Ok((!set.queries.is_empty()).then_some(OldQueries { queries: set.queries, source, role }))
    }

    async fn read(&self, source: &Source, site: Option<&Configured>) -> Result<MigrationSet, CliError> {
        // What unship.toml says is said of its folder.
        let of_site =
            site.and_then(|site| site.config.migrations.as_ref()).filter(|_| self.migrations.is_none());
        let said = self.tool.or_else(|| of_site.and_then(|migrations| migrations.tool).map(|tool| tool.0));
        folder::read(source, said, self.migrations.as_deref()).await
    }

    /// The folder as git names it: `--migrations`, or that of `unship.toml` if there is one.
    fn folder_in_repository(&self, site: Option<&Configured>) -> Option<String> {
        if let Some(folder) = &self.migrations {
            return Some(folder.to_string_lossy().trim_end_matches('/').to_owned());
        }
        let migrations = site?.config.migrations.as_ref()?;
        Some(migrations.folder.as_str().to_owned())
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

/// The configuration that is here.
struct Configured {
    config: Config,
    folder: PathBuf,
}

impl Configured {
    /// With its environment, if there is only one.
    fn site(&self) -> Option<Site> {
        Site::new(self.config.clone(), &self.folder, None).ok()
    }
}

fn configured() -> Result<Option<Configured>, CliError> {
    let here = std::env::current_dir()
        .map_err(|error| CliError::failed(format!("cannot tell the current folder: {error}")))?;
    let Some(path) = config::find(&here) else { return Ok(None) };
    let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    Ok(Some(Configured { config: Config::read(&path)?, folder }))
}

/// What a server counted, and how it is named to people: never by its URL, which may hold a password.
async fn statistics_of(file: &Path) -> Result<(Vec<String>, String), CliError> {
    let texts = live_queries(&url_in(file)?).await?;
    Ok((texts, "pg_stat_statements".to_owned()))
}

fn url_in(file: &Path) -> Result<String, CliError> {
    let url = fs_err::read_to_string(file)
        .map_err(|error| CliError::usage(format!("cannot read the database URL: {error}")))?;
    Ok(url.trim().to_owned())
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
