//! What in a catalog may refuse a value, or put another one in its place.

use std::collections::BTreeSet;

use super::{Table, bare};
use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::words_of;
use crate::verdict::expression::{fits, index_may_fail};

/// May a trigger that runs before a row of the table is changed give it other values in these columns?
pub(super) fn set_by_trigger(after: &Catalog, table: &Name, columns: &[String]) -> bool {
    let table = Table::of(after, table);
    let before_update = |object: &Object| {
        let words = words_of(object.fact(Fact::Definition).unwrap_or_default());
        (object.kind == Kind::Trigger && words.contains("before") && words.contains("update"))
            .then_some(words)
    };
    let called: BTreeSet<String> =
        table.objects().filter_map(|object| before_update(object)).flatten().collect();
    // A trigger that no body is known of is told the column that it sets.
    if columns.iter().any(|column| called.contains(&column.to_lowercase())) {
        return true;
    }
    let bodies = after.objects().filter(|object| {
        object.kind == Kind::Function && called.contains(&bare(&object.name.object).to_lowercase())
    });
    bodies.into_iter().any(|function| {
        let body = function.fact(Fact::Body).unwrap_or_default();
        let words = words_of(body);
        let names_one = columns.iter().any(|column| words.contains(&column.to_lowercase()));
        let is_read = function.fact(Fact::Options).is_some_and(|options| options.starts_with("plpgsql "));
        names_one || !is_read || sets_whole_row(body)
    })
}

/// Does the body of a trigger give NEW another value as a whole?
fn sets_whole_row(body: &str) -> bool {
    let body = body.to_lowercase();
    let words: Vec<&str> = body.split_whitespace().collect();
    words.windows(2).any(|pair| match pair {
        ["new", next] => next.starts_with('=') || next.starts_with(":="),
        ["into", "new" | "new;"] => true,
        [word, _] => word.starts_with("new:=") || word.starts_with("new="),
        _ => false,
    })
}

pub(super) fn has_triggers(catalog: &Catalog, table: &Name) -> bool {
    Table::of(catalog, table).objects().any(|object| matches!(object.kind, Kind::Trigger | Kind::Rule))
}

fn column_of<'a>(catalog: &'a Catalog, table: &Name, column: &str) -> Option<&'a Object> {
    let name = Name { part: Some(column.trim_matches('"').to_owned()), ..table.clone() };
    catalog.get(Kind::Column, &name).map(|object| &**object)
}

pub(super) fn is_generated(catalog: &Catalog, table: &Name, column: &str) -> bool {
    column_of(catalog, table, column).is_none_or(|column| column.has(Fact::Generated))
}

/// May something refuse a value that this column fills itself with?
pub(super) fn is_constrained(catalog: &Catalog, column: &Name) -> bool {
    let part = column.part.as_deref().unwrap_or_default();
    // What is behind a view is not looked for.
    if !catalog.has_table(&column.parent()) {
        return true;
    }
    let table = Table::of(catalog, &column.parent());
    let Some(object) = table.column(part) else { return true };
    let fits = object.fact(Fact::Default).is_none_or(|default| {
        fits(default, object.fact(Fact::Type).unwrap_or_default(), object.has(Fact::NotNull))
    });
    if !fits || table.domain_of(object).is_some() {
        return true;
    }
    let names_it =
        |text: Option<&str>| text.is_some_and(|text| words_of(text).contains(&part.to_lowercase()));
    let limits = table.objects().any(|object| match object.kind {
        Kind::Constraint | Kind::Index => {
            let definition = object.fact(Fact::Definition);
            let is_plain = object.kind == Kind::Index
                && !object.has(Fact::Unique)
                && !index_may_fail(definition.unwrap_or_default());
            !is_plain && (!object.has(Fact::Columns) || names_it(definition))
        }
        Kind::Trigger | Kind::Rule => true,
        Kind::Policy => object.fact(Fact::Definition).is_some_and(|text| text.contains("check (")),
        Kind::Column => names_it(object.fact(Fact::Generated)),
        Kind::Table | Kind::ForeignTable => names_it(object.fact(Fact::PartitionKey)),
        _ => false,
    });
    limits || catalog.objects().any(|object| has_check_option(object) && names_table(object, &column.object))
}

/// Is there something else by the name of what is gone, and may it refuse what the other one took? A view on what was
/// renamed does not, unless it checks what it is given; COPY takes no view.
pub(super) fn is_replaced_by_less(after: &Catalog, name: &Name, is_copy: bool) -> bool {
    let others = after.objects().filter(|object| !object.kind.is_part() && object.name == *name);
    others.into_iter().any(|object| {
        let fills = || {
            Table::of(after, name).objects().any(|part| part.kind == Kind::Column && part.has(Fact::Default))
        };
        let is_plain =
            object.kind == Kind::View && !has_check_option(object) && !has_triggers(after, name) && !fills();
        !is_plain || is_copy
    })
}

/// A view that refuses what it would not show.
fn has_check_option(object: &Object) -> bool {
    object.kind == Kind::View
        && object.fact(Fact::Options).is_some_and(|options| options.contains("check_option"))
}

fn names_table(view: &Object, table: &str) -> bool {
    words_of(view.fact(Fact::Definition).unwrap_or_default()).contains(&table.to_lowercase())
}
