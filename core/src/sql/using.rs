//! `ALTER COLUMN ... TYPE ... USING`: whether what stands there is more than the cast that the type change is anyway.

use super::guard::inside_quotes;
use super::lex::{Kind, Token, tokens};
use super::name::part;

/// How deep texts inside texts are looked into: a body, and what it executes.
const QUOTES_DEEP_MAX: usize = 3;

/// Does the text give a column's new values by an expression of its own? `USING c::TYPE` and `USING CAST(c AS TYPE)` with
/// the type that the column gets are none. What cannot be told apart counts as one.
pub fn computes_values(text: &str) -> bool {
    in_text(text, QUOTES_DEEP_MAX)
}

fn in_text(text: &str, deep: usize) -> bool {
    let all: Vec<Token> = tokens(text, 0).filter(|token| token.counts()).collect();
    let quoted = all.iter().filter(|token| matches!(token.kind, Kind::Text | Kind::DollarText));
    let mut inside = quoted.map(|token| inside_quotes(&text[token.start..token.end]));
    let is = |token: &Token, word: &str| {
        token.kind == Kind::Word && text[token.start..token.end].eq_ignore_ascii_case(word)
    };
    let mut statements = all.split(|token| token.kind == Kind::Semi);
    statements.any(|statement| {
        (0..statement.len()).filter(|at| is(&statement[*at], "using")).any(|at| {
            let Some(change) = Change::before(text, &statement[..at]) else { return false };
            !change.is_plain(text, &statement[at + 1..])
        })
    }) || inside.any(|inner| deep == 0 && !inner.trim().is_empty() || deep > 0 && in_text(inner, deep - 1))
}

/// `ALTER [COLUMN] column [SET DATA] TYPE to`.
struct Change {
    column: String,
    to: String,
}

impl Change {
    /// What stands in front of a USING; nothing where that is no change of a type.
    fn before(text: &str, tokens: &[Token]) -> Option<Change> {
        let is = |at: usize, word: &str| {
            let token = tokens.get(at).filter(|token| token.kind == Kind::Word);
            token.is_some_and(|token| text[token.start..token.end].eq_ignore_ascii_case(word))
        };
        let at = (0..tokens.len()).rev().find(|at| is(*at, "type"))?;
        let alter = (0..at).rev().find(|at| is(*at, "alter"))?;
        let name = tokens.get(alter + 1 + usize::from(is(alter + 1, "column")))?;
        let column = part(&text[name.start..name.end]);
        Some(Change { column, to: words(text, tokens.get(at + 1..)?) })
    }

    /// Is the expression the column itself, or that cast to its new type?
    fn is_plain(&self, text: &str, rest: &[Token]) -> bool {
        let mut depth = 0_usize;
        let end = rest.iter().position(|token| {
            match token.kind {
                Kind::OpenParen => depth += 1,
                Kind::CloseParen => match depth.checked_sub(1) {
                    Some(less) => depth = less,
                    None => return true,
                },
                _ => {}
            }
            depth == 0 && token.kind == Kind::Comma
        });
        let written = words(text, &rest[..end.unwrap_or(rest.len())]);
        let names = [self.column.clone(), format!("\"{}\"", self.column.replace('"', "\"\""))];
        names.iter().any(|name| {
            [name.clone(), format!("{name}::{}", self.to), format!("cast({name} as {})", self.to)]
                .iter()
                .any(|plain| squeezed(plain) == written)
        })
    }
}

/// The tokens one after the other, words in lower case, without space; a quoted name stays as it is.
fn words(text: &str, of: &[Token]) -> String {
    let token = |token: &Token| {
        let text = &text[token.start..token.end];
        if token.kind == Kind::Word { text.to_lowercase() } else { text.to_owned() }
    };
    of.iter().map(token).collect()
}

fn squeezed(text: &str) -> String {
    let all: Vec<Token> = tokens(text, 0).filter(|token| token.counts()).collect();
    words(text, &all)
}

#[cfg(test)]
mod tests {
    use super::computes_values;

    #[test]
    fn a_plain_cast_to_the_new_type_computes_nothing() {
        for text in [
            "ALTER TABLE t ALTER COLUMN c TYPE bigint",
            "ALTER TABLE t ALTER c TYPE bigint USING c::bigint, ALTER d SET NOT NULL",
            "ALTER TABLE t ALTER COLUMN \"c\" SET DATA TYPE numeric(10, 2) USING \"c\"::NUMERIC(10,2)",
            "ALTER TABLE t ALTER c TYPE text USING CAST(c AS text);",
            "ALTER TABLE t ALTER c TYPE text USING c",
            "CREATE INDEX i ON t USING gin (c)",
            "DELETE FROM t USING u WHERE t.type = u.type",
            "DO $$ BEGIN ALTER TABLE t ALTER c TYPE bigint USING c::bigint; END $$",
        ] {
            assert!(!computes_values(text), "{text}");
        }
    }

    #[test]
    fn everything_else_computes() {
        for text in [
            "ALTER TABLE t ALTER c TYPE text USING left(c, 3)",
            "ALTER TABLE t ALTER c TYPE text USING c::varchar(3)",
            "ALTER TABLE t ALTER c TYPE text USING c::date::text",
            "ALTER TABLE t ALTER c TYPE text USING d::text",
            "ALTER TABLE t ALTER a TYPE bigint USING a::bigint, ALTER c TYPE text USING 'x'",
            "DO $$ BEGIN EXECUTE 'ALTER TABLE t ALTER c TYPE text USING left(c, 3)'; END $$",
            "DO $$ BEGIN ALTER TABLE t ALTER c TYPE text USING (c || 'x'); END $$",
        ] {
            assert!(computes_values(text), "{text}");
        }
    }
}
