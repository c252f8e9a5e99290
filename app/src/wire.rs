//! The only place that names concrete backends: from a configuration to a [`World`].

pub mod sandbox;

mod aftercare;
mod beside;
mod database;
mod deploy;
mod hosts;
mod memory;
mod shadow;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use unship_core::protocol::{HostSetup, Manager, ServiceSpec, UnitSpec};
use unship_core::release::{EnvironmentName, Release, RunId, Tag};
use unship_core::time::Timestamp;
use unship_host::agent::AgentError;
use unship_host::agent::HostPaths;

use crate::config::{Config, ConfigError, EngineName, Environment, Strategy};
use crate::inventory::InventoryError;
use crate::ledger::{BlindLedger, JournalFolder, LocalLedger};
use crate::placeholders::Placeholders;
use crate::ports::{
    AtStart, Clock, JournalFailure, Ledger, LedgerError, Progress, SchemaSettings, Shadows, Source, Target,
    World,
};
use crate::probe::HttpProber;
use crate::sender::CertificatesError;
use crate::service_commands::ConfiguredCommands;
use crate::source::{Depot, GitSource};

pub use crate::database::shadow::Limits as ShadowLimits;
pub use database::unconfigured;
pub use hosts::{Placed, PutAgent, Upkeep, agent_script};
pub use memory::remember_rehearsal;
use shadow::SiteShadows;
pub use shadow::{Engine, ShadowChoice, live_queries, live_schema, shadow};

/// Why the world could not be set up. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The inventory.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The hosts that it has.
    #[error("the hosts of the environment cannot be used: {0}")]
    Hosts(String),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journals.
    #[error(transparent)]
    Journal(#[from] JournalFailure),
    /// Certificates that the configuration names.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The table of flags is in no database.
    #[error("no database is named for the table of flags: add `url_file` to [flags.sql]")]
    NoFlagDatabase,
    /// The agent on this machine.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// The time of this machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// Whether a command can do without the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerUse {
    /// It cannot.
    Required,
    /// The operator said that it must.
    BreakGlass,
}

impl LedgerUse {
    /// What `--break-glass` means, given or not.
    pub fn of(break_glass: bool) -> LedgerUse {
        if break_glass { LedgerUse::BreakGlass } else { LedgerUse::Required }
    }
}

/// A configuration with the environment that is acted on.
#[derive(Debug, Clone)]
pub struct Site {
    /// All of it.
    pub config: Config,
    /// Where the file is: the service's repository is there.
    pub folder: PathBuf,
    /// The name of the environment.
    pub name: EnvironmentName,
    /// The environment.
    pub environment: Environment,
    /// What is done about agents on hosts: put there where one is missing, unless the verb says otherwise.
    pub upkeep: Upkeep,
}

impl Site {
    /// The environment of that name, or the only one there is.
    pub fn new(config: Config, folder: &Path, name: Option<&EnvironmentName>) -> Result<Site, ConfigError> {
        let (name, environment) = config.environment(name)?;
        let (name, environment) = (name.clone(), environment.clone());
        let upkeep = Upkeep::WhenMissing;
        Ok(Site { config, folder: folder.to_owned(), name, environment, upkeep })
    }

    /// Where releases are kept.
    pub fn root(&self) -> PathBuf {
        match &self.environment.root {
            Some(root) => PathBuf::from(root),
            None => Path::new("/opt").join(self.config.service.name.as_str()),
        }
    }

    /// Where the child runner keeps its socket and logs.
    pub fn runtime(&self) -> PathBuf {
        match &self.environment.runtime {
            Some(runtime) => PathBuf::from(runtime),
            None => Path::new("/run/unship").join(self.config.service.name.as_str()),
        }
    }

    /// Where the ledger, the journals and the artifacts are kept.
    pub fn ledger_folder(&self) -> PathBuf {
        match &self.environment.ledger {
            Some(ledger) => PathBuf::from(ledger),
            None => {
                let service = Path::new("/var/lib/unship").join(self.config.service.name.as_str());
                service.join(self.name.as_str())
            }
        }
    }

