//! A query that proves nothing names what changed.

use super::{Finding, Rule, Subject};
use crate::schema::{Change, Fact, Kind, Object};
use crate::sql::ObjectName;
use crate::verdict::uses::{Fate, ForeignKey, Uses};
use crate::verdict::{UpClass, class_of};

pub(super) const RULE: Rule = Rule {
    id: "query-unusable",
    title: "A query that proves nothing names what changed",
    page: include_str!("../../../../docs/rules/query-unusable.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let queries = subject.uses.into_iter().flat_map(Uses::queries);
    queries
        .filter(|query| query.fate() == Fate::Unusable)
        .filter_map(|query| {
            let names_it = |word: &str| query.facts.mentions(word.split('(').next().unwrap_or(word));
            let points_at_it = |object: &&std::sync::Arc<Object>| {
                ForeignKey::of(object).is_some_and(|key| names_it(&key.target.object))
                    && subject.before.get(Kind::Constraint, &object.name).is_none()
            };
            if let Some(key) = subject.after.objects().find(points_at_it) {
                let table = key.name.parent();
                return Some(Finding::unknown(format!(
                    "{} does not plan even on the older schema, and {table} points at what it names now",
                    query.id
                )));
            }
            let touched = subject.changes.iter().find(|change| {
                let name = change.was().map_or(&change.name, |was| &was.name);
                if !names_it(&name.object) {
                    return points_at_named(change, names_it);
                }
                // A statement that makes something fails where there is something by that name, or in that range.
                let taken = change.is_added() && (!change.kind.is_part() || change.kind == Kind::Index);
                if taken && (name.part.as_deref().is_none_or(names_it) && names_it(&name.object)) {
                    return true;
                }
                // Nothing but its own name, or all columns at once, lets a query come to a new column.
                let new_column = change.kind == Kind::Column && change.is_added();
                let seen = new_column && name.part.as_deref().is_some_and(names_it);
                seen || class_of(subject.before, change) > UpClass::Loosening
            })?;
            Some(Finding::unknown(format!(
                "{} does not plan even on the older schema, and names {}, which changed",
                query.id,
                touched.name.parent()
            )))
        })
        .collect()
}

/// Is it a new partition or child of something that the query names?
fn points_at_named(change: &Change, names_it: impl Fn(&str) -> bool) -> bool {
    let Some(now) = change.now().filter(|_| change.is_added()) else { return false };
    let parents = [Fact::PartitionBound, Fact::Inherits].into_iter().filter_map(|fact| now.fact(fact));
    let parents = parents.filter_map(|parents| parents.split([' ', ',']).next());
    parents.filter_map(ObjectName::parse).any(|parent| names_it(&parent.name))
}
