//! Which statements a superuser runs for a migration: looked at one by one, never a whole script, never a
//! block whose text is put together at run time.

use unship_core::sql::{self, Facts};

use super::failure::Privileged;

/// Extensions that PostgreSQL ships, that are not marked as trusted, and that reach nothing outside.
const HARMLESS_EXTENSIONS: [&str; 12] = [
    "amcheck",
    "bloom",
    "earthdistance",
    "intagg",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_visibility",
    "pgrowlocks",
    "pgstattuple",
];

/// Most statements of one script that are looked at.
const STATEMENTS_MAX: usize = 2_000;

/// A text cut in pieces; those that are `true` are for a superuser.
pub(super) fn cut(text: &str, wanted: &Privileged) -> Option<Vec<(bool, String)>> {
    let statements: Vec<std::ops::Range<usize>> = sql::split(text)
        .pieces
        .into_iter()
        .filter_map(|piece| match piece {
            sql::Piece::Statement(statement) => Some(statement.span),
            sql::Piece::Meta(_) => None,
        })
        .take(STATEMENTS_MAX)
        .filter(|span| is_allowed(&text[span.clone()], wanted))
        .collect();
    if statements.is_empty() {
        return None;
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    for span in statements {
        if !sql::is_blank(&text[from..span.start]) {
            pieces.push((false, text[from..span.start].to_owned()));
        }
        from = span.end;
        pieces.push((true, text[span].trim_end_matches(';').to_owned()));
    }
    if !sql::is_blank(&text[from..]) {
        pieces.push((false, text[from..].to_owned()));
    }
    Some(pieces)
}

/// Is this the statement that was refused, and nothing more than that?
fn is_allowed(statement: &str, wanted: &Privileged) -> bool {
    let words: Vec<String> = words(statement);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match wanted {
        Privileged::CreateExtension(name) => {
            HARMLESS_EXTENSIONS.contains(&name.as_str())
                && words.starts_with(&["CREATE", "EXTENSION"])
                && words.iter().take(6).any(|word| word.eq_ignore_ascii_case(name))
        }
        Privileged::SystemTriggers => {
            words.starts_with(&["ALTER", "TABLE"])
                && matches!(words.as_slice(), [.., "DISABLE" | "ENABLE", "TRIGGER", "ALL"])
                && words.len() <= 9
        }
        Privileged::Catalog(table) => {
            let (["UPDATE", target, ..] | ["DELETE", "FROM", target, ..] | ["INSERT", "INTO", target, ..]) =
                words.as_slice()
            else {
                return false;
            };
            let target = target.to_lowercase();
            (target == *table || target == format!("pg_catalog.{table}"))
                && calls_only_known(&sql::facts(statement))
        }
        Privileged::EventTrigger => words.starts_with(&["CREATE", "EVENT", "TRIGGER"]),
        Privileged::Owner => {
            words.first() == Some(&"ALTER")
                && matches!(words.as_slice(), [.., "OWNER", "TO", _])
                && words.len() <= 16
        }
        Privileged::PublicationOfAll => words.starts_with(&["CREATE", "PUBLICATION"]),
    }
}

/// Functions of the migration would run with the superuser's rights.
fn calls_only_known(facts: &Facts) -> bool {
    const KNOWN: [&str; 6] = ["any", "array_agg", "count", "lower", "upper", "coalesce"];
    facts.statements.len() == 1
        && facts.unparsed().next().is_none()
        && facts.opaque_execute().next().is_none()
        && facts
            .statements
            .iter()
            .flat_map(|statement| &statement.calls)
            .all(|call| KNOWN.contains(&&*call.name))
}

fn words(statement: &str) -> Vec<String> {
    statement
        .split(|c: char| c.is_whitespace() || c == ';')
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_matches('"').to_uppercase())
        .collect()
}
