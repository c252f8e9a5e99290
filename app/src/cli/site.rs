//! What most verbs need: which configuration, which environment, a way to run flows, Ctrl-C.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use unship_core::release::{EnvironmentName, HostName, RunId};

use super::CliError;
use super::progress::TerminalProgress;
use crate::config::{self, Config, ConfigError};
use crate::flow::FlowError;
use crate::ports::{TransportError, World};
use crate::wire::{LedgerUse, Site, SystemClock, WireError, new_run_id};

/// Which service and environment.
#[derive(Debug, clap::Args)]
pub struct SiteArgs {
    /// The configuration; looked for in this folder and above it unless given
    #[arg(long, value_name = "FILE", env = "UNSHIP_CONFIG")]
    config: Option<PathBuf>,

    /// The environment; needed only if the configuration has more than one
    #[arg(long, value_name = "NAME", env = "UNSHIP_ENV")]
    env: Option<String>,
}

impl SiteArgs {
    /// Reads the configuration. Not for where a runtime runs already.
    pub fn site(&self) -> Result<Site, CliError> {
        block_on(self.read())
    }

    /// The same where one does.
    pub async fn read(&self) -> Result<Site, CliError> {
        let path = config_file(self.config.as_deref())?;
        let config = Config::read(&path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), PathBuf::from);
        let name = self.env.as_deref().map(str::parse::<EnvironmentName>).transpose();
        let name = name.map_err(|error| CliError::usage(error.to_string()))?;
        let mut site = Site::new(config, &folder, name.as_ref())?;
        site.read_inventory().await?;
        Ok(site)
    }
}

/// The configuration that was named, or the nearest one.
pub fn config_file(named: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let start = std::env::current_dir()
        .map_err(|error| CliError::usage(format!("cannot tell the current folder: {error}")))?;
    config::find(&start).ok_or(ConfigError::NotFound { start }).map_err(CliError::from)
}

/// The hosts of `--without`, each of which must be one of the environment's.
pub fn host_names(names: &[String], world: &World) -> Result<BTreeSet<HostName>, CliError> {
    let known = || world.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ");
    let hosts = names.iter().map(|name| {
        let found = world.hosts.iter().find(|host| host.name.as_str() == name);
        found.map(|host| host.name.clone()).ok_or_else(|| {
            CliError::usage(format!("there is no host `{}` in the environment", name.escape_debug()))
                .hint(format!("its hosts: {}", known()))
        })
    });
    hosts.collect()
}

/// A name for a new run.
pub fn run_id() -> Result<RunId, CliError> {
    new_run_id(crate::ports::Clock::now(&SystemClock)).map_err(|error| CliError::failed(error.to_string()))
}

/// Opens everything a flow acts through, with progress on standard error.
pub async fn world(site: &Site, ledger: LedgerUse) -> Result<World, CliError> {
    world_for(site, ledger, "rollback").await
}

/// The same; when the ledger fails, `verb` is named as the one that does without it.
pub async fn world_for(site: &Site, ledger: LedgerUse, verb: &str) -> Result<World, CliError> {
    let world = site.world(Arc::new(TerminalProgress::default()), ledger).await;
    world.map_err(|error| match error {
        WireError::Ledger(_) => CliError::failed(error.to_string())
            .hint(format!("at 3 a.m., act on the hosts alone: `unship {verb} --break-glass`")),
        other => other.into(),
    })
}

/// The error of a run that may have done without the ledger: whatever goes on with it has to as well.
pub fn said(error: FlowError, ledger: LedgerUse) -> CliError {
    let goes_on = match &error {
        FlowError::Unfinished { .. } => true,
        FlowError::Interrupted { why, .. } => why.holder().is_none(),
        _ => false,
    };
    let error = CliError::from(error);
    if !goes_on || ledger == LedgerUse::Required {
        return error;
    }
    CliError::new(error.status(), error.message())
        .hint("go on with `unship resume --break-glass`, or end it with `unship abort --break-glass`")
}

/// Runs a flow to its end.
pub fn block_on<T>(future: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("cannot start: {error}")))?;
    runtime.block_on(future)
}

/// A token that Ctrl-C cancels: once means stop after this step. The second Ctrl-C ends the process at once;
/// the journal is made for that.
pub fn stop_on_ctrl_c() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        cancelled.cancel();
        super::output::say("stopping after this step; Ctrl-C again ends at once");
        if tokio::signal::ctrl_c().await.is_ok() {
            super::output::say("ended at once; what was begun is in the journal: `unship resume`");
            end_at_once();
        }
    });
    token
}

/// As a shell reports a process that SIGINT ended.
#[expect(clippy::exit, reason = "the second Ctrl-C asks for exactly this, whatever is under way")]
fn end_at_once() -> ! {
    std::process::exit(130)
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        let cli = CliError::usage(error.to_string());
        match error.hint() {
            Some(hint) => cli.hint(hint),
            None => cli,
        }
    }
}

impl From<TransportError> for CliError {
    fn from(error: TransportError) -> CliError {
        let cli = CliError::failed(error.to_string());
        match error.hint {
            Some(hint) => cli.hint(hint),
            None => cli,
        }
    }
}

impl From<WireError> for CliError {
    fn from(error: WireError) -> CliError {
        match error {
            WireError::Config(error) => error.into(),
            WireError::Inventory(error) => {
                let cli = CliError::usage(error.to_string());
                match error.hint() {
                    Some(hint) => cli.hint(hint),
                    None => cli,
                }
            }
            other => CliError::failed(other.to_string()),
        }
    }
}
