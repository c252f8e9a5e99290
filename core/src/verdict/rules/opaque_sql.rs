//! SQL that is put together while it runs.

use super::{Finding, Rule, Subject};

pub(super) const RULE: Rule = Rule {
    id: "opaque-sql",
    title: "SQL that is put together while it runs",
    page: include_str!("../../../../docs/rules/opaque-sql.md"),
    find,
};

/// Words that start statements whose effect a catalog shows. What they did has been seen by running them.
const SEEN_IN_CATALOG: [&str; 8] = ["ALTER", "CREATE", "DROP", "GRANT", "REVOKE", "COMMENT", "SELECT", "SET"];

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .facts
        .opaque_execute()
        .filter(|opaque| !opaque.verb.as_deref().is_some_and(|verb| SEEN_IN_CATALOG.contains(&verb)))
        .map(|opaque| {
            let what = opaque.verb.as_deref().unwrap_or("SQL");
            Finding::unknown(format!("line {} runs {what} that is put together at run time: does it change rows?", opaque.line))
        })
        .collect()
}
