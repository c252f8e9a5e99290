//! How the live schema differs from the one that a down was tried on.

use std::collections::BTreeSet;

use crate::schema::{Catalog, Change, Fact, Kind, Name, What, diff};

/// Most differences that are named.
const NAMED_MAX: usize = 20;

/// Differences of a live schema.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// Those on what the down touches: what was tried is not what would be done.
    pub matters: Vec<String>,
    /// The others, for people.
    pub beside: Vec<String>,
}

/// Compares the schema that the down was tried on with the live one. `touched` are names as both have them.
pub fn drift(tried: &Catalog, live: &Catalog, touched: &BTreeSet<Name>) -> Drift {
    let mut found = Drift::default();
    for change in diff(&tried.without_addresses(), &live.without_addresses()) {
        if change.is_local() {
            continue;
        }
        let names = [change.was(), change.now()].into_iter().flatten();
        let matters = names.clone().any(|object| touched.contains(&object.name.parent()));
        let list = if matters && !is_harmless(&change) { &mut found.matters } else { &mut found.beside };
        list.push(said(&change));
    }
    shorten(&mut found.matters);
    shorten(&mut found.beside);
    found
}

/// Indexes that people add to a live table by hand, and another order of columns, stop no down: what it does is
/// compared once more in its own transaction.
fn is_harmless(change: &Change) -> bool {
    match &change.what {
        What::Reordered { .. } => true,
        What::Added { now } => now.kind == Kind::Index && !now.has(Fact::Unique),
        What::Removed { .. } | What::Renamed { .. } | What::Altered { .. } => false,
    }
}

fn said(change: &Change) -> String {
    let kind = change.kind.word();
    match &change.what {
        What::Added { .. } => format!("it has {kind} {}, which no migration makes", change.name),
        What::Removed { .. } => format!("it lacks {kind} {}", change.name),
        What::Renamed { was, .. } => format!("it has {kind} {} as {}", was.name, change.name),
        What::Altered { .. } => format!("it differs: {change}"),
        What::Reordered { .. } => format!("it has the columns of {kind} {} in another order", change.name),
    }
}

fn shorten(list: &mut Vec<String>) {
    if list.len() > NAMED_MAX {
        let more = list.len() - NAMED_MAX;
        list.truncate(NAMED_MAX);
        list.push(format!("and {more} more"));
    }
}
