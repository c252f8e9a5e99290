//! Which migrations and which database: a site's, or those that the command line names.

use std::path::PathBuf;
use std::sync::Arc;

use unship_core::release::{NameError, RunId, Tag};
use unship_core::tools::Tool;

use crate::cli::progress::TerminalProgress;
use crate::cli::site::{self, SiteArgs};
use crate::cli::{CliError, folder};
use crate::flow::FlowError;
use crate::flow::migrate::{self, Parts, Subject};
use crate::gather::migrations::Source;
use crate::ports::{Database, Shadows, World};
use crate::wire::{LedgerUse, SystemClock, unconfigured};

/// Which migrations and which database.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    #[command(flatten)]
    site: SiteArgs,

    /// The release whose files say what each migration is; what serves unless given
    #[arg(long, value_name = "TAG", conflicts_with_all = ["migrations", "database_url_file"])]
    release: Option<String>,

    /// A folder of migrations, without any configuration
    #[arg(long, value_name = "DIR", requires = "database_url_file")]
    migrations: Option<PathBuf>,

    /// Whose migrations they are: sqlx, golang-migrate, goose, diesel, dbmate; told from the files
    #[arg(long, value_name = "TOOL", requires = "migrations")]
    tool: Option<Tool>,

    /// A file that holds the URL of the database and nothing else
    #[arg(long, value_name = "FILE", requires = "migrations", conflicts_with_all = ["config", "env"])]
    database_url_file: Option<PathBuf>,
}

/// Everything that steps are taken with.
pub(super) struct Opened {
    pub(super) run: RunId,
    pub(super) subject: Subject,
    /// The site, where there is one.
    pub(super) world: Option<World>,
    /// The file with the URL, for commands that a person runs.
    pub(super) url_file: Option<PathBuf>,
    loose: Option<(Arc<dyn Database>, Arc<dyn Shadows>)>,
    progress: TerminalProgress,
}

impl Opened {
    /// Opens what the arguments name.
    pub(super) async fn of(at: &Where) -> Result<Opened, CliError> {
        let run = site::run_id()?;
        let progress = TerminalProgress::default();
        if let (Some(folder), Some(file)) = (&at.migrations, &at.database_url_file) {
            let full = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
            // Project files may stand above the current folder, so a folder that is named is one of the machine.
            let source = Source::Disk { project: PathBuf::from("/"), folder: Some(full) };
            let set = folder::read(&source, at.tool, Some(folder)).await?;
            let loose = unconfigured(file)
                .map_err(|error| CliError::usage(format!("cannot read the database URL: {error}")))?;
            let subject = Subject { set, release: None, deployed_at: None };
            let url_file = Some(file.clone());
            return Ok(Opened { run, subject, world: None, url_file, loose: Some(loose), progress });
        }
        let site = at.site.read().await?;
        let world = site::world(&site, LedgerUse::Required).await?;
        let named: Option<Tag> = at
            .release
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: NameError| CliError::usage(error.to_string()))?;
        let subject = migrate::found(&world, &run, named.as_ref()).await?;
        let url_file = site.database_url_file();
        Ok(Opened { run, subject, world: Some(world), url_file, loose: None, progress })
    }

    /// What flows need.
    pub(super) fn parts(&self) -> Result<Parts<'_>, FlowError> {
        match (&self.world, &self.loose) {
            (Some(world), _) => Parts::of(world),
            (None, Some((database, shadows))) => Ok(Parts {
                database: database.as_ref(),
                shadows: shadows.as_ref(),
                clock: &SystemClock,
                progress: &self.progress,
            }),
            (None, None) => Err(FlowError::NoDatabase),
        }
    }
}