    /// Root and runtime as the host crate takes them.
    pub fn host_paths(&self) -> HostPaths {
        HostPaths { root: self.root(), runtime: self.runtime() }
    }

    /// What the words in braces stand for, but for those that belong to a release.
    pub fn placeholders(&self) -> Placeholders {
        let mut words = Placeholders::default().with("root", self.root().display().to_string());
        if let Some(data) = &self.environment.data {
            words = words.with("data", data);
        }
        if let Some(listen) = self.listen() {
            // A command that is run here reaches the first host where a probe does.
            let url = self.environment.hosts.first().and_then(|first| self.probed_at().remove(first));
            let url = url.unwrap_or_else(|| listen.to_string());
            words = words.with("listen", listen.to_string()).with("url", format!("http://{url}"));
        }
        words
    }

    /// The address of the first unit that listens.
    pub fn listen(&self) -> Option<std::net::SocketAddr> {
        self.config.units.as_slice().iter().find_map(|unit| unit.listen).map(|listen| listen.0)
    }

    /// The service as hosts are told of it.
    pub fn service(&self) -> ServiceSpec {
        self.service_under(self.environment.manager())
    }

    /// The same under another manager than the environment's.
    pub fn service_under(&self, manager: Manager) -> ServiceSpec {
        let words = self.placeholders();
        let units = self.config.units.as_slice().iter().map(|unit| {
            let mut environment: BTreeMap<String, String> = self.environment.environment.clone();
            environment.extend(unit.environment.clone());
            UnitSpec {
                name: unit.name.to_string(),
                command: words.fill_words(unit.command.words()),
                listen: unit.listen.map(|listen| listen.0.to_string()),
                environment: words.fill_values(&environment),
                notify: unit.notify,
                restart_delay_ms: unit.restart_delay.0,
                systemd: (manager == Manager::Systemd).then(|| {
                    unit.systemd.names(&self.config.service.name, &unit.name, unit.listen.is_some())
                }),
            }
        });
        ServiceSpec {
            name: self.config.service.name.clone(),
            root: self.root().display().to_string(),
            units: units.collect(),
            ready_ms_max: self.config.limits.ready.0,
            drain_ms_max: self.config.limits.drain.0,
        }
    }

    /// What a host's agent is opened with.
    pub fn host_setup(&self) -> HostSetup {
        let mut service = self.service();
        if self.environment.strategy == Strategy::Command {
            // Another tool starts and stops them: the agent only looks.
            service.units.clear();
        }
        HostSetup {
            root: self.root().display().to_string(),
            runtime: self.runtime().display().to_string(),
            manager: self.environment.manager(),
            service,
        }
    }

    /// Throwaway databases for its migrations.
    fn shadows(&self, source: &Arc<dyn Source>) -> Option<Arc<dyn Shadows>> {
        let config = &self.config;
        let migrations = config.migrations.as_ref().filter(|_| !config.service.stateless)?;
        let engine = match migrations.database {
            EngineName::Postgresql => Engine::Postgres,
            EngineName::Sqlite => Engine::Sqlite,
        };
        Some(Arc::new(SiteShadows {
            settings: SchemaSettings {
                folder: migrations.folder.as_str().to_owned(),
                tool: migrations.tool.map(|tool| tool.0),
                role: config.queries.as_ref().and_then(|queries| queries.role.clone()),
                start: AtStart {
                    boot: migrations.boot,
                    migrator: migrations.migrator.map(|migrator| migrator.0),
                },
            },
            choice: ShadowChoice { engine, ..ShadowChoice::default() },
            source: Arc::clone(source),
            executable: config.units.executable().to_owned(),
            placeholders: self.placeholders(),
            environment: self.environment.environment.clone(),
            variable: config
                .database
                .as_ref()
                .map_or("DATABASE_URL", |database| &database.variable)
                .to_owned(),
            url_file: config.database.as_ref().map(|database| database.url_file.clone()),
            up: migrations.up.clone(),
        }))
    }

