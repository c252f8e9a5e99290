//! What PostgreSQL prints of an expression: may computing it fail, and does a default fit its column?
//!
//! Answers err to one side: what is not known to succeed may fail.

/// Functions that take every value of their arguments' types, and type names that are printed with a bracket.
const TOTAL: [&str; 63] = [
    "lower",
    "upper",
    "initcap",
    "btrim",
    "ltrim",
    "rtrim",
    "trim",
    "length",
    "char_length",
    "octet_length",
    "bit_length",
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "concat",
    "concat_ws",
    "md5",
    "left",
    "right",
    "replace",
    "reverse",
    "strpos",
    "starts_with",
    "translate",
    "ascii",
    "quote_ident",
    "quote_literal",
    "to_tsvector",
    "setweight",
    "num_nulls",
    "num_nonnulls",
    "jsonb_typeof",
    "json_typeof",
    "array_length",
    "cardinality",
    "date_trunc",
    "date_part",
    "extract",
    "timezone",
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "random",
    "gen_random_uuid",
    "uuid_generate_v4",
    "nextval",
    "current_setting",
    "hashtext",
    "row",
    "array",
    "numeric",
    "varying",
    "character",
    "bpchar",
    "timestamp",
    "time",
    "interval",
    "bit",
    "localtimestamp",
    "current_timestamp",
    "round",
];

/// Those of them that give another value every time: PostgreSQL does not try them when a column is added.
const VOLATILE: [&str; 5] = ["random", "clock_timestamp", "gen_random_uuid", "uuid_generate_v4", "nextval"];

/// Types that every value can be cast to.
const TAKES_ALL: [&str; 4] = ["text", "character varying", "bpchar", "name"];

/// May computing this from a row fail? It may where a value is cast to what not every value fits, where numbers may
/// grow too large or are divided, and where it goes through a function that is not known here.
pub(super) fn may_fail(expression: &str) -> bool {
    // A literal was cast when the expression was made; what is computed stands in brackets.
    let casts = expression.match_indices(")::").any(|(at, _)| {
        let to = &expression[at + 3..];
        !TAKES_ALL.iter().any(|known| to.starts_with(known))
    });
    let reckons = [" * ", " / ", " % ", " ^ "].iter().any(|sign| expression.contains(sign))
        || [" + ", " - "].iter().any(|sign| expression.contains(sign)) && !expression.contains("'::interval");
    casts || reckons || calls(expression).any(|name| !TOTAL.contains(&name.as_str()))
}

/// May the rows' part of an index as it is printed fail? Before the first bracket stands the name of the table.
pub(super) fn index_may_fail(definition: &str) -> bool {
    definition.split_once('(').is_some_and(|(_, computed)| may_fail(&computed_only(computed)))
}

/// Without the operator classes' options, which are no calls.
fn computed_only(computed: &str) -> String {
    computed.split(" WITH (").next().unwrap_or_default().to_owned()
}

/// What is followed by a bracket without a space, in lower case and with its schema.
fn calls(expression: &str) -> impl Iterator<Item = String> + '_ {
    expression.match_indices('(').filter_map(|(at, _)| {
        let before = &expression[..at];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '$');
        let name = before.rsplit(|c: char| !is_part(c)).next().unwrap_or_default();
        let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
        (!name.is_empty()).then(|| name.to_lowercase())
    })
}

/// Was the default of a new column computed when the column was added, so that it is known to succeed?
pub(super) fn was_tried(default: &str) -> bool {
    calls(default).all(|name| TOTAL.contains(&name.as_str()) && !VOLATILE.contains(&name.as_str()))
}

/// Does a column of this type take the default, whatever constraints say?
pub(super) fn fits(default: &str, of_type: &str, not_null: bool) -> bool {
    if may_fail(default) || not_null && default.to_uppercase().starts_with("NULL") {
        return false;
    }
    let (name, length) = of_type.split_once('(').unwrap_or((of_type, ""));
    let length: Option<usize> = length.split([')', ',']).next().and_then(|length| length.parse().ok());
    let literal = literal(default);
    match name {
        "smallint" => literal.and_then(|text| text.parse::<i16>().ok()).is_some(),
        "integer" => {
            literal.and_then(|text| text.parse::<i32>().ok()).is_some() || default.starts_with("nextval(")
        }
        "bigint" => {
            literal.and_then(|text| text.parse::<i64>().ok()).is_some() || default.starts_with("nextval(")
        }
        "character varying" | "character" if length.is_some() => {
            literal.zip(length).is_some_and(|(text, length)| text.chars().count() <= length)
        }
        // Another length or precision may refuse it.
        _ => length.is_none() || of_type.ends_with("time zone"),
    }
}

/// The value of a default that is a literal.
fn literal(default: &str) -> Option<&str> {
    let bare = default.trim_matches(['(', ')']);
    if let Some(quoted) = bare.strip_prefix('\'') {
        let (text, cast) = quoted.split_once('\'')?;
        return (cast.is_empty() || cast.starts_with("::") && !cast.contains('(')).then_some(text);
    }
    bare.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.')).then_some(bare)
}

#[cfg(test)]
mod tests;
