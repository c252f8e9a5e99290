//! A column has another type.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "column-type-changed",
    title: "A column has another type",
    page: include_str!("../../../../docs/rules/column-type-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let types = subject.altered(&[Kind::Column], Fact::Type).map(|(change, from, to)| {
        let text = format!("{} was {from} and is {to}", change.name);
        if takes_more_text(from, to) {
            Finding::assumes(format!("{text}, which takes more"))
                .needing(Need::UnnamedInBodies { column: change.name.clone() })
        } else {
            Finding::breaks(text).needing(Need::Untouched { column: change.name.clone() })
        }
    });
    // Not every collation takes LIKE, and two of them may not be compared.
    let collations = subject.altered(&[Kind::Column], Fact::Collation).map(|(change, _, _)| {
        let text = format!("{} sorts and compares in another way", change.name);
        Finding::unknown(text).needing(Need::Untouched { column: change.name.clone() })
    });
    types.chain(collations).collect()
}

/// Text to text without a limit, or with a larger one: the same values, and drivers give them as text.
fn takes_more_text(from: &str, to: &str) -> bool {
    let limit = |name: &str| name.strip_prefix("character varying(")?.strip_suffix(')')?.parse::<u32>().ok();
    match (limit(from), to) {
        (Some(_), "text" | "character varying") => true,
        (Some(from), to) => limit(to).is_some_and(|to| to >= from),
        (None, "text") => from == "character varying",
        (None, "character varying") => from == "text",
        (None, _) => false,
    }
}
