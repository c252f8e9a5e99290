//! Something that kept rows unique is gone.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "unique-gone",
    title: "Something that kept rows unique is gone",
    page: include_str!("../../../../docs/rules/unique-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .removed(&[Kind::Constraint, Kind::Index])
        .filter(|object| object.has(Fact::Unique) || matches!(object.fact(Fact::Sort), Some("p" | "u" | "x")))
        .map(|object| Finding::unknown(format!("{} is gone: does the older release say ON CONFLICT on its columns?", object.name))
            .needing(Need::ConflictTargetsPlan { table: object.name.parent() }))
        .collect()
}
