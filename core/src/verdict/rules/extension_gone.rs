//! An extension is gone.

use super::{Finding, Need, Rule, Subject};
use crate::schema::Kind;

pub(super) const RULE: Rule = Rule {
    id: "extension-gone",
    title: "An extension is gone",
    page: include_str!("../../../../docs/rules/extension-gone.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .removed(&[Kind::Extension])
        .map(|extension| Finding::unknown(format!("{} is gone: does the older release use its functions or types?", extension.name))
            .needing(Need::AllPlan))
        .collect()
}
