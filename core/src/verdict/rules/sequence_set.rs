//! A migration says with which number a sequence goes on.

use super::{Finding, Rule, Subject};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "sequence-set",
    title: "A migration says with which number an existing sequence goes on",
    page: include_str!("../../../../docs/rules/sequence-set.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let existing: Vec<_> = subject.before.objects().filter(|object| object.kind == Kind::Sequence).collect();
    if existing.is_empty() {
        return Vec::new();
    }
    let statements = subject.facts.statements.iter().filter(|statement| statement.sets_sequence);
    statements
        .filter_map(|statement| {
            let text = format!(
                "line {} sets where a sequence goes on: does the older release get a number that is taken?",
                statement.line
            );
            let finding = Finding::unknown(text);
            let altered = statement.objects.iter().find(|object| object.kind == "sequence");
            let Some(altered) = altered else { return Some(finding) };
            // One that this migration makes is nobody's yet.
            let sequence = existing.iter().find(|sequence| sequence.name.object == altered.name.name)?;
            Some(subject.ways_to_sequence(sequence).into_iter().fold(finding, Finding::needing))
        })
        .collect()
}
