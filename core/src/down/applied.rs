//! What a migration tool's own table says is applied, and which migrations a step down is about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tools::{Migration, MigrationSet, Rows, about};

/// What the version table of a live database says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The versions as the tool records them, in no order. For a tool that records the newest only, that one.
    pub versions: BTreeSet<String>,
    /// An earlier run of the tool broke off, and the tool refuses everything until somebody looks.
    pub dirty: bool,
}

/// Why it is not known what to take down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// The tool's own mark of a run that broke off.
    #[error("the version table says that a migration broke off halfway (dirty)")]
    Dirty,
    /// The database has a version that none of the files at hand is.
    #[error("the database has {}, for which there is no file here", .versions.join(", "))]
    Unknown {
        /// As the tool records them.
        versions: Vec<String>,
    },
    /// Something that must go lies below something that must stay.
    #[error("{below} is older than {above}, which stays: only the newest can be taken down")]
    OutOfOrder {
        /// The migration that must go.
        below: String,
        /// The applied one above it that must stay.
        above: String,
    },
}

/// The applied migrations of `set` that are not in `keep` (versions as recorded), newest first. They are the
/// newest applied ones, without a gap; anything else is an error.
pub fn newest_not_in<'a>(
    applied: &Applied,
    set: &'a MigrationSet,
    keep: &BTreeSet<String>,
) -> Result<Vec<&'a Migration>, SpanError> {
    if applied.dirty {
        return Err(SpanError::Dirty);
    }
    let unknown: Vec<String> =
        applied.versions.iter().filter(|version| set.find(version).is_none()).cloned().collect();
    if !unknown.is_empty() {
        return Err(SpanError::Unknown { versions: unknown });
    }
    let mut stays: Option<&Migration> = None;
    let mut down = Vec::new();
    for migration in applied.of(set).into_iter().rev() {
        if keep.contains(migration.version.recorded()) {
            stays = stays.or(Some(migration));
        } else if let Some(above) = stays {
            return Err(SpanError::OutOfOrder { below: migration.id.clone(), above: above.id.clone() });
        } else {
            down.push(migration);
        }
    }
    Ok(down)
}

impl Applied {
    /// The migrations of `set` that are applied, oldest first as the tool orders them.
    pub fn of<'a>(&self, set: &'a MigrationSet) -> Vec<&'a Migration> {
        let only_newest =
            about(set.tool).table.is_some_and(|table| matches!(table.rows, Rows::OnlyNewest { .. }));
        let newest = set.migrations.iter().rposition(|one| self.versions.contains(one.version.recorded()));
        let is = |(place, one): &(usize, &Migration)| {
            if only_newest {
                newest.is_some_and(|newest| *place <= newest)
            } else {
                self.versions.contains(one.version.recorded())
            }
        };
        set.migrations.iter().enumerate().filter(is).map(|(_, one)| one).collect()
    }
}
