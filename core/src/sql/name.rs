//! Names as SQL writes them, folded as the server folds them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::lex::{Kind, tokens};

/// The name of an object, perhaps with its schema. Unquoted parts are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    pub schema: Option<String>,
    pub name: String,
}

impl ObjectName {
    /// Reads `name`, `schema.name` or `database.schema.name`; nothing if `text` is no such thing.
    pub fn parse(text: &str) -> Option<ObjectName> {
        let mut parts: Vec<String> = Vec::new();
        let mut want_part = true;
        for token in tokens(text, 0).filter(|token| token.counts()) {
            match token.kind {
                Kind::Word | Kind::QuotedWord if want_part => parts.push(part(&text[token.start..token.end])),
                Kind::Dot if !want_part => {}
                _ => return None,
            }
            want_part = !want_part;
        }
        if want_part {
            return None;
        }
        let name = parts.pop()?;
        Some(ObjectName { schema: parts.pop(), name })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// One part of a name: without its quotes, or in lower case.
pub(super) fn part(text: &str) -> String {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').unwrap_or(quoted).replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}
