//! A write takes all columns of a table that has others now.

use super::{Finding, Rule, Subject};
use crate::schema::{Change, Kind};
use crate::verdict::uses::Fate;

pub(super) const RULE: Rule = Rule {
    id: "star-in-write",
    title: "A write takes all columns of a table that has others now",
    page: include_str!("../../../../docs/rules/star-in-write.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let Some(uses) = subject.uses else { return Vec::new() };
    uses.queries()
        .filter(|query| query.fate() == Fate::Plans && query.facts.inserts_star)
        .filter_map(|query| {
            let is_other = |change: &&Change| {
                change.kind == Kind::Column && (change.is_added() || change.takes_a_name_away().is_some())
                    || change.is_reordered()
            };
            let change = subject.changes.iter().filter(is_other).find(|change| {
                query.facts.mentions(&change.name.object) || uses.indirectly(&change.name.object).is_some()
            })?;
            let table = change.name.parent();
            Some(Finding::unknown(format!("{} writes all columns of something, and those of {table} are others now", query.id)))
        })
        .collect()
}
