//! Which throwaway database a check gets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use unship_core::release::Release;
use unship_core::tools::{Tool, about};

use crate::config::CommandLine;
use crate::placeholders::Placeholders;
use crate::process::Program;
use crate::secrets::Secrets;

use crate::database::shadow::Limits as ShadowLimits;
use crate::database::shadow::postgres::{Binaries, Cluster, OwnTable, PostgresShadow, Server};
use crate::database::shadow::sqlite::{Launch, SqliteShadow};
use crate::ports::{CheckFailure, Lent, LiveSchema, SchemaSettings, Shadow, ShadowFailure, Shadows, Source};

/// On which database the migrations are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// A PostgreSQL server.
    #[default]
    Postgres,
    /// SQLite, in a process of its own.
    Sqlite,
}

/// Where the throwaway database comes from.
#[derive(Debug, Clone, Default)]
pub struct ShadowChoice {
    /// On which database.
    pub engine: Engine,
    /// Folder of the PostgreSQL server binaries; found if not given.
    pub pg_bin: Option<PathBuf>,
    /// A server that was given for the purpose, instead of one of our own.
    pub url: Option<String>,
    pub limits: ShadowLimits,
}

/// Starts or reaches a server and makes an empty database for the migrations of one tool.
pub async fn shadow(choice: &ShadowChoice, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
    if choice.engine == Engine::Sqlite {
        return sqlite(choice, tool);
    }
    let server = match &choice.url {
        Some(url) => Server::given(url)?,
        None => {
            let binaries = Binaries::find(choice.pg_bin.as_deref())?;
            Server::Throwaway(Cluster::start(binaries, &choice.limits).await?)
        }
    };
    let own_tables: Vec<OwnTable> = about(tool)
        .table
        .iter()
        .map(|table| OwnTable {
            name: table.name.to_owned(),
            // A fixed name of lower-case letters; nothing in it needs quotes.
            create: table.create_postgres.replace("{table}", table.name),
        })
        .collect();
    let shadow = PostgresShadow::open(Arc::new(server), choice.limits, &own_tables).await?;
    Ok(Box::new(shadow))
}

/// The hidden verb under which the program runs SQLite for itself.
const SQLITE_VERB: &str = "sqlite-shadow";

fn sqlite(choice: &ShadowChoice, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
    let program = std::env::current_exe().map_err(|error| ShadowFailure {
        message: format!("cannot tell which program this is, to run SQLite in another process: {error}"),
        hint: None,
    })?;
    let launch = Launch { program, arguments: vec![SQLITE_VERB.to_owned()] };
    let tables = about(tool).table.iter().map(|table| table.name.to_owned()).collect();
    Ok(Box::new(SqliteShadow::open(launch, choice.limits, tables)))
}

/// The statements that the server at `url` has counted in its database.
pub async fn live_queries(url: &str) -> Result<Vec<String>, ShadowFailure> {
    crate::database::postgres::statistics::queries(url).await.map_err(|error| ShadowFailure {
        message: format!(
            "pg_stat_statements could not be read: {}",
            Secrets::of_url(url).redact(&error.to_string())
        ),
        hint: Some(
            "the extension must be in `shared_preload_libraries` and made in that database".to_owned(),
        ),
    })
}

/// The schema of the live database at `url`, which is only read.
pub async fn live_schema(engine: Engine, url: &str, tool: Tool) -> Result<LiveSchema, CheckFailure> {
    let table = about(tool).table;
    let looked = match engine {
        Engine::Postgres => crate::database::postgres::live_schema::look(url, table.as_ref()).await,
        Engine::Sqlite => crate::database::sqlite::live_schema::look(url, table.as_ref()).await,
    };
    looked.map_err(|error| CheckFailure {
        message: format!(
            "the live database could not be looked at: {}",
            Secrets::of_url(url).redact(&error.to_string())
        ),
        hint: None,
    })
}

