//! What the version table says beside the files.

use serde::Serialize;
use unship_core::release::Release;
use unship_core::tools::{self, MigrationSet, Tool};

use super::Subject;
use crate::flow::FlowError;
use crate::ports::{Database, Fence, Live, Salvaged};

/// How a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Applied, and the file is the one that was applied as far as the tool can tell.
    Applied,
    /// Applied, and the tool's checksum says that the file was another one.
    Edited,
    /// In the database; there is no file for it here.
    Unknown,
    /// Not applied, and older than one that is.
    PassedOver,
    /// Not applied.
    Pending,
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its id; of one without a file, its version.
    pub migration: String,
    /// As the tool records it.
    pub version: String,
    /// How it stands.
    pub standing: Standing,
}

/// All of them, with what stands around them.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Whose migrations they are.
    pub tool: Tool,
    /// The release whose files these are; none for a folder.
    pub release: Option<Release>,
    /// The database as it is.
    pub live: Live,
    /// In the tool's order; those without a file last.
    pub migrations: Vec<Found>,
    /// The newest applied one.
    pub newest: Option<String>,
    /// What must not be applied again for now.
    pub fences: Vec<Fence>,
    /// What was salvaged and is still kept.
    pub salvaged: Vec<Salvaged>,
}

/// Looks. Changes nothing.
pub async fn status(database: &dyn Database, subject: &Subject) -> Result<Status, FlowError> {
    let tool = subject.set.tool;
    let live = database.look(tool).await?;
    let migrations = standings(&subject.set, &live);
    let newest = live.applied.of(&subject.set).last().map(|migration| migration.id.clone());
    let (fences, salvaged) = (database.fences().await?, database.salvaged().await?);
    Ok(Status { tool, release: subject.release.clone(), live, migrations, newest, fences, salvaged })
}

/// How each migration stands.
pub(super) fn standings(set: &MigrationSet, live: &Live) -> Vec<Found> {
    let applied = live.applied.of(set);
    let newest = applied.last().map(|migration| &migration.version);
    let of_file = |migration: &tools::Migration| {
        let version = migration.version.recorded();
        let written = live.checksums.iter().find(|(of, _)| of == version).map(|(_, checksum)| checksum);
        let standing = if applied.iter().any(|one| one.id == migration.id) {
            match (written, tools::checksum(migration)) {
                (Some(written), Some(ours)) if *written != ours => Standing::Edited,
                _ => Standing::Applied,
            }
        } else if newest.is_some_and(|newest| migration.version < *newest) {
            Standing::PassedOver
        } else {
            Standing::Pending
        };
        Found { migration: migration.id.clone(), version: version.to_owned(), standing }
    };
    let unknown = live.applied.versions.iter().filter(|version| set.find(version).is_none());
    let unknown = unknown.map(|version| Found {
        migration: version.clone(),
        version: version.clone(),
        standing: Standing::Unknown,
    });
    set.migrations.iter().map(of_file).chain(unknown).collect()
}

#[cfg(test)]
mod tests;
