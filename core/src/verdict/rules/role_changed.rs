//! A role or the settings of a database were changed.

use super::{Finding, Rule, Subject};

pub(super) const RULE: Rule = Rule {
    id: "role-changed",
    title: "A role or the settings of a database were changed",
    page: include_str!("../../../../docs/rules/role-changed.md"),
    find,
};

const VERBS: [&str; 6] = ["ALTER ROLE", "ALTER USER", "ALTER GROUP", "ALTER DATABASE", "DROP ROLE", "DROP OWNED"];

fn find(subject: &Subject) -> Vec<Finding> {
    let statements = subject.facts.statements.iter().filter(|statement| VERBS.contains(&statement.verb.as_str()));
    statements
        .map(|statement| {
            let (line, what) = (statement.line, statement.verb.to_lowercase());
            Finding::unknown(format!("line {line} does {what}: does that concern the role of the older release?"))
        })
        .collect()
}
