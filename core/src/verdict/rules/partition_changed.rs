//! An existing table became, or stopped being, a partition or a child.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "partition-changed",
    title: "An existing table became, or stopped being, a partition or a child",
    page: include_str!("../../../../docs/rules/partition-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    [Fact::PartitionKey, Fact::PartitionBound, Fact::Inherits]
        .into_iter()
        .flat_map(|fact| subject.altered(&[Kind::Table, Kind::ForeignTable], fact).map(move |found| (fact, found)))
        .map(|(fact, (change, _, _))| {
            let family = [Fact::PartitionBound, Fact::Inherits].into_iter().flat_map(|fact| {
                [change.was(), change.now()].into_iter().flatten().filter_map(move |table| table.fact(fact))
            });
            let mut words: Vec<String> = family.flat_map(crate::sql::words_of).collect();
            words.push(change.name.object.clone());
            let finding = Finding::unknown(format!("the {} of {} changed", fact.word(), change.name));
            let need = |word| Need::Unreached { word, what: "it".to_owned() };
            words.into_iter().filter(|word| is_table(subject, word)).map(need).fold(finding, Finding::needing)
        })
        .collect()
}

fn is_table(subject: &Subject, word: &str) -> bool {
    [subject.before, subject.after].iter().any(|catalog| {
        catalog.objects().any(|object| {
            Kind::RELATIONS.contains(&object.kind) && object.name.object.eq_ignore_ascii_case(word)
        })
    })
}
