//! Throwaway databases for flows, starting an old release on one, and a look at the live one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use unship_core::release::Release;
use unship_core::schema::{Catalog, Name};
use unship_core::tools::{Migrator, Tool};

use super::{CheckFailure, Shadow, ShadowFailure};

/// What is configured of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaSettings {
    /// The migrations folder, as paths in capsules begin.
    pub folder: String,
    /// Whose migrations they are, if that was said.
    pub tool: Option<Tool>,
    /// As which role the service connects.
    pub role: Option<String>,
    /// What is said of an old release that starts on a newer database.
    pub start: AtStart,
}

/// What is said of a release's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AtStart {
    /// What it does on a newer database.
    pub boot: BootSaid,
    /// What migrates then, where that is not the tool whose files are read.
    pub migrator: Option<Migrator>,
}

/// What a person said of old releases that start on a newer database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootSaid {
    /// Nothing: the tool's rule holds, and a proof where there can be one.
    #[default]
    ByTool,
    /// They take what they do not know as it is.
    IgnoresNewer,
    /// They run no migrator when they start.
    RunsNone,
}

/// A database that was lent to a program: it may do there what it likes.
#[derive(Debug)]
pub struct Lent {
    pub url: String,
    /// A folder that goes away with it.
    pub folder: tempfile::TempDir,
}

/// What a live database has.
#[derive(Debug, Clone)]
pub struct LiveSchema {
    /// Its schema, without the migration tool's own table.
    pub catalog: Catalog,
    /// The bytes of every table with its indexes.
    pub bytes: BTreeMap<Name, u64>,
    /// The version at which the tool's last run broke off, for a tool that keeps that and then refuses everything.
    pub dirty: Option<String>,
}

impl LiveSchema {
    /// The bytes of a table that is named as for people.
    pub fn bytes_of(&self, table: &str) -> Option<u64> {
        self.bytes.iter().find(|(name, _)| name.to_string() == table).map(|(_, bytes)| *bytes)
    }
}

/// Makes throwaway databases, and looks at the live one.
#[async_trait]
pub trait Shadows: Send + Sync {
    /// What is configured.
    fn settings(&self) -> &SchemaSettings;
    /// An empty database for migrations of a tool.
    async fn open(&self, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure>;
    /// Starts the migrator of a release on a database, and waits for its end. None if there is no command for it,
    /// or no artifact.
    async fn boot(&self, release: &Release, lent: &Lent) -> Option<Result<(), CheckFailure>>;
    /// The live database as it is, which is only read. None if its URL is not configured.
    async fn live(&self, tool: Tool) -> Option<Result<LiveSchema, CheckFailure>>;
}
