//! Whether a database is what its migrations make: version table, checksums, and its schema beside that of a
//! throwaway database on which the same migrations were run.

use serde::Serialize;
use unship_core::down::{Drift, drift};

use super::status::{Found, Standing, standings};
use super::{Parts, Subject};
use crate::flow::FlowError;
use crate::flow::down::timed;
use crate::ports::Live;

/// What was compared, and what differs.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// The database as it is.
    pub live: Live,
    /// How many migrations are applied.
    pub applied: usize,
    /// What is not as it should be, a sentence each; empty when all is well.
    pub wrong: Vec<String>,
    /// Differences on what no migration touches, and such as do no harm.
    pub beside: Vec<String>,
}

/// Compares. Changes nothing.
pub async fn verify(parts: &Parts<'_>, subject: &Subject) -> Result<Verified, FlowError> {
    let tool = subject.set.tool;
    let live = parts.database.look(tool).await?;
    let found = standings(&subject.set, &live);
    let mut wrong: Vec<String> = found.iter().filter_map(complaint).collect();
    if live.applied.dirty {
        wrong.push("the version table says that a migration broke off halfway".into());
    }
    let applied = live.applied.of(&subject.set);
    let title = format!("run {} migrations on a throwaway database", applied.len());
    let (expected, mut beside) = timed(parts, &title, async {
        let mut shadow = parts.shadows.open(tool).await?;
        let mut beside = Vec::new();
        let mut tried = Ok(());
        for migration in &applied {
            match shadow.apply(migration).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => {
                    beside.push(format!("{} did not run there: {}", migration.id, failure.placed()));
                }
                Err(failure) => {
                    tried = Err(failure);
                    break;
                }
            }
        }
        let catalog = match tried {
            Ok(()) => shadow.catalog().await,
            Err(failure) => Err(failure),
        };
        // It is thrown away either way; what was seen counts.
        let _ = shadow.close().await;
        Ok((catalog?, beside))
    })
    .await?;
    let is = parts.database.catalog(tool).await?;
    let touched = expected.objects().map(|object| object.name.parent()).collect();
    let Drift { matters, beside: others } = drift(&expected, &is, &touched);
    wrong.extend(matters);
    beside.extend(others);
    Ok(Verified { live, applied: applied.len(), wrong, beside })
}

fn complaint(found: &Found) -> Option<String> {
    let name = &found.migration;
    match found.standing {
        Standing::Edited => Some(format!("{name} was applied from a file that reads otherwise")),
        Standing::Unknown => Some(format!("version {name} is applied, and there is no file for it here")),
        Standing::PassedOver => Some(format!("{name} is not applied, and a newer one is")),
        Standing::Applied | Standing::Pending => None,
    }
}
