//! A world of its own for a drill: a repository, an environment, a child runner and a database in one
//! folder, which takes nothing from the machine and leaves nothing on it.
//!
//! The environment is written down as an ordinary `unship.toml`, so that with `--keep` every other verb can
//! look at what the drill did.

mod bare;
mod daemon;
mod scenario;
mod settings;

pub use bare::{BareError, BareInstance, BareProgram};
pub use daemon::Daemon;
pub use scenario::scenario;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use unship_core::release::Release;

use crate::config::{Config, ConfigError, Drill};
use crate::flow::drill::{Stage, Task, UsersMoment};
use crate::load::Variables;
use crate::placeholders::Placeholders;
use crate::ports::{CheckFailure, Host, Source, World};
use crate::process::{Ended, Program};
use crate::wire::{LedgerUse, Site, WireError};

/// The environment's name in the sandbox.
pub const ENVIRONMENT: &str = "drill";
/// A folder for sockets has to be short; this much is left for the sandbox's own path.
const RUNTIME_BYTES_MAX: usize = 80;
/// The most that a command of a drill may print: JSON that is read as a whole.
const PRINTED_BYTES_MAX: usize = 16 << 20;
/// The folder of what users wrote, as the drill's commands printed it: `{written}`.
const WRITTEN: &str = "written";

/// How long a process without unship may take to end before it is killed; nobody talks to it.
const BARE_END_MAX: Duration = Duration::from_secs(5);

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The configuration, of the service or of the sandbox.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A backend.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// `unship.toml` has nothing to drill.
    #[error("`{}` has no table `[drill]`", .file.display())]
    NoDrill {
        /// The file.
        file: PathBuf,
    },
    /// No unit listens, so nothing can be loaded.
    #[error("no unit of the service listens, so no load can be put on it")]
    NothingListens,
    /// The command that makes the history failed.
    #[error("the history of the drill could not be made: {why}")]
    History {
        /// Why.
        why: String,
        /// The command.
        command: String,
    },
    /// The child runner did not come up.
    #[error("the child runner of the drill did not start: {why}")]
    Daemon {
        /// Why.
        why: String,
    },
    /// The folder to keep is there already.
    #[error("`{}` is there already", .folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// The system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl SandboxError {
    /// What to run or write.
    pub fn hint(&self) -> Option<String> {
        match self {
            SandboxError::Config(error) => error.hint(),
            SandboxError::NoDrill { .. } => {
                Some("`example.toml` shows what a drill needs; `docs/drill.md` says more".into())
            }
            SandboxError::NothingListens => Some("give a unit an address with `listen`".into()),
            SandboxError::History { command, .. } => Some(format!("run it yourself: {command}")),
            SandboxError::Exists { .. } => Some("name a folder that is not there yet".into()),
            SandboxError::Wire(_) | SandboxError::Daemon { .. } | SandboxError::Io(_) => None,
        }
    }
}

/// The folders of a sandbox.
#[derive(Debug)]
struct Place {
    /// Everything is below it.
    folder: PathBuf,
    /// Sockets, here or elsewhere.
    runtime: PathBuf,
    /// Removed at the end; none when they are kept.
    _temporary: Vec<tempfile::TempDir>,
}

/// A sandbox whose child runner runs.
pub struct Sandbox {
    site: Site,
    config_file: PathBuf,
    drill: Drill,
    /// Where the service's own configuration is: the drill's commands start there.
    folder: PathBuf,
    source: Option<Arc<dyn Source>>,
    daemon: Daemon,
    address: SocketAddr,
    unit: String,
    place: Place,
}

impl Sandbox {
    /// Makes a sandbox for the service of `file`, in `keep`, which must not exist, or in a temporary folder.
    /// `program` is unship itself, to be started as the child runner.
    pub async fn open(file: &Path, keep: Option<&Path>, program: &Path) -> Result<Sandbox, SandboxError> {
        let file = fs_err::canonicalize(file)?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let config = Config::read(&file)?;
        let drill = config.drill.clone().ok_or(SandboxError::NoDrill { file: file.clone() })?;
        let place = Place::make(keep)?;
        let history = place.folder.join("history");
        make_history(&drill, &folder, &history).await?;

        let cache = folder.join(&drill.cache);
        let settings = settings::Settings { place: &place.folder, runtime: &place.runtime, cache: &cache };
        let text = settings.write(&fs_err::read_to_string(&file)?, &drill)?;
        let config_file = history.join("unship.toml");
        fs_err::write(&config_file, text)?;
        let config = Config::read(&config_file)?;
        let name = ENVIRONMENT.parse().ok();
        let site = Site::new(config, &history, name.as_ref())?;
        if let (Some(database), Some(url)) = (&site.config.database, &drill.database_url) {
            fs_err::write(&database.url_file, site.placeholders().fill(url))?;
        }
        let listening = site
            .config
            .units
            .as_slice()
            .iter()
            .find_map(|unit| Some((unit.name.to_string(), unit.listen?.0)));
        let (unit, address) = listening.ok_or(SandboxError::NothingListens)?;
        let log = place.folder.join("child-runner.log");
        let daemon = Daemon::start(program, &config_file, &log, &site.host_paths()).await?;
        Ok(Sandbox { site, config_file, drill, folder, source: None, daemon, address, unit, place })
    }

