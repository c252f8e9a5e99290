//! Names of tables and columns in SQL, and which names are ours.

use unship_core::sql::ObjectName;
use unship_core::sql::quote::{QuoteError, sqlite_identifier};

/// What everything begins with that unship keeps in a service's database.
const OURS: &str = "unship_";

/// Whether an object is one of unship's own.
pub fn is_ours(name: &str) -> bool {
    name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

/// Names that SQLite takes for the same.
pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// A table of the database itself, whatever else is attached or temporary.
pub fn main(table: &str) -> Result<String, QuoteError> {
    Ok(format!("main.{}", sqlite_identifier(table)?))
}

/// A table's name as losses have it: SQLite has no schemas.
pub fn object(table: &str) -> ObjectName {
    ObjectName { schema: None, name: table.to_owned() }
}

/// Columns of a row under an alias: `b."id", b."title"`.
pub fn columns<'a>(alias: &str, names: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, QuoteError> {
    names.into_iter().map(|name| Ok(format!("{alias}.{}", sqlite_identifier(name)?))).collect()
}
