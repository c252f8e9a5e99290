//! An existing column does not take NULL any more.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind, Object};
use crate::verdict::uses::Fills;

pub(super) const RULE: Rule = Rule {
    id: "not-null-set",
    title: "An existing column does not take NULL any more",
    page: include_str!("../../../../docs/rules/not-null-set.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .altered(&[Kind::Column], Fact::NotNull)
        .filter(|(change, _, _)| change.now().is_some_and(|now| now.has(Fact::NotNull)))
        .map(|(change, _, _)| Finding::unknown(format!("{} is NOT NULL now: does the older release ever write NULL there?", change.name))
            .needing(Need::Unrestricted {
                table: change.name.parent(),
                columns: change.name.part.iter().cloned().collect(),
                looks_at: change.name.part.iter().cloned().collect(),
                fills: fills(change.now().map(|now| &**now)),
            }))
        .collect()
}

/// What a row that does not name the column gets there.
fn fills(column: Option<&Object>) -> Fills {
    let Some(column) = column else { return Fills::Unknown };
    match column.fact(Fact::Default) {
        Some(default) if default.to_uppercase().starts_with("NULL") => Fills::Fails,
        Some(default) if default.starts_with('\'') || default.starts_with(|c: char| c.is_ascii_digit()) => Fills::Passes,
        Some("true" | "false" | "now()" | "CURRENT_TIMESTAMP") => Fills::Passes,
        Some(default) if default.starts_with("nextval(") => Fills::Passes,
        Some(_) => Fills::Unknown,
        // What is computed from NULL may be NULL.
        None if column.has(Fact::Generated) => Fills::Unknown,
        None if column.has(Fact::Identity) => Fills::Passes,
        None => Fills::Fails,
    }
}
