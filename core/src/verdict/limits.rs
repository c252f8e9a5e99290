//! What a constraint, an index or a foreign key asks of those who write.

use super::uses::{Event, Fills, ForeignKey, Need, Table};
use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::words_of;

/// What is printed of a constraint or index without the name of its table.
pub(super) fn printed(part: &Object) -> &str {
    let definition = part.fact(Fact::Definition).unwrap_or_default();
    match part.kind {
        Kind::Index => definition.split_once('(').map_or(definition, |(_, rest)| rest),
        _ => definition,
    }
}

/// What a new constraint or index asks of the older release's writes.
pub(super) fn restricts(after: &Catalog, limit: &Object) -> Need {
    let table = limit.name.parent();
    let definition = limit.fact(Fact::Definition).unwrap_or_default();
    // Rows that were never checked may fail whatever an UPDATE sets.
    let is_checked = !definition.ends_with("NOT VALID") && !limit.has(Fact::Invalid);
    let columns: Vec<String> = limit
        .fact(Fact::Columns)
        .filter(|columns| !columns.contains('(') && is_checked)
        .map(|columns| columns.split(", ").map(|column| column.trim_matches('"').to_owned()).collect())
        .unwrap_or_default();
    let looks_at = match limit.fact(Fact::Sort) {
        _ if !is_checked => Vec::new(),
        Some("c" | "f") => columns.clone(),
        // What it computes, and when it holds, is printed and not listed.
        _ => named_in(after, &table, definition.split_once('(').map_or(definition, |(_, rest)| rest)),
    };
    let left_null = |column: &String| {
        let name = Name { part: Some(column.clone()), ..table.clone() };
        after.get(Kind::Column, &name).is_some_and(|column| is_left_null(after, column))
    };
    let passes = !columns.is_empty() && columns.iter().all(left_null) && null_passes(limit);
    let fills = if passes { Fills::Passes } else { Fills::Unknown };
    Need::Unrestricted { table, columns, looks_at, fills }
}

/// The columns of the table that an expression names; none at all if it takes whole rows.
pub(super) fn named_in(catalog: &Catalog, table: &Name, expression: &str) -> Vec<String> {
    let words = words_of(expression);
    if words.contains(&table.object.to_lowercase()) {
        return Vec::new();
    }
    let columns =
        catalog.objects().filter(|object| object.kind == Kind::Column && object.name.parent() == *table);
    columns
        .filter_map(|column| column.name.part.clone())
        .filter(|column| words.contains(&column.to_lowercase()))
        .collect()
}

/// Does a row hold NULL in this column if nobody names it?
pub(super) fn is_left_null(catalog: &Catalog, column: &Object) -> bool {
    ![Fact::NotNull, Fact::Default, Fact::Identity, Fact::Generated].iter().any(|fact| column.has(*fact))
        && Table::of(catalog, &column.name.parent()).domain_of(column).is_none()
}

/// What a new foreign key asks of those who take away the rows that it points at, or give them other keys.
pub(super) fn keys_kept(after: &Catalog, constraint: &Object) -> Option<Need> {
    let key = ForeignKey::of(constraint)?;
    Some(Need::KeysKept {
        deletes: key.may_refuse(Event::Delete, after),
        updates: key.may_refuse(Event::Update, after),
        table: key.target,
        keys: key.keys,
    })
}

/// Words of a CHECK that can tell NULL from a value; without them, NULL passes.
const SEES_NULL: [&str; 9] =
    ["null", "coalesce", "num_nulls", "num_nonnulls", "case", "distinct", "is", "ifnull", "nullif"];

/// Does a row pass that has NULL in all columns of this constraint or index?
pub(super) fn null_passes(limit: &Object) -> bool {
    let definition = limit.fact(Fact::Definition).unwrap_or_default();
    let words = words_of(definition);
    match limit.fact(Fact::Sort) {
        Some("c") => {
            // Functions may make anything of NULL; those that PostgreSQL marks strict are not told apart here.
            !has_call(definition) && !SEES_NULL.iter().any(|word| words.contains(*word))
        }
        Some("p") => false,
        _ => !definition.contains("NULLS NOT DISTINCT"),
    }
}

/// Is a name followed by a bracket?
fn has_call(definition: &str) -> bool {
    const KNOWN_STRICT: [&str; 9] =
        ["length", "char_length", "lower", "upper", "abs", "btrim", "octet_length", "cardinality", "CHECK"];
    definition.match_indices('(').any(|(at, _)| {
        let before = &definition[..at];
        let name_at =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |place| place + 1);
        let name = &before[name_at..];
        !name.is_empty()
            && !KNOWN_STRICT.contains(&name)
            && !["ANY", "AND", "OR", "NOT", "IN", "varying", "numeric", "ALL"].contains(&name)
    })
}
