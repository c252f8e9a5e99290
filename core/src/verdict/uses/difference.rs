//! How what a query takes and gives differs on two schemas.

use super::Used;
use crate::queries::{Outcome, ResultColumn};

/// The first difference that matters; the worst ones are looked for first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verdict) enum Difference {
    None,
    Parameter {
        place: usize,
        was: String,
        now: String,
    },
    /// An integer became a wider one.
    WiderParameter {
        place: usize,
        was: String,
        now: String,
    },
    ColumnType {
        name: String,
        was: String,
        now: String,
    },
    Gone {
        names: String,
    },
    /// All columns are there, and some of them at other places.
    Moved,
    /// All columns are where they were, and others come behind them.
    Appended {
        names: String,
    },
}

impl Difference {
    pub fn is_harmless(&self) -> bool {
        matches!(self, Difference::None)
    }
}

impl Used {
    /// None unless the query plans on both.
    pub(in crate::verdict) fn difference(&self) -> Difference {
        let (
            Outcome::Planned { parameters: takes, columns: gives },
            Outcome::Planned { parameters: takes_now, columns: gives_now },
        ) = (&self.before, &self.after)
        else {
            return Difference::None;
        };
        let mut wider = Difference::None;
        for (index, (was, now)) in
            takes.iter().zip(takes_now).enumerate().filter(|(_, (was, now))| !alike(was, now))
        {
            let (place, was, now) = (index + 1, was.clone(), now.clone());
            if integer(&was).zip(integer(&now)).is_some_and(|(was, now)| now > was) {
                wider = Difference::WiderParameter { place, was, now };
            } else {
                return Difference::Parameter { place, was, now };
            }
        }
        match columns(gives, gives_now) {
            Difference::None => wider,
            worse @ (Difference::ColumnType { .. } | Difference::Gone { .. } | Difference::Moved) => worse,
            appended if wider == Difference::None => appended,
            _ => wider,
        }
    }
}

fn columns(was: &[ResultColumn], now: &[ResultColumn]) -> Difference {
    let same = |a: &ResultColumn, b: &ResultColumn| a.name == b.name && alike(&a.of_type, &b.of_type);
    let gone: Vec<&str> = was
        .iter()
        .filter(|old| !now.iter().any(|new| new.name == old.name))
        .map(|old| old.name.as_str())
        .collect();
    if !gone.is_empty() {
        return Difference::Gone { names: gone.join(", ") };
    }
    let in_place = was.len() <= now.len() && was.iter().zip(now).all(|(old, new)| old.name == new.name);
    let changed = was.iter().enumerate().find_map(|(place, old)| {
        let new = if in_place { &now[place] } else { now.iter().find(|new| new.name == old.name)? };
        (!alike(&old.of_type, &new.of_type)).then_some((old, new))
    });
    if let Some((old, new)) = changed {
        return Difference::ColumnType {
            name: old.name.clone(),
            was: old.of_type.clone(),
            now: new.of_type.clone(),
        };
    }
    if !in_place || !was.iter().zip(now).all(|(old, new)| same(old, new)) {
        return Difference::Moved;
    }
    match &now[was.len()..] {
        [] => Difference::None,
        more => Difference::Appended {
            names: more.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
        },
    }
}

/// Do drivers send and decode both types alike?
fn alike(was: &str, now: &str) -> bool {
    let is_text = |name: &str| matches!(name, "TEXT" | "VARCHAR" | "CHAR" | "NAME");
    // SQLite's own names: it stores one kind of integer.
    let is_sqlite_integer = |name: &str| matches!(name, "INTEGER" | "INT" | "BIGINT");
    was == now || is_text(was) && is_text(now) || is_sqlite_integer(was) && is_sqlite_integer(now)
}

/// The bytes of PostgreSQL's integer types.
fn integer(name: &str) -> Option<u32> {
    match name {
        "INT2" => Some(2),
        "INT4" => Some(4),
        "INT8" => Some(8),
        _ => None,
    }
}
