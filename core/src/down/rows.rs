//! What a tool writes into its version table for one migration, with the values in their places.

use super::program::{RowChange, Value};
use crate::tools::{Bind, Migration, RowWrite, VersionTable, checksum};

/// The tool's writes with what they need bound. `version_before` is the version that is newest after a down; none if
/// nothing is applied then.
pub fn row_changes<'a>(
    table: &VersionTable,
    writes: impl IntoIterator<Item = &'a RowWrite>,
    migration: &Migration,
    version_before: Option<&str>,
) -> Vec<RowChange> {
    let is_number = table
        .columns
        .iter()
        .any(|column| column.name == table.version_column && column.postgres.contains("int"));
    let version = |recorded: &str| match recorded.parse() {
        Ok(number) if is_number => Value::Number(number),
        _ => Value::Text(recorded.to_owned()),
    };
    let value = |bind: &Bind| match bind {
        Bind::Version => version(migration.version.recorded()),
        Bind::VersionBefore => version(version_before.unwrap_or("-1")),
        Bind::Description => Value::Text(migration.name.replace('_', " ")),
        Bind::Checksum => Value::Bytes(checksum(migration).unwrap_or_default()),
    };
    let change = |write: &RowWrite| RowChange {
        sql: write.sql.to_owned(),
        values: write.binds.iter().map(value).collect(),
    };
    writes.into_iter().map(change).collect()
}
