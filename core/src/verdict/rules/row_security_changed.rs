//! Row security or a policy of an existing table changed.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Change, Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "row-security-changed",
    title: "Row security or a policy of an existing table changed",
    page: include_str!("../../../../docs/rules/row-security-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let policies = subject
        .touched(&[Kind::Policy])
        .filter(|change| subject.before.relation(&change.name).is_some())
        .map(|change| Finding::unknown(format!("{change}: the older release may see or write fewer rows")).needing(unreached(change)));
    let switches = [Fact::RowSecurity, Fact::ForceRowSecurity]
        .into_iter()
        .flat_map(|fact| subject.altered(&[Kind::Table, Kind::ForeignTable], fact).map(move |found| (fact, found)))
        .map(|(fact, (change, _, _))| Finding::unknown(format!("{} of {} was switched", fact.word(), change.name)).needing(unreached(change)));
    policies.chain(switches).collect()
}

fn unreached(change: &Change) -> Need {
    Need::Unreached { word: change.name.object.clone(), what: "the table".to_owned() }
}