    /// What starts the release of a tag on a throwaway database, if it was built here before.
    pub async fn starter(&self, tag: &Tag) -> Option<(Arc<dyn Shadows>, Release)> {
        let depot = Depot::at(&self.ledger_folder().join("depot"));
        let built = Arc::new(GitSource::new(&self.config, &self.folder, depot, Arc::new(SystemClock)));
        let release = built.built(tag).await?;
        let source: Arc<dyn Source> = built;
        Some((self.shadows(&source)?, release))
    }

    /// Opens everything that flows act through.
    pub async fn world(&self, progress: Arc<dyn Progress>, ledger: LedgerUse) -> Result<World, WireError> {
        let folder = self.ledger_folder();
        let reserve = self.journal_reserve();
        let break_glass = ledger == LedgerUse::BreakGlass;
        let journals = JournalFolder::with_reserve(&folder.join("journal"), &reserve, break_glass)?;
        let ledger: Arc<dyn Ledger> = match ledger {
            LedgerUse::Required => Arc::new(LocalLedger::open(&folder.join("ledger.sqlite")).await?),
            LedgerUse::BreakGlass => Arc::new(BlindLedger),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let depot = Depot::at(&folder.join("depot"));
        let built = Arc::new(GitSource::new(&self.config, &self.folder, depot, Arc::clone(&clock)));
        let deploy = self.deploy_command(&folder, &built, &clock)?;
        let repository = Arc::new(built.repository.clone());
        let source: Arc<dyn Source> = built;
        let config = &self.config;
        let hosts = self.hosts(&progress)?;
        let migrate_up = config
            .migrations
            .as_ref()
            .and_then(|migrations| migrations.up.clone().map(|up| (up, migrations.time_max)));
        let smoke = config.smoke.as_ref().map(|smoke| (smoke.command.clone(), smoke.time_max));
        Ok(World {
            target: Target {
                break_glass,
                service: self.service(),
                environment: self.name.clone(),
                who: who(),
                migrates: migrate_up.is_some(),
                smokes: smoke.is_some(),
                installs_flags: config.flags.as_ref().is_some_and(|flags| flags.install),
                stateless: config.service.stateless,
                keep_releases: config.limits.keep_releases,
                waves: self.environment.waves(),
                without: std::collections::BTreeSet::new(),
            },
            hosts,
            ledger,
            journals: Arc::new(journals),
            prober: Arc::new(HttpProber { probe: config.probe.clone(), addresses: self.probed_at() }),
            commands: Arc::new(ConfiguredCommands {
                source: Arc::clone(&source),
                executable: config.units.executable().to_owned(),
                placeholders: self.placeholders(),
                environment: self.environment.environment.clone(),
                database: config.database.clone(),
                migrate_lock: self.ledger_folder().join("migrate.lock"),
                migrate_up,
                smoke,
            }),
            deploy,
            flags: self.flags()?,
            ci: self.ci()?,
            aftercare: self.aftercare(),
            database: self.database(),
            shadows: self.shadows(&source),
            source,
            repository,
            clock,
            progress,
        })
    }
}

/// `user@machine`, as the journal names who acted.
pub fn who() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    let user = user.unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{machine}")
}

/// A name for a new run: when it began, to the millisecond, and by which process. Two runs of one process in
/// one millisecond cannot be.
pub fn new_run_id(now: Timestamp) -> Result<RunId, unship_core::release::NameError> {
    let time = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default().strftime("%Y%m%dT%H%M%S");
    let ms = now.0.rem_euclid(1_000);
    format!("{time}-{ms:03}-{:x}", std::process::id()).parse()
}

/// The process in which a SQLite shadow runs its statements; it serves its parent until that goes.
pub fn serve_sqlite_shadow() -> Result<(), crate::database::shadow::sqlite::ChildError> {
    crate::database::shadow::sqlite::serve()
}
