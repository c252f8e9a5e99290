//! A composite type has other attributes.

use super::{Finding, Rule, Subject};
use crate::schema::{Change, Fact, Kind};
use crate::verdict::uses::{Fate, Used, Uses};

pub(super) const RULE: Rule = Rule {
    id: "composite-changed",
    title: "A composite type has other attributes",
    page: include_str!("../../../../docs/rules/composite-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let types = subject
        .altered(&[Kind::Composite], Fact::Definition)
        .map(|(change, _, _)| {
            let text = format!("{} has other attributes: does the older release read or write its values?", change.name);
            subject.ways_to_type(&change.name).into_iter().fold(Finding::unknown(text), Finding::needing)
        });
    types.chain(rows(subject)).collect()
}

/// A table is a type too: that of its rows.
fn rows<'a>(subject: &'a Subject) -> impl Iterator<Item = Finding> + 'a {
    let makes_rows = |query: &&Used| query.fate() == Fate::Plans && query.facts.calls.contains("row");
    let queries = subject.uses.into_iter().flat_map(Uses::queries).filter(makes_rows);
    queries.filter_map(|query| {
        let is_other = |change: &&Change| change.is_added() || change.takes_a_name_away().is_some();
        let mut columns = subject.touched(&[Kind::Column]).filter(is_other);
        let column = columns.find(|change| query.facts.mentions(&change.name.object))?;
        let table = column.name.parent();
        Some(Finding::unknown(format!("{} makes rows, and those of {table} have other columns now", query.id)))
    })
}
