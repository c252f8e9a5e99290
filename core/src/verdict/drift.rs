//! How a live database differs from what its migrations leave, and whether that is on something that matters.
//!
//! A verdict is found on a database that the migrations made. The live one may have been changed by hand.

use std::collections::BTreeSet;

use super::{Effect, LIVE_DRIFT, Reason, SpanVerdict, Verdict};
use crate::schema::{Catalog, Change, Fact, Kind, Name, What, diff};

/// Most differences that decide nothing and are named all the same.
const ELSEWHERE_MAX: usize = 8;

/// The differences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// On objects that the span changes or that the older release's queries use.
    pub touched: Vec<String>,
    /// On others.
    pub elsewhere: Vec<String>,
}

impl Drift {
    /// Compares the live schema with the expected one. `touches` are the objects that matter.
    pub fn between(expected: &Catalog, live: &Catalog, touches: &[Name]) -> Drift {
        let mut drift = Drift::default();
        for change in diff(expected, live).iter().filter(|change| tells(change)) {
            let matters = [Some(&change.name), change.was().map(|was| &was.name)]
                .into_iter()
                .flatten()
                .any(|name| touches.contains(&name.parent()));
            let list = if matters { &mut drift.touched } else { &mut drift.elsewhere };
            list.push(said(change));
        }
        drift
    }

    pub fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.elsewhere.is_empty()
    }
}

/// Is it a difference in what the database does? Who owns and may do what differs between a throwaway database and
/// the live one by nature, and so do the versions of extensions.
fn tells(change: &Change) -> bool {
    let by_nature =
        matches!(change.kind, Kind::DefaultPrivileges | Kind::Extension | Kind::Schema | Kind::Other);
    let silent = change.altered().is_some_and(|(fact, _, _)| {
        matches!(fact, Fact::Grants | Fact::Comment | Fact::Version | Fact::Storage)
    });
    !by_nature && !silent
}

/// What the live database has and the migrations do not, or the other way round.
fn said(change: &Change) -> String {
    let (kind, name) = (change.kind.word(), &change.name);
    match &change.what {
        What::Added { .. } => format!("{kind} {name} is in the live database and in no migration"),
        What::Removed { .. } => format!("{kind} {name} is not in the live database"),
        What::Renamed { was, .. } => format!("{kind} {} is called {name} in the live database", was.name),
        What::Altered { fact, .. } => {
            format!("{} of {kind} {name} is not as the migrations leave it", fact.word())
        }
        What::Reordered { .. } => format!("the columns of {kind} {name} stand in another order"),
    }
}

impl SpanVerdict {
    /// Takes in how the live database differs. What is on a touched object leaves the verdict unknown at best.
    pub fn drifted(&mut self, drift: &Drift) {
        for text in &drift.touched {
            self.reasons.push(Reason {
                rule: LIVE_DRIFT.into(),
                effect: Effect::Unknown,
                text: text.clone(),
            });
        }
        if !drift.touched.is_empty() {
            self.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.effect));
            self.verdict = self.verdict.max(Verdict::Unknown);
            self.settles.push(
                "bring the live database to what the migrations say, or write the change as a migration"
                    .to_owned(),
            );
        }
        let more = drift.elsewhere.len().saturating_sub(ELSEWHERE_MAX);
        let named = drift.elsewhere.iter().take(ELSEWHERE_MAX);
        self.remarks.extend(named.map(|text| format!("elsewhere, {text}")));
        if more > 0 {
            self.remarks.push(format!("and {more} more differences of the live database elsewhere"));
        }
    }
}

/// What matters: the objects that changes name, and those that queries come to.
pub(super) fn touches(changes: &[Change], used: impl Fn(&Name) -> bool, after: &Catalog) -> Vec<Name> {
    let named = changes.iter().flat_map(|change| {
        [Some(change.name.parent()), change.was().map(|was| was.name.parent())].into_iter().flatten()
    });
    let used = after
        .objects()
        .filter(|object| !object.kind.is_part() && used(&object.name))
        .map(|object| object.name.clone());
    named.chain(used).collect::<BTreeSet<Name>>().into_iter().collect()
}

#[cfg(test)]
mod tests;
