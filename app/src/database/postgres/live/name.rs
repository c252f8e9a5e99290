//! Names of tables as SQL takes them.

use unship_core::sql::ObjectName;
use unship_core::sql::quote;

use crate::ports::DatabaseFailure;

/// The quoted name, with its schema where it has one.
pub fn quoted(name: &ObjectName) -> Result<String, DatabaseFailure> {
    let object = quote::identifier(&name.name)?;
    Ok(match &name.schema {
        Some(schema) => format!("{}.{object}", quote::identifier(schema)?),
        None => object,
    })
}
