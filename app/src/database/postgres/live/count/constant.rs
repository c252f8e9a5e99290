//! Whether a default is a constant, and which.

/// The text of a constant as PostgreSQL prints a default: `'public'::text`, `0`, `'-1'::integer`, `true`. None for
/// everything else: a default such as `now()` cannot be compared with what it was when a row was written.
pub fn value(default: &str) -> Option<String> {
    let text = default.trim();
    let (value, rest) = match text.strip_prefix('\'') {
        Some(after) => string(after)?,
        None => {
            let end = text.find("::").unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            let word = word.trim().trim_start_matches('(').trim_end_matches(')');
            if !is_number(word) && word != "true" && word != "false" {
                return None;
            }
            (word.to_owned(), rest)
        }
    };
    is_casts(rest).then_some(value)
}

/// A string up to its end, and what stands after it.
fn string(after: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = after;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        value.push_str(part);
        match behind.strip_prefix('\'') {
            Some(behind) => {
                value.push('\'');
                rest = behind;
            }
            None => return Some((value, behind)),
        }
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
}

/// Nothing, or `::type` again and again. A type's name has words, dots, quotes, brackets and numbers.
fn is_casts(rest: &str) -> bool {
    let rest = rest.trim();
    if rest.is_empty() {
        return true;
    }
    let Some(types) = rest.strip_prefix("::") else { return false };
    let is_word = |c: char| {
        c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '"' | '[' | ']' | '(' | ')' | ',' | ':')
    };
    // A bracket that closes more than it opened belongs to an expression around it.
    let opened = types.matches('(').count();
    types.chars().all(is_word) && opened == types.matches(')').count()
}
