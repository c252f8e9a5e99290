//! `unship.toml`: one file that says what the service is, how it is built, run, probed and where.
//!
//! `example.toml` at the root of the repository is the commented reference, and the test of this module.
//! Everything is checked while it is read, so an error names the line of the value and nothing has happened
//! yet when it is reported. This module opens no connection and runs no command.

mod ci;
mod command;
mod couriers;
mod drill;
mod error;
mod flags;
mod hosts;
mod queries;
mod ssh;
mod systemd;
mod values;
mod waves;

pub use ci::{Ci, CiCommand, CiPlace, Forge, JUnit};
pub use command::CommandTable;
pub use couriers::{
    Aftercare, Budget, ForgeName, IssueTable, IssueVia, Note, NoteVia, SmtpTls, Source, WebhookUrl,
};
pub use drill::{Drill, ScenarioTable, SeenTable};
pub use error::ConfigError;
pub use flags::{ColumnHolds, FlagCommand, FlagPlace, FlagTable, Flagd, Flags, TableName, Unleash};
pub use hosts::{HOSTS_MAX, Hosts, Inventory, InventoryPath, Pattern};
pub use queries::{EngineName, MigratorName, Queries, ToolName};
pub use ssh::{Account, Address, AgentPlace, Destination, HostTable, Jump, ProbeAddress, Ssh, SshFile};
pub use systemd::{ManagerName, SystemdTable};
pub use values::{CommandLine, Listen, Millis, RelativePath, UrlPath};
pub use waves::Wave;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ports::BootSaid;
use serde::Deserialize;
use unship_core::protocol::Manager;
use unship_core::release::{EnvironmentName, HostName, ServiceName};

/// The largest file that is read as a configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The content of `unship.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the service is.
    pub service: Service,
    /// Its units, in start order.
    #[serde(rename = "unit")]
    pub units: Units,
    /// How a tag becomes an artifact.
    pub build: Build,
    /// Its database.
    pub database: Option<Database>,
    /// Its migrations.
    pub migrations: Option<Migrations>,
    /// The queries that it sends.
    pub queries: Option<Queries>,
    /// How to see from outside what it serves.
    #[serde(default)]
    pub probe: Probe,
    /// A command that tries the service as a user would.
    pub smoke: Option<Smoke>,
    /// Its feature flags.
    pub flags: Option<Flags>,
    /// Who knows whether a commit passed.
    pub ci: Option<Ci>,
    /// What happens after a rollback.
    #[serde(default)]
    pub aftercare: Aftercare,
    /// Limits of waits and of what is kept.
    #[serde(default)]
    pub limits: Limits,
    /// What is rehearsed.
    pub drill: Option<Drill>,
    /// Where it runs.
    #[serde(rename = "environment", default)]
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

/// `[service]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name, as folders and units carry it.
    pub name: ServiceName,
    /// A command that prints the tag that the artifact was built from.
    pub version: Option<CommandLine>,
    /// It has no database of its own, so that there is no schema to ask about.
    #[serde(default)]
    pub stateless: bool,
}

/// The units: at least one, with names of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<Unit>")]
pub struct Units(Vec<Unit>);

impl Units {
    /// The units, in start order.
    pub fn as_slice(&self) -> &[Unit] {
        &self.0
    }

    /// The program of the first unit, as a path inside the release: what `{executable}` stands for.
    pub fn executable(&self) -> &str {
        self.0.first().and_then(|unit| unit.command.words().first()).map_or("", String::as_str)
    }
}

impl TryFrom<Vec<Unit>> for Units {
    type Error = String;

    fn try_from(units: Vec<Unit>) -> Result<Units, String> {
        for (index, unit) in units.iter().enumerate() {
            if units[..index].iter().any(|other| other.name == unit.name) {
                return Err(format!("two units are named `{}`", unit.name));
            }
        }
        if units.is_empty() { Err("a service needs at least one unit".into()) } else { Ok(Units(units)) }
    }
}

/// `[[unit]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The name, for example `web`.
    pub name: ServiceName,
    /// The command; its first word is a path inside the release.
    pub command: CommandLine,
    /// The address that is handed to it as an open socket.
    pub listen: Option<Listen>,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Whether it says READY=1.
    #[serde(default = "yes")]
    pub notify: bool,
    /// How long to wait before a failed process is started again.
    #[serde(default = "restart_delay")]
    pub restart_delay: Millis,
    /// What systemd calls it, where that is not `<service>-<unit>`.
    #[serde(default)]
    pub systemd: SystemdTable,
}

/// `[build]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The command, run in a fresh worktree of the tag.
    pub command: CommandLine,
    /// The file or folder that it makes, relative to the worktree.
    pub artifact: RelativePath,
    /// Where the command starts, relative to the worktree.
    pub folder: Option<RelativePath>,
    /// Environment variables of the command.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How long it may take.
    #[serde(default = "build_time_max")]
    pub time_max: Millis,
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// A file that holds the URL and nothing else.
    pub url_file: String,
    /// The environment variable in which the commands of `migrations` and `smoke` find the URL.
    #[serde(default = "database_variable")]
    pub variable: String,
    /// The host of the environment through which it is reached, where it is not reached from here.
    pub through: Option<HostName>,
}

