//! Facts with their source and time, or why a fact is missing. Unknown never becomes safe: there is no
//! default value to fall back to, so whoever reads evidence has to say what a missing fact means.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A fact, or the reason why it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "snake_case")]
pub enum Evidence<T> {
    /// The fact was observed.
    Known {
        /// What was observed.
        value: T,
        /// Where it was observed: a host, a command, a file.
        source: String,
        /// When it was observed.
        observed_at: Timestamp,
    },
    /// The fact is not known.
    Missing {
        /// Why, and what would settle it.
        why: String,
    },
}

/// A fact that nobody recorded. It is as unknown as any other that is missing.
impl<T> Default for Evidence<T> {
    fn default() -> Evidence<T> {
        Evidence::Missing { why: "it was not recorded".into() }
    }
}

impl<T> Evidence<T> {
    /// The fact, if it is known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Evidence::Known { value, .. } => Some(value),
            Evidence::Missing { .. } => None,
        }
    }
}
