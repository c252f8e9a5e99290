//! Somebody lost a privilege on an existing object.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "grants-changed",
    title: "Somebody lost a privilege on an existing object",
    page: include_str!("../../../../docs/rules/grants-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let kinds = [
        Kind::Table,
        Kind::ForeignTable,
        Kind::View,
        Kind::MaterializedView,
        Kind::Column,
        Kind::Sequence,
        Kind::Function,
        Kind::Schema,
        Kind::Enum,
        Kind::Domain,
    ];
    subject
        .altered(&kinds, Fact::Grants)
        .filter(|(_, was, now)| lost_one(was, now))
        .map(|(change, _, _)| Finding::unknown(format!("privileges on {} {} were taken away", change.kind.word(), change.name))
            .needing(Need::Privileges { kind: change.kind, name: change.name.clone() }))
        .collect()
}

/// Grants read as `role=PRIVILEGE,...` words. None at all means PostgreSQL's defaults, which may be more.
fn lost_one(was: &str, now: &str) -> bool {
    let held = |grants: &str| -> Vec<String> {
        grants
            .split_whitespace()
            .filter_map(|grant| grant.split_once('='))
            .flat_map(|(role, list)| list.split(',').map(move |one| format!("{role}={}", one.trim_end_matches('*'))))
            .collect()
    };
    let now_held = held(now);
    was.is_empty() && !now.contains("(owner)=") || !now.is_empty() && held(was).iter().any(|one| !now_held.contains(one))
        || now.is_empty() && held(was).iter().any(|one| !one.starts_with("(owner)="))
}
