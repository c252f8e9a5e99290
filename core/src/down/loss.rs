//! What a step down destroys: named, counted on the live database, and accepted by a digest.
//!
//! The digest covers the migration, what is lost and the ceilings, and no counts: what is written between the
//! look and the yes does not void the yes, as long as it stays below the ceiling.

use serde::{Deserialize, Serialize};

use crate::release::Digest;
use crate::sql::ObjectName;

/// Something that is destroyed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LossKind {
    /// A table with its rows.
    Table {
        /// The table.
        table: ObjectName,
    },
    /// A column with its values.
    Column {
        /// The table, which stays.
        table: ObjectName,
        /// The column.
        column: String,
        /// Its default as the database prints it: values like it are no loss.
        default: Option<String>,
    },
    /// A column whose values are written in another type.
    Rewritten {
        /// The table.
        table: ObjectName,
        /// The column.
        column: String,
        /// The type that it has now.
        from: String,
        /// The type that it gets.
        to: String,
    },
    /// How far a sequence was used, where it is dropped or sent back and no table or column that is lost owns it.
    Sequence {
        /// The sequence.
        sequence: ObjectName,
    },
    /// Rows that the down changes or deletes itself, or that cascade away. How many cannot be told beforehand:
    /// all rows of the table are counted.
    Rows {
        /// The table.
        table: ObjectName,
    },
}

impl LossKind {
    /// The table that it is about, or the sequence.
    pub fn table(&self) -> &ObjectName {
        match self {
            LossKind::Table { table: name }
            | LossKind::Column { table: name, .. }
            | LossKind::Rewritten { table: name, .. }
            | LossKind::Rows { table: name }
            | LossKind::Sequence { sequence: name } => name,
        }
    }
}

/// A loss, counted on the live database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What is destroyed.
    pub kind: LossKind,
    /// Rows of the table.
    pub rows: u64,
    /// Rows that lose something: for a column those that are neither NULL nor its default.
    pub affected: u64,
    /// Bytes on disk of the table, or an estimate for the column.
    pub bytes: u64,
    /// Of the affected rows, those written since the release was deployed; none where nothing in the row tells.
    pub since_deploy: Option<u64>,
}

/// What a program may destroy at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// What is destroyed.
    pub kind: LossKind,
    /// Affected rows at most.
    pub affected_max: u64,
}

/// Everything that one step down destroys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossReport {
    /// The migration's id.
    pub migration: String,
    /// Digest of the down's text.
    pub down: Digest,
    /// What is destroyed; empty when nothing is.
    pub losses: Vec<Loss>,
}

impl LossReport {
    /// Whether nothing is lost that anybody wrote: no loss, or none that touches a row.
    pub fn is_nothing(&self) -> bool {
        self.losses.iter().all(|loss| loss.affected == 0)
    }

    /// What an acceptance of this report allows.
    pub fn allowed(&self) -> Vec<Allowed> {
        let of = |loss: &Loss| Allowed { kind: loss.kind.clone(), affected_max: ceiling(loss.affected) };
        self.losses.iter().map(of).collect()
    }

    /// What an acceptance names.
    pub fn digest(&self) -> Digest {
        let named = (&self.migration, &self.down, self.allowed());
        // Only strings and numbers: its JSON cannot fail and is the same every time.
        Digest::of(serde_json::to_string(&named).unwrap_or_default().as_bytes())
    }
}

/// The ceiling over a count: the next of 0, 10, 20, 50, 100, 200, 500, ... that leaves a quarter of room.
pub fn ceiling(count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let wanted = count.saturating_add(count / 4);
    let mut unit: u64 = 10;
    loop {
        for step in [1, 2, 5] {
            match unit.checked_mul(step) {
                Some(bound) if bound >= wanted => return bound,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        let Some(next) = unit.checked_mul(10) else { return u64::MAX };
        unit = next;
    }
}
