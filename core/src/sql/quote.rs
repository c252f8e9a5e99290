//! Names and texts in SQL that is built: the one place that puts them into a statement. Values are bound wherever
//! the server takes that; a function's body and a trigger's arguments it does not.

/// A name that cannot be one in any database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be the name of a table or a column: {why}", .name.escape_debug())]
pub struct QuoteError {
    /// The name.
    pub name: String,
    /// Why not.
    pub why: &'static str,
}

/// The longest name, in bytes: PostgreSQL cuts longer ones off, and would then mean another.
const BYTES_MAX: usize = 63;

/// An identifier as both PostgreSQL and SQLite take it: exactly this name, with its cases, whatever is in it.
///
/// PostgreSQL 4.1.1, "quoted identifiers"; SQLite, "SQLite Keywords".
pub fn identifier(name: &str) -> Result<String, QuoteError> {
    if name.len() > BYTES_MAX {
        return Err(refused(name, "it is longer than 63 bytes"));
    }
    sqlite_identifier(name)
}

/// An identifier for SQLite alone, whose names may be of any length.
pub fn sqlite_identifier(name: &str) -> Result<String, QuoteError> {
    if name.is_empty() {
        return Err(refused(name, "it is empty"));
    }
    if name.contains('\0') {
        return Err(refused(name, "it holds a NUL"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A string constant as PostgreSQL takes it, whatever `standard_conforming_strings` says. Not for SQLite.
///
/// PostgreSQL 4.1.2.2, "string constants with C-style escapes".
pub fn literal(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(QuoteError { name: text.chars().take(80).collect(), why: "it holds a NUL" });
    }
    Ok(format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")))
}

/// A text as SQLite takes it where nothing can be bound: in a trigger.
pub fn sqlite_text(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(refused(text, "it holds a NUL"));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

fn refused(name: &str, why: &'static str) -> QuoteError {
    QuoteError { name: name.chars().take(80).collect(), why }
}

#[cfg(test)]
mod tests {
    use super::{identifier, literal, sqlite_identifier, sqlite_text};

    #[test]
    fn a_text_stays_one_text() {
        assert_eq!(literal("it's").as_deref(), Ok(r"E'it\'s'"));
        assert_eq!(literal(r"a\'; DROP TABLE b; --").as_deref(), Ok(r"E'a\\\'; DROP TABLE b; --'"));
        assert!(literal("a\0b").is_err());
    }

    #[test]
    fn a_name_stays_one_name_whatever_is_in_it() {
        assert_eq!(identifier("flags").as_deref(), Ok("\"flags\""));
        assert_eq!(identifier("a\"; DROP TABLE b; --").as_deref(), Ok("\"a\"\"; DROP TABLE b; --\""));
        for name in ["", "a\0b", &"x".repeat(64)] {
            assert!(identifier(name).is_err(), "{name:?}");
        }
        assert_eq!(sqlite_identifier(&"x".repeat(64)), Ok(format!("\"{}\"", "x".repeat(64))));
        assert!(sqlite_identifier("").is_err() && sqlite_identifier("a\0").is_err());
        assert_eq!(sqlite_text("it's; --").as_deref(), Ok("'it''s; --'"));
        assert!(sqlite_text("a\0b").is_err());
    }
}
