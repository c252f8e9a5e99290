//! `[queries]`: where the queries are that the service sends, and as whom it sends them.

use serde::Deserialize;

use unship_core::tools::{Migrator, Tool};

use super::RelativePath;

/// A migration tool, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ToolName(pub Tool);

impl TryFrom<String> for ToolName {
    type Error = String;

    fn try_from(name: String) -> Result<ToolName, String> {
        let known = || Tool::ALL.map(Tool::name).join(", ");
        name.parse().map(ToolName).map_err(|error| format!("{error}; known are {}", known()))
    }
}

/// What runs migrations when the service starts, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MigratorName(pub Migrator);

impl TryFrom<String> for MigratorName {
    type Error = String;

    fn try_from(name: String) -> Result<MigratorName, String> {
        name.parse().map(MigratorName).map_err(|error: unship_core::tools::UnknownMigrator| error.to_string())
    }
}

/// A kind of database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// PostgreSQL.
    #[default]
    Postgresql,
    /// SQLite.
    Sqlite,
}

/// `[queries]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queries {
    /// Files and folders, relative to the repository; looked for unless given.
    pub paths: Vec<RelativePath>,
    /// The role as which the service connects to PostgreSQL.
    pub role: Option<String>,
}
