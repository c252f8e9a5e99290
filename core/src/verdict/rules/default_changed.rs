//! A column fills itself in another way.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "default-changed",
    title: "A column fills itself in another way",
    page: include_str!("../../../../docs/rules/default-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let mut found: Vec<Finding> = subject
        .altered(&[Kind::Column], Fact::Default)
        .filter(|(change, _, _)| change.now().is_some_and(|now| !now.is_required_column()))
        // What a view in the place of a table fills is said with the table.
        .filter(|(change, _, _)| subject.before.has_table(&change.name.parent()) == subject.after.has_table(&change.name.parent()))
        .map(|(change, _, _)| {
            Finding::assumes(format!("the older release can live with the new default of {}", change.name))
                .needing(Need::DefaultUnused { column: change.name.clone(), doubted: false })
        })
        .collect();
    for fact in [Fact::Identity, Fact::Generated] {
        found.extend(subject.altered(&[Kind::Column], fact).filter(|(_, _, now)| !now.is_empty() && *now != "d").map(
            |(change, _, _)| Finding::unknown(format!("{} is always generated now: does the older release ever write it?", change.name))
                .needing(Need::Unwritten { table: change.name.parent() }),
        ));
    }
    found
}
