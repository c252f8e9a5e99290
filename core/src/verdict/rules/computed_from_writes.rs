//! An index or a generated column of an existing table computes something that may fail from what is written.

use super::{Finding, Need, Rule, Subject, restricts};
use crate::schema::{Fact, Kind, Object};
use crate::verdict::uses::Fills;

pub(super) const RULE: Rule = Rule {
    id: "computed-from-writes",
    title: "Something that may fail is computed from what is written",
    page: include_str!("../../../../docs/rules/computed-from-writes.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let was_there = |object: &&Object| subject.before.has_table(&object.name.parent());
    let indexes = subject
        .added(&[Kind::Index])
        .filter(was_there)
        // What a unique one asks is asked already.
        .filter(|index| !index.has(Fact::Unique) && may_fail(index.fact(Fact::Definition).unwrap_or_default()))
        .map(|index| (index, restricts(subject, index)));
    let columns = subject
        .added(&[Kind::Column])
        .filter(was_there)
        .filter(|column| may_fail(column.fact(Fact::Generated).unwrap_or_default()))
        .map(|column| {
            let (table, columns) = (column.name.parent(), Vec::new());
            (column, Need::Unrestricted { table, columns, fills: Fills::Unknown })
        });
    indexes
        .chain(columns)
        .map(|(object, need)| {
            let (kind, name) = (object.kind.word(), &object.name);
            let text = format!("{kind} {name} is computed from what is written: does everything that the older release writes allow that?");
            Finding::unknown(text).needing(need)
        })
        .collect()
}

/// Types that every value can be cast to.
const TAKES_ALL: [&str; 4] = ["text", "character varying", "bpchar", "name"];

/// May computing this fail? It may where a value is cast to what not every value fits, is divided, or goes through a
/// function of the user's own; PostgreSQL prints those with their schema.
fn may_fail(definition: &str) -> bool {
    // The name of the table comes before, with its schema.
    let computed = definition.split_once(" USING ").map_or(definition, |(_, rest)| rest);
    // A literal was cast when the index was made; what is computed stands in brackets.
    let casts = computed.match_indices(")::").any(|(at, _)| {
        let to = &computed[at + 3..];
        !TAKES_ALL.iter().any(|known| to.starts_with(known))
    });
    let own_call = computed.match_indices('(').any(|(at, _)| {
        let name = computed[..at].rsplit(|c: char| c.is_whitespace() || c == '(' || c == ',').next();
        name.is_some_and(|name| name.contains('.') && !name.starts_with("pg_catalog."))
    });
    casts || own_call || computed.contains(" / ") || computed.contains(" % ")
}

#[cfg(test)]
mod tests {
    use super::may_fail;

    #[test]
    fn what_may_fail_and_what_may_not() {
        let index = |what: &str| format!("CREATE INDEX i ON public.t USING btree {what}");
        for total in ["(k)", "(lower((s)::text))", "(id) WHERE (state = 'new'::public.state)", "((a || b))"] {
            assert!(!may_fail(&index(total)), "{total}");
        }
        for may in ["(((s)::integer))", "(id) WHERE ((s)::integer > 3)", "(public.f(s))", "((a / b))"] {
            assert!(may_fail(&index(may)), "{may}");
        }
        assert!(may_fail("(payload ->> 'n'::text)::integer"));
        assert!(!may_fail("(n * 2)") && !may_fail(""));
    }
}