    /// The sandbox's `unship.toml`.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Everything that flows act through.
    pub async fn world(&mut self, progress: Arc<dyn crate::ports::Progress>) -> Result<World, SandboxError> {
        let world = self.site.world(progress, LedgerUse::Required).await?;
        self.source = Some(Arc::clone(&world.source));
        Ok(world)
    }

    /// Ends everything that the sandbox started, and removes it unless it is kept. Says what it had to kill.
    pub async fn close(self) -> Vec<String> {
        let drain = Duration::from_millis(self.site.config.limits.drain.0);
        self.daemon.stop(drain).await
    }

    /// The words in braces, with a release's own.
    fn placeholders(&self, files: &Path, executable: &str) -> Placeholders {
        self.site
            .placeholders()
            .with("executable", files.join(executable).display().to_string())
            .with("release", files.display().to_string())
    }

    async fn files(&self, release: &Release) -> Result<PathBuf, CheckFailure> {
        let source = self.source.as_ref().ok_or_else(|| failure("the sandbox has no world yet"))?;
        let kept = source.kept(release).await;
        Ok(kept.map_err(|error| CheckFailure { message: error.message, hint: error.hint })?.folder)
    }

    /// The units of a release as programs that can be started without unship, in start order, and whether
    /// each listens.
    async fn bare(&self, release: &Release) -> Result<Vec<(BareProgram, bool)>, CheckFailure> {
        let files = self.files(release).await?;
        let units = self.site.service().units.into_iter().map(|mut unit| {
            if let Some(first) = unit.command.first_mut() {
                *first = files.join(&*first).display().to_string();
            }
            let program = BareProgram {
                command: unit.command,
                folder: files.clone(),
                environment: unit.environment,
                notify: unit.notify,
                ready_max: Duration::from_millis(self.site.config.limits.ready.0),
            };
            (program, unit.listen.is_some())
        });
        Ok(units.collect())
    }
}

#[async_trait]
impl Stage for Sandbox {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn unit(&self) -> &str {
        &self.unit
    }

    fn watched(&self) -> Result<Host, CheckFailure> {
        self.site.own_host().map_err(|error| failure(error.to_string()))
    }

    async fn set_up(&self, serving: &Release) -> Result<Variables, CheckFailure> {
        let Some(printed) = self.command(Task::SetUp, serving).await? else { return Ok(Variables::new()) };
        variables(&printed).map_err(|why| failure(format!("{} failed: {why}", Task::SetUp.name())))
    }

    async fn command(&self, task: Task, serving: &Release) -> Result<Option<Vec<u8>>, CheckFailure> {
        let users = self.drill.users.as_ref();
        let command = match task {
            Task::SetUp => self.drill.set_up.as_ref(),
            Task::Write(_) => users.map(|users| &users.write),
            Task::Compare => users.map(|users| &users.compare),
        };
        let Some(command) = command else { return Ok(None) };
        let moment = match task {
            Task::Write(moment) => Some(moment),
            Task::SetUp | Task::Compare => None,
        };
        let (command, ended) = self.run(command.words(), moment, serving).await?;
        let failed = |why: String| CheckFailure {
            message: format!("{} failed: {why}", task.name()),
            hint: Some(format!("run it yourself: {command}")),
        };
        if !ended.success {
            return Err(failed(format!("{}: {}", ended.status, ended.complaint())));
        }
        if ended.stdout.len() >= PRINTED_BYTES_MAX {
            return Err(failed(format!("it printed more than {PRINTED_BYTES_MAX} bytes")));
        }
        if let Some(moment) = moment {
            serde_json::from_slice::<serde_json::Value>(&ended.stdout)
                .map_err(|error| failed(format!("it must print JSON on standard output: {error}")))?;
            let kept = self.written().join(format!("{}.json", moment.word()));
            fs_err::write(kept, &ended.stdout).map_err(|error| failed(error.to_string()))?;
        }
        Ok(Some(ended.stdout))
    }

    async fn complaint(&self, command: &[String], serving: &Release) -> Result<Option<String>, CheckFailure> {
        let (_, ended) = self.run(command, None, serving).await?;
        Ok((!ended.success).then(|| ended.complaint()))
    }