/// `[migrations]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrations {
    /// The folder, relative to the repository.
    pub folder: RelativePath,
    /// Whose migrations they are; told from the files unless given.
    pub tool: Option<ToolName>,
    /// The database that they are written for.
    #[serde(default)]
    pub database: EngineName,
    /// What old releases do when they start on a newer database, where the tool's rule is not right.
    #[serde(default)]
    pub boot: BootSaid,
    /// What migrates when the service starts, where that is not `tool`.
    pub migrator: Option<MigratorName>,
    /// The command that applies what is not applied yet, run once per deploy.
    pub up: Option<CommandLine>,
    /// How long it may take.
    #[serde(default = "migrate_time_max")]
    pub time_max: Millis,
}

/// `[probe]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Must answer 200.
    pub health: Option<UrlPath>,
    /// Must answer the release's tag.
    pub version: Option<UrlPath>,
    /// The field of the JSON answer of `version` that holds the tag; without it the whole answer is the tag.
    pub version_field: Option<String>,
    /// How long one answer may take.
    pub answer_max: Millis,
    /// How long to go on asking before the probe has failed.
    pub time_max: Millis,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe {
            health: None,
            version: None,
            version_field: None,
            answer_max: Millis(2_000),
            time_max: Millis(10_000),
        }
    }
}

/// `[smoke]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// The command; status 0 is a pass.
    pub command: CommandLine,
    /// How long it may take.
    #[serde(default = "smoke_time_max")]
    pub time_max: Millis,
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long a unit may take to get ready.
    pub ready: Millis,
    /// How long a stopped instance may take to finish its requests.
    pub drain: Millis,
    /// How many releases to keep on a host besides the current one and the known-good target.
    pub keep_releases: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { ready: Millis(30_000), drain: Millis(30_000), keep_releases: 5 }
    }
}

/// How a release reaches the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Retained releases that unship stages, starts and stops itself.
    Native,
    /// The user's own deploy command.
    Command,
}

/// `[environment.NAME]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// How a release reaches the hosts.
    #[serde(default = "native")]
    pub strategy: Strategy,
    /// The user's own deploy command, for the strategy `command`.
    pub command: Option<CommandTable>,
    /// The hosts; `local` is this machine, all others are reached over ssh.
    pub hosts: Hosts,
    /// How hosts are reached.
    #[serde(default)]
    pub ssh: Ssh,
    /// What is different for single hosts.
    #[serde(default, rename = "host")]
    pub host_tables: BTreeMap<HostName, HostTable>,
    /// What starts and stops processes there: the child runner on this machine and systemd on others unless
    /// given.
    pub manager: Option<ManagerName>,
    /// Where releases are kept on a host; `/opt/<service>` unless given.
    pub root: Option<String>,
    /// Where the child runner keeps its socket and logs on a host; `/run/unship/<service>` unless given.
    pub runtime: Option<String>,
    /// Where the ledger and the journals are kept on the operator's machine;
    /// `/var/lib/unship/<service>/<environment>` unless given.
    pub ledger: Option<String>,
    /// Where the service keeps its data; what `{data}` stands for.
    pub data: Option<String>,
    /// Environment variables for all units and commands.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How many hosts are flipped at the same time: a number, or a part such as "25%"; one unless given.
    pub wave: Option<Wave>,
    /// How many hosts must go on serving while a wave is flipped.
    pub capacity_min: Option<unship_core::plan::Share>,
}

impl Environment {
    /// What starts and stops processes on the hosts.
    pub fn manager(&self) -> Manager {
        match self.manager {
            Some(manager) => manager.into(),
            None if self.hosts.is_local() => Manager::ChildRunner,
            None => Manager::Systemd,
        }
    }
}

fn yes() -> bool {
    true
}

fn native() -> Strategy {
    Strategy::Native
}

fn restart_delay() -> Millis {
    Millis(200)
}

fn build_time_max() -> Millis {
    Millis(30 * 60_000)
}

fn migrate_time_max() -> Millis {
    Millis(10 * 60_000)
}

fn smoke_time_max() -> Millis {
    Millis(60_000)
}

fn database_variable() -> String {
    "DATABASE_URL".into()
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |why: String| ConfigError::Unreadable { file: path.to_owned(), why };
        let size = fs_err::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!("it has {size} bytes; the limit is {FILE_BYTES_MAX}")));
        }
        let bytes = fs_err::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
        Config::parse(path, &text)
    }

    /// Reads a text; `path` is what errors call it.
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))
    }

    /// The environment of that name; without a name the only one there is.
    pub fn environment(
        &self,
        name: Option<&EnvironmentName>,
    ) -> Result<(&EnvironmentName, &Environment), ConfigError> {
        let known = || self.environments.keys().map(ToString::to_string).collect::<Vec<_>>();
        if let Some(name) = name {
            let found = self.environments.get_key_value(name);
            return found
                .ok_or_else(|| ConfigError::NoSuchEnvironment { name: name.clone(), known: known() });
        }
        let mut all = self.environments.iter();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(ConfigError::WhichEnvironment { known: known() }),
        }
    }
}

/// Looks for `unship.toml` in `start` and the folders above it.
pub fn find(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|folder| folder.join("unship.toml")).find(|path| path.is_file())
}

#[cfg(test)]
mod tests;
