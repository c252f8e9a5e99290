//! One named difference between two readings.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Fact, Kind, Name, Object};

/// Longest value shown in a sentence, in characters; the JSON carries values whole.
const SHOWN_CHARS_MAX: usize = 80;

/// What happened to one object between an older and a newer reading.
#[derive(Debug, Clone)]
pub struct Change {
    pub what: What,
    pub kind: Kind,
    /// The newer name, or the older one of what is gone.
    pub name: Name,
}

#[derive(Debug, Clone)]
pub enum What {
    Added {
        now: Arc<Object>,
    },
    Removed {
        was: Arc<Object>,
    },
    /// The same object under another name.
    Renamed {
        was: Arc<Object>,
        now: Arc<Object>,
    },
    Altered {
        was: Arc<Object>,
        now: Arc<Object>,
        fact: Fact,
    },
    /// The columns that a table has in both readings stand in another order.
    Reordered {
        now: Arc<Object>,
    },
}

impl Change {
    /// The object in the newer reading, if it is there.
    pub fn now(&self) -> Option<&Arc<Object>> {
        match &self.what {
            What::Added { now }
            | What::Renamed { now, .. }
            | What::Altered { now, .. }
            | What::Reordered { now } => Some(now),
            What::Removed { .. } => None,
        }
    }

    /// The object in the older reading, if it was there.
    pub fn was(&self) -> Option<&Arc<Object>> {
        match &self.what {
            What::Removed { was } | What::Renamed { was, .. } | What::Altered { was, .. } => Some(was),
            What::Added { .. } | What::Reordered { .. } => None,
        }
    }

    /// The altered fact with its older and newer value.
    pub fn altered(&self) -> Option<(Fact, Option<&str>, Option<&str>)> {
        match &self.what {
            What::Altered { was, now, fact } => Some((*fact, was.fact(*fact), now.fact(*fact))),
            _ => None,
        }
    }

    pub fn is_added(&self) -> bool {
        matches!(self.what, What::Added { .. })
    }

    pub fn is_removed(&self) -> bool {
        matches!(self.what, What::Removed { .. })
    }

    pub fn is_reordered(&self) -> bool {
        matches!(self.what, What::Reordered { .. })
    }

    /// The older name is gone: the object was removed or renamed.
    pub fn takes_a_name_away(&self) -> Option<&Name> {
        match &self.what {
            What::Removed { was } | What::Renamed { was, .. } => Some(&was.name),
            _ => None,
        }
    }

    /// One word for what happened, as in the JSON.
    pub fn verb(&self) -> &'static str {
        match self.what {
            What::Added { .. } => "added",
            What::Removed { .. } => "removed",
            What::Renamed { .. } => "renamed",
            What::Altered { .. } => "altered",
            What::Reordered { .. } => "reordered",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.kind.word();
        match &self.what {
            What::Added { now } if now.kind == Kind::Column => {
                write!(f, "adds column {}", self.name)?;
                if let Some(of_type) = now.fact(Fact::Type) {
                    write!(f, " {}", shown(of_type))?;
                }
                if now.has(Fact::NotNull) {
                    f.write_str(" NOT NULL")?;
                }
                match now.fact(Fact::Default) {
                    Some(default) => write!(f, ", default {}", shown(default)),
                    None => Ok(()),
                }
            }
            What::Added { now } if matches!(now.kind, Kind::Constraint | Kind::DomainConstraint) => {
                write!(
                    f,
                    "adds constraint {}: {}",
                    self.name,
                    shown(now.fact(Fact::Definition).unwrap_or(""))
                )
            }
            What::Added { now } if now.has(Fact::Unique) => write!(f, "adds unique index {}", self.name),
            What::Added { .. } => write!(f, "adds {word} {}", self.name),
            What::Removed { .. } => write!(f, "removes {word} {}", self.name),
            What::Renamed { was, .. } => write!(f, "renames {word} {} to {}", was.name, self.name),
            What::Reordered { .. } => write!(f, "puts the columns of {word} {} in another order", self.name),
            What::Altered { was, now, fact } => {
                write!(f, "{word} {}: {} ", self.name, fact.word())?;
                match (was.fact(*fact), now.fact(*fact)) {
                    (None, Some(_)) if is_flag(*fact) => f.write_str("set"),
                    (Some(_), None) if is_flag(*fact) => f.write_str("dropped"),
                    (None, Some(now)) => write!(f, "set to {}", shown(now)),
                    (Some(was), None) => write!(f, "dropped, was {}", shown(was)),
                    (Some(was), Some(now))
                        if was.chars().count() + now.chars().count() <= 2 * SHOWN_CHARS_MAX =>
                    {
                        write!(f, "changed from {} to {}", shown(was), shown(now))
                    }
                    _ => f.write_str("changed"),
                }
            }
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Change", 7)?;
        out.serialize_field("change", self.verb())?;
        out.serialize_field("kind", &self.kind)?;
        out.serialize_field("name", &self.name.to_string())?;
        match &self.what {
            What::Renamed { was, .. } => out.serialize_field("was", &was.name.to_string())?,
            _ => out.skip_field("was")?,
        }
        match &self.what {
            What::Altered { was, now, fact } => {
                out.serialize_field("fact", fact)?;
                out.serialize_field("from", &was.fact(*fact))?;
                out.serialize_field("to", &now.fact(*fact))?;
            }
            _ => {
                out.skip_field("fact")?;
                out.skip_field("from")?;
                out.skip_field("to")?;
            }
        }
        out.end()
    }
}

/// Facts that are either there or not.
fn is_flag(fact: Fact) -> bool {
    matches!(fact, Fact::NotNull | Fact::RowSecurity | Fact::ForceRowSecurity | Fact::Invalid | Fact::Unique)
}

/// A value for a sentence: one line, cut at [`SHOWN_CHARS_MAX`].
fn shown(value: &str) -> String {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN_CHARS_MAX {
        return line;
    }
    line.chars().take(SHOWN_CHARS_MAX - 1).chain(['…']).collect()
}
