//! An index or a generated column of an existing table computes something that may fail from what is written.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Fact, Kind, Name, Object};
use crate::verdict::expression::{fits, index_may_fail, may_fail, was_tried};
use crate::verdict::uses::{Answer, Fills, Table};
use crate::verdict::limits::{named_in, null_passes, restricts};

pub(super) const RULE: Rule = Rule {
    id: "computed-from-writes",
    title: "Something that may fail is computed from what is written",
    page: include_str!("../../../../docs/rules/computed-from-writes.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let asks = "does everything that the older release writes allow that?";
    let indexes = subject
        .added_where_written(Kind::Index)
        // What a unique one asks is asked already.
        .filter(|index| !index.has(Fact::Unique) && index_may_fail(index.fact(Fact::Definition).unwrap_or_default()))
        .map(|index| {
            let text = format!("index {} is computed from what is written: {asks}", index.name);
            Finding::unknown(text).needing(restricts(subject.after, index))
        });
    let columns = subject.added_where_written(Kind::Column);
    let generated = subject.added_where_written(Kind::Column).filter(|column| may_fail(column.fact(Fact::Generated).unwrap_or_default())).map(|column| {
        let table = column.name.parent();
        let looks_at = named_in(subject.after, &table, column.fact(Fact::Generated).unwrap_or_default());
        let need = Need::Unrestricted { table, columns: Vec::new(), looks_at, fills: Fills::Unknown };
        let text = format!("column {} is computed from what is written: {asks}", column.name);
        Finding::unknown(text).needing(need)
    });
    let filled = columns.filter(|column| fills_itself_with_what_may_fail(subject, column)).map(|column| {
        let text = format!("{} fills itself with what may be refused", column.name);
        Finding::unknown(text).needing(Need::DefaultUnused { column: column.name.clone(), doubted: true })
    });
    indexes.chain(generated).chain(filled).chain(too_long(subject)).collect()
}

/// A B-tree takes no value that is longer than a third of a page.
fn too_long<'a>(subject: &'a Subject) -> impl Iterator<Item = Finding> + 'a {
    let is_long = |table: &Name, column: &str| {
        let column = Name { part: Some(column.to_owned()), ..table.clone() };
        subject.before.get(Kind::Column, &column).is_some_and(|column| {
            let of_type = column.fact(Fact::Type).unwrap_or_default();
            matches!(of_type, "text" | "character varying" | "bytea" | "jsonb") || of_type.ends_with("[]")
        })
    };
    subject.added_where_written(Kind::Index).filter_map(move |index| {
        let definition = index.fact(Fact::Definition).filter(|text| text.contains(" USING btree "))?;
        let (table, (_, computed)) = (index.name.parent(), definition.split_once('(')?);
        let looks_at = named_in(subject.after, &table, computed.split(" WHERE ").next().unwrap_or_default());
        let column = looks_at.iter().find(|column| is_long(&table, column))?.clone();
        let need = restricts(subject.after, index);
        let is_kept = subject.uses.is_some_and(|uses| matches!(uses.answer(&need, subject.after), Answer::Holds(_)));
        let text = format!("what the older release writes into {table}.{column} is shorter than 2,704 bytes: index {} takes no more", index.name);
        (!is_kept).then(|| Finding::assumes(text))
    })
}

/// May a row be refused because of what a new column gets where nobody names it?
fn fills_itself_with_what_may_fail(subject: &Subject, column: &Object) -> bool {
    let domain = Table::of(subject.after, &column.name.parent()).domain_of(column);
    // What a domain takes is not tried when a column is added to an empty table.
    let refuses = domain.is_some_and(|domain| {
        let refuses_null = domain.has(Fact::NotNull) || subject.limits_of(domain).any(|limit| !null_passes(limit));
        column.has(Fact::Default) || domain.has(Fact::Default) || refuses_null
    });
    let not_null = column.has(Fact::NotNull);
    let may_fail = column.fact(Fact::Default).is_some_and(|default| {
        !was_tried(default) && !fits(default, column.fact(Fact::Type).unwrap_or_default(), not_null)
    });
    refuses || may_fail || takes_numbers_without_right(subject, column)
}

/// Is the column filled from a new sequence that the application's role was not granted, although its table was?
fn takes_numbers_without_right(subject: &Subject, column: &Object) -> bool {
    let Some(role) = subject.uses.and_then(|uses| uses.role.as_deref()) else { return false };
    let Some(default) = column.fact(Fact::Default).filter(|default| default.contains("nextval(")) else {
        return false;
    };
    let words = crate::sql::words_of(default);
    let granted_to = |object: &Object, who: &str| {
        let grants = object.fact(Fact::Grants).unwrap_or_default();
        grants.split_whitespace().any(|grant| grant.split_once('=').is_some_and(|(to, _)| to == who))
    };
    let of_table = subject.after.relation(&column.name).is_some_and(|table| granted_to(table, role));
    let sequences = subject.after.objects().filter(|object| object.kind == Kind::Sequence);
    let mut taken = sequences.filter(|sequence| words.contains(&sequence.name.object.to_lowercase()));
    of_table && taken.any(|sequence| !granted_to(sequence, role) && !granted_to(sequence, "PUBLIC"))
}