    async fn bare_flip(&self, from: Option<&Release>, to: &Release) -> Result<Duration, CheckFailure> {
        let to = self.bare(to).await?;
        let from = match from {
            Some(from) => self.bare(from).await?,
            None => Vec::new(),
        };
        let notify = self.place.runtime.join("bare");
        let flip = move || -> Result<Duration, BareError> {
            let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(BareError::Io)?;
            let start = |programs: &[(BareProgram, bool)]| -> Result<Vec<BareInstance>, BareError> {
                programs
                    .iter()
                    .map(|(unit, listens)| unit.start(listens.then_some(&listener), &notify))
                    .collect()
            };
            let old = start(&from)?;
            let began = Instant::now();
            let new = start(&to)?;
            old.iter().try_for_each(BareInstance::tell_to_stop)?;
            let took = began.elapsed();
            new.iter().try_for_each(BareInstance::tell_to_stop)?;
            for instance in old.into_iter().chain(new) {
                instance.wait(BARE_END_MAX);
            }
            Ok(took)
        };
        let flipped = tokio::task::spawn_blocking(flip).await;
        flipped.map_err(|error| failure(error.to_string()))?.map_err(|error| failure(error.to_string()))
    }
}

impl Sandbox {
    /// Where the drill's commands find what users wrote.
    fn written(&self) -> PathBuf {
        self.place.folder.join(WRITTEN)
    }

    /// Runs one of the drill's own commands to its end; the command as it was run, and how it ended.
    async fn run(
        &self,
        command: &[String],
        moment: Option<UsersMoment>,
        serving: &Release,
    ) -> Result<(String, Ended), CheckFailure> {
        let files = self.files(serving).await?;
        let mut words = self
            .placeholders(&files, self.site.config.units.executable())
            .with("written", self.written().display().to_string());
        if let Some(moment) = moment {
            words = words.with("moment", moment.word());
        }
        let environment = words.fill_values(&self.site.environment.environment);
        let command = words.fill_words(command);
        let shown = command.join(" ");
        let failed = |why: String| CheckFailure {
            message: format!("a command of the drill could not be run: {why}"),
            hint: Some(format!("run it yourself: {shown}")),
        };
        let mut program = Program::new(command, self.drill.time_max.0)
            .in_folder(&self.folder)
            .with(&environment)
            .with(&self.database_variable().map_err(failed)?);
        program.output_bytes_max = PRINTED_BYTES_MAX;
        let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
        Ok((shown, ended))
    }

    fn database_variable(&self) -> Result<BTreeMap<String, String>, String> {
        let Some(database) = &self.site.config.database else { return Ok(BTreeMap::new()) };
        let url = fs_err::read_to_string(&database.url_file).map_err(|error| error.to_string())?;
        Ok(BTreeMap::from([(database.variable.clone(), url.trim().to_owned())]))
    }
}

impl Place {
    fn make(keep: Option<&Path>) -> Result<Place, SandboxError> {
        let mut temporary = Vec::new();
        let folder = if let Some(keep) = keep {
            if keep.exists() {
                return Err(SandboxError::Exists { folder: keep.to_owned() });
            }
            fs_err::create_dir_all(keep)?;
            fs_err::canonicalize(keep)?
        } else {
            let made = tempfile::Builder::new().prefix("unship-drill-").tempdir()?;
            let folder = fs_err::canonicalize(made.path())?;
            temporary.push(made);
            folder
        };
        let mut runtime = folder.join("run");
        if runtime.as_os_str().len() > RUNTIME_BYTES_MAX {
            // Sockets have short names only; a kept sandbox may be deep down.
            let made = tempfile::Builder::new().prefix("unship-drill-run-").tempdir_in("/tmp")?;
            made.path().clone_into(&mut runtime);
            temporary.push(made);
        }
        for name in ["root", "ledger", "data", WRITTEN] {
            fs_err::create_dir_all(folder.join(name))?;
        }
        // The child runner refuses a folder that others can write to.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&runtime)?;
        Ok(Place { folder, runtime, _temporary: temporary })
    }
}

/// Makes the repository: by the configured command, else a clone of the service's own.
async fn make_history(drill: &Drill, folder: &Path, history: &Path) -> Result<(), SandboxError> {
    let words = Placeholders::default().with("history", history.display().to_string());
    let command = match &drill.history {
        Some(command) => words.fill_words(command.words()),
        None => {
            ["git", "clone", "--quiet", "--local", ".", "{history}"].map(|word| words.fill(word)).to_vec()
        }
    };
    let shown = command.join(" ");
    let failed = |why: String| SandboxError::History { why, command: shown.clone() };
    let program = Program::new(command, drill.time_max.0).in_folder(folder);
    let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
    if ended.success { Ok(()) } else { Err(failed(format!("{}: {}", ended.status, ended.complaint()))) }
}

/// The values of a flat JSON object as texts.
fn variables(stdout: &[u8]) -> Result<Variables, String> {
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_slice(stdout)
        .map_err(|error| format!("it must print one JSON object on standard output: {error}"))?;
    let mut variables = Variables::new();
    for (name, value) in object {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            // The value may be a secret: only its name is said.
            _ => return Err(format!("the value of `{name}` must be a string or a number")),
        };
        variables.insert(name, text);
    }
    Ok(variables)
}

fn failure(message: impl Into<String>) -> CheckFailure {
    CheckFailure { message: message.into(), hint: None }
}

#[cfg(test)]
mod tests;
