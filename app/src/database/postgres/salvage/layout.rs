//! What one store holds, written beside it as JSON: enough to put it back without the database that it came from.

use serde::{Deserialize, Serialize};
use unship_core::down::LossKind;
use unship_core::sql::ObjectName;
use unship_core::sql::quote::{QuoteError, identifier};

use super::shape::{Column, list};
use crate::database::postgres::live::home::SCHEMA;

/// Columns of ours in a store. A table that has a column of such a name is not salvaged but refused.
pub(super) const OURS: &str = "unship_";

/// How a store came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// The table itself.
    Aside,
    /// Copied before the lock, and what was written meanwhile under it.
    Copied,
    /// Copied whole under the lock, because no key tells its rows apart.
    CopiedWhole,
    /// Rows as they were before the down changed or deleted them.
    Changed,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    pub form: Form,
    /// The table as it is called with the migration applied.
    pub table: ObjectName,
    pub oid: u32,
    /// What tells the rows apart; empty if nothing does.
    pub key: Vec<Column>,
    /// What is kept beside the key.
    pub kept: Vec<Column>,
    /// What stays in the row: from it a mark is made that shows whether the row was written since. Of a table, what the
    /// one has that the down made anew in its place.
    pub rest: Vec<Column>,
    /// The type, as PostgreSQL prints it, in which the down wrote the values of a column that stays.
    pub made_type: Option<String>,
}

impl Layout {
    /// Key and values.
    pub fn columns(&self) -> Vec<Column> {
        let mut all: Vec<Column> = self.key.iter().chain(&self.kept).cloned().collect();
        all.sort_by_key(|column| column.num);
        all
    }

    /// Whether it keeps columns of a table without a key.
    pub fn is_keyless_column(&self, kind: &LossKind) -> bool {
        self.key.is_empty() && matches!(kind, LossKind::Column { .. } | LossKind::Rewritten { .. })
    }

    /// Columns that are kept and lose their values by more than a change of rows.
    pub fn lost(&self) -> impl Iterator<Item = &Column> {
        let stays = |column: &Column| self.rest.iter().any(|one| one.num == column.num);
        self.kept.iter().filter(move |column| !column.generated && !stays(column))
    }

    /// The mark of a live row, whose columns are called as `names` says; NULL never.
    pub fn mark(&self, row: &str, name: impl Fn(&Column) -> Option<String>) -> Result<String, QuoteError> {
        let mut values = Vec::new();
        for column in &self.rest {
            if let Some(name) = name(column) {
                values.push(format!("{row}.{}", identifier(&name)?));
            }
        }
        Ok(format!("hashtextextended(CAST(ROW({}) AS text) COLLATE \"C\", 0)", values.join(", ")))
    }

    /// The mark of a row whose columns have the names that they have with the migration applied.
    pub fn mark_as_named(&self, row: &str) -> Result<String, QuoteError> {
        self.mark(row, |column| Some(column.name.clone()))
    }

    /// `left` and `right` have the same key, both as stores keep it.
    pub fn same_kept_key(&self, left: &str, right: &str) -> Result<String, QuoteError> {
        let same = list(&self.key, |column| {
            let name = column.quoted()?;
            Ok(format!("{left}.{name} = {right}.{name}"))
        })?;
        Ok(same.join(" AND "))
    }

    /// The live row `live`, whose key columns are called as `name` says, has the key that `kept` keeps.
    pub fn same_live_key(
        &self,
        live: &str,
        kept: &str,
        name: impl Fn(&Column) -> Option<String>,
    ) -> Result<String, QuoteError> {
        let same = list(&self.key, |column| {
            let live_name = identifier(&name(column).unwrap_or_else(|| column.name.clone()))?;
            let equals = column.equals.as_deref().unwrap_or("=");
            let collate =
                column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            Ok(format!("{live}.{live_name} {equals} ({}{collate})", column.to_live(kept)?))
        })?;
        Ok(same.join(" AND "))
    }

    /// The names of the key's columns, with `row` in front.
    pub fn key_names(&self, row: &str) -> Result<String, QuoteError> {
        Ok(list(&self.key, |column| Ok(format!("{row}{}", column.quoted()?)))?.join(", "))
    }
}

/// Whether a store has marks: its rows stay in the table, without what is kept.
pub(super) fn has_marks(kind: &LossKind) -> bool {
    !matches!(kind, LossKind::Table { .. })
}

/// A store: its row in `unship.salvage_store`.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub id: i64,
    pub place: String,
    pub kind: LossKind,
    pub layout: Layout,
    /// Rows, where they were counted on the way.
    pub rows: Option<i64>,
}

impl Kept {
    /// The store's table, quoted.
    pub fn quoted(&self) -> Result<String, QuoteError> {
        Ok(format!("{SCHEMA}.{}", identifier(&self.place)?))
    }

    /// What of it was lost, as people name it: several columns of a table without a key are in one store.
    pub fn lost(&self) -> Vec<LossKind> {
        let (LossKind::Column { table, column, .. } | LossKind::Rewritten { table, column, .. }) = &self.kind
        else {
            return vec![self.kind.clone()];
        };
        let others = self.layout.kept.iter().filter(|other| other.name != *column);
        let others = others.map(|other| LossKind::Column {
            table: table.clone(),
            column: other.name.clone(),
            default: None,
        });
        std::iter::once(self.kind.clone()).chain(others).collect()
    }

    /// The table of keys written while the store is copied, quoted.
    pub fn delta(&self) -> Result<String, QuoteError> {
        Ok(format!("{SCHEMA}.{}", identifier(&format!("s{}_delta", self.id))?))
    }

    /// The trigger that notes them, quoted.
    pub fn trigger(&self) -> Result<String, QuoteError> {
        identifier(&format!("unship_note_{}", self.id))
    }

    /// The trigger that notes that the table was emptied, quoted.
    pub fn emptied(&self) -> Result<String, QuoteError> {
        identifier(&format!("unship_note_{}_t", self.id))
    }

    /// The trigger function that fills it, quoted.
    pub fn note(&self) -> Result<String, QuoteError> {
        Ok(format!("{SCHEMA}.{}", identifier(&format!("s{}_note", self.id))?))
    }
}

/// The name of a store: readable, and short enough for PostgreSQL whatever the table is called.
pub(super) fn place(id: i64, table: &ObjectName) -> String {
    let readable: String = table
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(30)
        .collect();
    format!("s{id}_{readable}")
}