/// Throwaway databases as a site's configuration says, and its commands to start old releases with.
pub(super) struct SiteShadows {
    pub settings: SchemaSettings,
    pub choice: ShadowChoice,
    pub source: Arc<dyn Source>,
    pub executable: String,
    pub placeholders: Placeholders,
    pub environment: BTreeMap<String, String>,
    /// The variable in which the service finds the URL of its database.
    pub variable: String,
    /// The file with the URL of the live database.
    pub url_file: Option<String>,
    pub up: Option<CommandLine>,
}

/// Throwaway databases for migrations that belong to no site: there are no releases to start on them.
pub(super) struct LooseShadows {
    settings: SchemaSettings,
    choice: ShadowChoice,
}

impl LooseShadows {
    pub fn new(choice: ShadowChoice) -> LooseShadows {
        LooseShadows { settings: SchemaSettings::default(), choice }
    }
}

#[async_trait]
impl Shadows for LooseShadows {
    fn settings(&self) -> &SchemaSettings {
        &self.settings
    }

    async fn open(&self, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
        shadow(&self.choice, tool).await
    }

    async fn boot(&self, _: &Release, _: &Lent) -> Option<Result<(), CheckFailure>> {
        None
    }

    async fn live(&self, _: Tool) -> Option<Result<LiveSchema, CheckFailure>> {
        None
    }
}

/// How long an old release may take on an empty database.
const BOOT_MS_MAX: u64 = 60_000;

/// Words before a command that take the network from it, where the system allows that: as root, who would lose the way
/// to the database's socket in a user namespace, and as anybody else.
const WITHOUT_NETWORK: [&[&str]; 2] =
    [&["unshare", "--net", "--"], &["unshare", "--user", "--map-current-user", "--net", "--"]];

/// The first of those that works here.
async fn without_network() -> &'static [&'static str] {
    for words in WITHOUT_NETWORK {
        let tried = Program::new(words.iter().copied().chain(["true"]), BOOT_MS_MAX).run().await;
        if tried.is_ok_and(|ended| ended.success) {
            return words;
        }
    }
    &[]
}

#[async_trait]
impl Shadows for SiteShadows {
    fn settings(&self) -> &SchemaSettings {
        &self.settings
    }

    async fn open(&self, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
        shadow(&self.choice, tool).await
    }

    async fn boot(&self, release: &Release, lent: &Lent) -> Option<Result<(), CheckFailure>> {
        let up = self.up.as_ref()?;
        let artifact = self.source.kept(release).await.ok()?;
        // Of a release that was taken over only the papers are here: what cannot be started refuses nothing.
        if !artifact.folder.join(&self.executable).is_file() {
            return None;
        }
        let placeholders = self
            .placeholders
            .clone()
            .with("executable", artifact.folder.join(&self.executable).display().to_string())
            .with("release", artifact.folder.display().to_string())
            .with("data", lent.folder.path().display().to_string());
        let words = placeholders.fill_words(up.words());
        let shown = words.join(" ");
        let words = without_network().await.iter().map(|word| (*word).to_owned()).chain(words);
        let variable = BTreeMap::from([(self.variable.clone(), lent.url.clone())]);
        let program = Program::new(words, BOOT_MS_MAX)
            .in_folder(lent.folder.path())
            .with(&placeholders.fill_values(&self.environment))
            .with(&variable);
        let failed = |why: String| CheckFailure {
            message: format!("`{shown}` on a throwaway database with the newer schema: {why}"),
            hint: None,
        };
        Some(match program.run().await {
            Ok(ended) if ended.success => Ok(()),
            Ok(ended) => Err(failed(format!("{}: {}", ended.status, ended.complaint()))),
            Err(error) => Err(failed(error.to_string())),
        })
    }

    async fn live(&self, tool: Tool) -> Option<Result<LiveSchema, CheckFailure>> {
        let file = self.placeholders.fill(self.url_file.as_ref()?);
        let url = match fs_err::read_to_string(PathBuf::from(file)) {
            Ok(url) => url,
            Err(error) => {
                let message = format!("the live database could not be looked at: {error}");
                return Some(Err(CheckFailure { message, hint: None }));
            }
        };
        Some(live_schema(self.choice.engine, url.trim(), tool).await)
    }
}
