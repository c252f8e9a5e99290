//! The only place that names concrete backends: from a configuration to a [`World`].

pub mod sandbox;

mod shadow;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use unship_core::protocol::{ServiceSpec, UnitSpec};
use unship_core::release::{EnvironmentName, RunId};
use unship_core::time::Timestamp;
use unship_host::agent::AgentError;
use unship_host::agent::HostPaths;

use crate::aftercare::NoteFile;
use crate::config::{Config, ConfigError, Environment};
use crate::ledger::{BlindLedger, JournalFolder, LocalLedger};
use crate::placeholders::Placeholders;
use crate::ports::{
    Aftercare, Clock, Host, JournalFailure, Ledger, LedgerError, Progress, Source, Target, World,
};
use crate::probe::HttpProber;
use crate::service_commands::ConfiguredCommands;
use crate::source::{Depot, GitSource};
use crate::transport::InProcess;

pub use crate::database::shadow::Limits as ShadowLimits;
pub use shadow::{Engine, ShadowChoice, shadow};

/// Why the world could not be set up. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journals.
    #[error(transparent)]
    Journal(#[from] JournalFailure),
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
}

impl Site {
    /// The environment of that name, or the only one there is.
    pub fn new(config: Config, folder: &Path, name: Option<&EnvironmentName>) -> Result<Site, ConfigError> {
        let (name, environment) = config.environment(name)?;
        let (name, environment) = (name.clone(), environment.clone());
        Ok(Site { config, folder: folder.to_owned(), name, environment })
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
            words = words.with("listen", listen.to_string()).with("url", format!("http://{listen}"));
        }
        words
    }

    /// The address of the first unit that listens.
    pub fn listen(&self) -> Option<std::net::SocketAddr> {
        self.config.units.as_slice().iter().find_map(|unit| unit.listen).map(|listen| listen.0)
    }

    /// Who tells people what came of a rollback.
    fn aftercare(&self) -> Option<Arc<dyn Aftercare>> {
        let file = self.config.aftercare.note_file.as_ref()?;
        Some(Arc::new(NoteFile { path: PathBuf::from(self.placeholders().fill(file)) }))
    }

    /// The service as hosts are told of it.
    pub fn service(&self) -> ServiceSpec {
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

    /// This machine as a host, with an agent of its own: looking at it waits for no other.
    pub fn own_host(&self) -> Result<Host, WireError> {
        let name = self.environment.hosts.first().clone();
        let transport = InProcess::open(name.clone(), self.host_paths())?;
        Ok(Host { name, transport: Arc::new(transport) })
    }

    /// Opens everything that flows act through.
    pub async fn world(&self, progress: Arc<dyn Progress>, ledger: LedgerUse) -> Result<World, WireError> {
        let folder = self.ledger_folder();
        // The reserve is on the host's own disk, where nobody but its owner can put a file.
        let reserve = self.root().join("journal");
        let break_glass = ledger == LedgerUse::BreakGlass;
        let journals = JournalFolder::with_reserve(&folder.join("journal"), &reserve, break_glass)?;
        let ledger: Arc<dyn Ledger> = match ledger {
            LedgerUse::Required => Arc::new(LocalLedger::open(&folder.join("ledger.sqlite")).await?),
            LedgerUse::BreakGlass => Arc::new(BlindLedger),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let depot = Depot::at(&folder.join("depot"));
        let source: Arc<dyn Source> =
            Arc::new(GitSource::new(&self.config, &self.folder, depot, Arc::clone(&clock)));
        let config = &self.config;
        let mut hosts = Vec::new();
        for name in self.environment.hosts.as_slice() {
            let transport = InProcess::open(name.clone(), self.host_paths())?;
            hosts.push(Host { name: name.clone(), transport: Arc::new(transport) });
        }
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
                keep_releases: config.limits.keep_releases,
            },
            hosts,
            ledger,
            journals: Arc::new(journals),
            prober: Arc::new(HttpProber { probe: config.probe.clone(), address: self.listen() }),
            commands: Arc::new(ConfiguredCommands {
                source: Arc::clone(&source),
                executable: config.units.executable().to_owned(),
                placeholders: self.placeholders(),
                environment: self.environment.environment.clone(),
                database: config.database.clone(),
                migrate_up,
                smoke,
            }),
            aftercare: self.aftercare(),
            source,
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
