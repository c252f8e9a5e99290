//! The class of a down migration: what was left when it had been run after its up.

use std::sync::Arc;

use serde::Serialize;

use super::UpClass;
use crate::schema::{Catalog, Change, Kind, Object, What, diff};

/// Does the down take its up back?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DownClass {
    /// There is no down.
    Missing,
    /// There is one without a statement, and the up changed nothing either.
    Empty,
    /// There is one without a statement, although the up changed the catalog.
    EmptyButUpChanged,
    /// It was run and PostgreSQL refused it.
    Fails,
    /// The catalog is what it was before the up.
    Exact,
    /// The same, but for the order of columns.
    ColumnOrder,
    /// The catalog is not what it was before the up.
    Inexact,
    /// It was not run, because its up could not be.
    NotRun,
}

impl DownClass {
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Empty,
        Self::EmptyButUpChanged,
        Self::Fails,
        Self::Exact,
        Self::ColumnOrder,
        Self::Inexact,
        Self::NotRun,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Empty => "empty",
            Self::EmptyButUpChanged => "empty_but_up_changed",
            Self::Fails => "fails",
            Self::Exact => "exact",
            Self::ColumnOrder => "column_order",
            Self::Inexact => "inexact",
            Self::NotRun => "not_run",
        }
    }

    /// Does it give the older schema back, as far as a program that names its columns can tell?
    pub fn restores(self) -> bool {
        matches!(self, Self::Exact | Self::ColumnOrder | Self::Empty)
    }

    /// The class of a down that has no statement.
    pub fn of_empty(up: UpClass) -> Self {
        if up == UpClass::None { Self::Empty } else { Self::EmptyButUpChanged }
    }

    /// The class of a down that ran, from the changes between the reading before the up and the one after it.
    pub fn of_difference(changes: &[Change]) -> Self {
        if changes.is_empty() {
            Self::Exact
        } else if changes.iter().all(Change::is_reordered) {
            Self::ColumnOrder
        } else {
            Self::Inexact
        }
    }
}

/// What a down leaves behind and what it does not bring back, in sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Not there before the up, there after the down.
    pub remains: Vec<String>,
    /// There before the up, not there after the down.
    pub lost: Vec<String>,
}

impl Leftover {
    /// `changes` lead from before the up to after the down.
    pub fn of(changes: &[Change]) -> Self {
        let mut leftover = Self::default();
        for change in changes {
            leftover.take(change);
        }
        leftover
    }

    fn take(&mut self, change: &Change) {
        let named = format!("{} {}", change.kind.word(), change.name);
        match &change.what {
            What::Added { .. } => self.remains.push(named),
            What::Removed { .. } => self.lost.push(named),
            What::Renamed { was, .. } => {
                self.lost.push(format!("{} {}", was.kind.word(), was.name));
                self.remains.push(named);
            }
            What::Reordered { .. } => self.remains.push(format!("another column order of {named}")),
            What::Altered { was, now, fact } => {
                let of = format!("{} of {named}", fact.word());
                match (was.fact(*fact), now.fact(*fact)) {
                    (None, _) => self.remains.push(of),
                    (Some(_), None) => self.lost.push(of),
                    (Some(was), Some(now)) if same_but_for_space(was, now) => {
                        self.remains.push(format!("{of} (differs in white space only)"));
                    }
                    (Some(_), Some(_)) => {
                        self.lost.push(of.clone());
                        self.remains.push(format!("another {of}"));
                    }
                }
            }
        }
    }
}

fn same_but_for_space(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Names of tables and columns whose rows go away between two readings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Destroyed {
    pub tables: Vec<String>,
    pub columns: Vec<String>,
}

impl Destroyed {
    /// The names of what [`destroyed`] finds.
    pub fn between(before: &Catalog, after: &Catalog) -> Self {
        let mut names = Self::default();
        for was in destroyed(before, after) {
            let list = if was.kind == Kind::Table { &mut names.tables } else { &mut names.columns };
            list.push(was.name.to_string());
        }
        names.tables.sort();
        names.columns.sort();
        names
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.columns.is_empty()
    }
}

/// Tables and columns of `before` that are not the same ones in `after`: gone, or made anew under the same name.
/// Views hold no rows and do not count; a renamed table keeps its rows.
pub fn destroyed(before: &Catalog, after: &Catalog) -> Vec<Arc<Object>> {
    let mut found = Vec::new();
    for change in diff(before, after) {
        match (&change.what, change.kind) {
            (What::Removed { was }, Kind::Table) => found.push(Arc::clone(was)),
            (What::Removed { was }, Kind::Column) if before.has_table(&was.name.parent()) => {
                found.push(Arc::clone(was));
            }
            _ => {}
        }
    }
    for was in before.objects() {
        let Some(now) = after.get(was.kind, &was.name).filter(|now| now.address != was.address) else {
            continue;
        };
        match was.kind {
            Kind::Table => found.push(Arc::clone(was)),
            // Made anew inside a table that stayed; a table made anew says it for its columns.
            Kind::Column if was.address.same_unit(now.address) && before.has_table(&was.name.parent()) => {
                found.push(Arc::clone(was));
            }
            _ => {}
        }
    }
    found
}
