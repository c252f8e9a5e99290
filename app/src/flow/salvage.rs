//! What steps down destroyed and kept: listing it, writing it into files, dropping it, putting it back.

use std::path::{Path, PathBuf};

use unship_core::release::RunId;

use super::FlowError;
use crate::ports::{Database, OnConflict, Restored, Salvaged, World};

/// Which salvages are meant: all of a run, or that of one step.
#[derive(Debug, Clone)]
pub struct Which {
    pub run: RunId,
    pub step: Option<usize>,
}

fn database(world: &World) -> Result<&dyn Database, FlowError> {
    world.database.as_deref().ok_or(FlowError::NoDatabase)
}

/// Everything that is salvaged, newest first.
pub async fn list(world: &World) -> Result<Vec<Salvaged>, FlowError> {
    Ok(database(world)?.salvaged().await?)
}

/// What is meant by `which`, newest first; never empty.
pub async fn find(world: &World, which: &Which) -> Result<Vec<Salvaged>, FlowError> {
    let all = list(world).await?;
    let is_meant = |one: &Salvaged| one.run == which.run && which.step.is_none_or(|step| step == one.step);
    let found: Vec<Salvaged> = all.iter().filter(|one| is_meant(one)).cloned().collect();
    if found.is_empty() {
        let mut known: Vec<RunId> = all.into_iter().map(|one| one.run).collect();
        known.dedup();
        return Err(FlowError::NothingSalvaged { run: which.run.clone(), step: which.step, known });
    }
    Ok(found)
}

/// Writes a salvage into files of a new folder.
pub async fn export(world: &World, salvage: &Salvaged, folder: &Path) -> Result<Vec<PathBuf>, FlowError> {
    Ok(database(world)?.export(salvage, folder).await?)
}

/// Drops a salvage for good.
pub async fn drop(world: &World, salvage: &Salvaged) -> Result<(), FlowError> {
    Ok(database(world)?.drop_salvage(salvage).await?)
}

/// Puts a salvage back, after its migration was applied again.
pub async fn restore(
    world: &World,
    salvage: &Salvaged,
    conflicts: OnConflict,
    dry_run: bool,
) -> Result<Restored, FlowError> {
    Ok(database(world)?.restore(salvage, conflicts, dry_run, world.progress.as_ref()).await?)
}
