//! A sequence gives other numbers, or ends earlier.

use super::{Finding, Rule, Subject};
use crate::schema::{Catalog, Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "sequence-changed",
    title: "A sequence gives other numbers, or ends earlier",
    page: include_str!("../../../../docs/rules/sequence-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let changed = subject
        .altered(&[Kind::Sequence], Fact::Definition)
        .filter(|(_, was, now)| !goes_on(was, now))
        .filter_map(|(change, was, now)| {
            let sequence = subject.before.get(Kind::Sequence, &change.name)?;
            let text = format!("{} was `{was}` and is `{now}`: does the older release live with its numbers?", change.name);
            Some(subject.ways_to_sequence(sequence).into_iter().fold(Finding::unknown(text), Finding::needing))
        });
    changed.chain(made_anew(subject)).collect()
}

/// Sequences that were dropped and made again begin again, and the rows that they numbered may still be there.
fn made_anew<'a>(subject: &'a Subject) -> impl Iterator<Item = Finding> + 'a {
    let sequences = subject.before.objects().filter(|object| object.kind == Kind::Sequence);
    sequences.filter_map(|was| {
        let now = subject.after.get(Kind::Sequence, &was.name)?;
        let owner_is_new = || {
            let owner = was.fact(Fact::OwnedBy).and_then(|column| column.rsplit('.').nth(1));
            let address = |catalog: &Catalog| {
                let mut tables = catalog.objects().filter(|object| object.kind == Kind::Table);
                tables.find(|table| Some(table.name.object.as_str()) == owner).map(|table| table.address)
            };
            owner.is_some() && address(subject.before) != address(subject.after)
        };
        if was.address == now.address || owner_is_new() {
            return None;
        }
        let text = format!("{} was made anew and begins again: does the older release get a number that is taken?", was.name);
        Some(subject.ways_to_sequence(was).into_iter().fold(Finding::unknown(text), Finding::needing))
    })
}

/// Does a sequence go on as before: the same steps, and no end that comes earlier?
fn goes_on(was: &str, now: &str) -> bool {
    let number = |text: &str, after: &str| -> Option<i64> {
        let mut words = text.split(' ').skip_while(|word| *word != after);
        words.nth(1)?.parse().ok()
    };
    let both = |word| Some((number(was, word)?, number(now, word)?));
    let (Some(by), Some(from), Some(to)) = (both("by"), both("from"), both("to")) else { return false };
    let cycles = |text: &str| text.ends_with(" cycle");
    by.0 == by.1 && from.1 <= from.0 && to.1 >= to.0 && cycles(was) == cycles(now)
}
