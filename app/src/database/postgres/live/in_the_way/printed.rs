//! Taking apart what PostgreSQL prints of constraints and indexes. Names and strings may hold anything, brackets too.

use unship_core::sql::ObjectName;

/// What stands in the round brackets with which `text` begins, and what stands after them.
pub fn group(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(')?;
    let mut depth = 1_usize;
    let mut quote = None;
    for (at, c) in inside.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    return Some((&inside[..at], &inside[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts between commas that are in no brackets and no quotes.
pub fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut quote, mut from) = (0_usize, None, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// The names in a list of columns.
pub fn names(list: &str) -> Option<Vec<String>> {
    parts(list).into_iter().map(|part| ObjectName::parse(part).map(|name| name.name)).collect()
}

/// Of an index's element the expression, without the operator class and the order after it: of
/// `lower(email) text_pattern_ops DESC` the `lower(email)`.
pub fn expression(element: &str) -> Option<&str> {
    let mut quote = None;
    let mut end = element.len();
    for (at, c) in element.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => {
                let (_, rest) = group(&element[at..])?;
                end = element.len() - rest.len();
                break;
            }
            (None, ' ') => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    element.get(..end).filter(|expression| !expression.is_empty())
}
