//! `DROP TABLE` as a statement of its own, read token by token.

use super::lex::{Kind, tokens};
use super::name::ObjectName;
use super::split::{Piece, split};

/// A plain `DROP TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTables {
    /// In the order in which they are named.
    pub tables: Vec<ObjectName>,
    /// What hangs on them is dropped too.
    pub cascade: bool,
}

/// Reads `DROP TABLE [IF EXISTS] name, ... [CASCADE | RESTRICT]`; nothing if `statement` is anything else, or more.
pub fn dropped_tables(statement: &str) -> Option<DroppedTables> {
    let mut words = tokens(statement, 0).filter(|token| token.counts()).peekable();
    let mut keyword = |word: &str| {
        let is = |token: &super::lex::Token| {
            token.kind == Kind::Word && statement[token.start..token.end].eq_ignore_ascii_case(word)
        };
        words.next_if(is).is_some()
    };
    if !keyword("drop") || !keyword("table") || (keyword("if") && !keyword("exists")) {
        return None;
    }
    let mut found = DroppedTables { tables: Vec::new(), cascade: false };
    loop {
        let start = words.peek()?.start;
        let mut end = start;
        let mut want_part = true;
        while let Some(token) = words.next_if(|token| match token.kind {
            Kind::Word | Kind::QuotedWord => want_part,
            Kind::Dot => !want_part,
            _ => false,
        }) {
            want_part = !want_part;
            end = token.end;
        }
        found.tables.push(ObjectName::parse(statement.get(start..end)?)?);
        if words.next_if(|token| token.kind == Kind::Comma).is_none() {
            break;
        }
    }
    if let Some(token) = words.next_if(|token| token.kind == Kind::Word) {
        match statement[token.start..token.end].to_ascii_lowercase().as_str() {
            "cascade" => found.cascade = true,
            "restrict" => {}
            _ => return None,
        }
    }
    words.all(|token| token.kind == Kind::Semi).then_some(found)
}

/// Puts other text in the place of some statements of a script. `replace` is asked for each statement, with what it
/// would drop; nothing leaves the statement as it is. Comments and everything else stay as they stand.
pub fn replace_dropped(script: &str, mut replace: impl FnMut(&DroppedTables) -> Option<String>) -> String {
    let mut text = String::with_capacity(script.len());
    let mut from = 0;
    for piece in split(script).pieces {
        let Piece::Statement(statement) = piece else { continue };
        let span = statement.span;
        if let Some(other) = dropped_tables(&script[span.clone()]).and_then(|dropped| replace(&dropped)) {
            text.push_str(&script[from..span.start]);
            text.push_str(&other);
            from = span.end;
        }
    }
    text.push_str(&script[from..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(statement: &str) -> Option<(Vec<String>, bool)> {
        dropped_tables(statement)
            .map(|dropped| (dropped.tables.iter().map(ToString::to_string).collect(), dropped.cascade))
    }

    #[test]
    fn only_a_plain_drop_is_read() {
        let of =
            |names: &[&str], cascade| Some((names.iter().map(|&name| name.to_owned()).collect(), cascade));
        assert_eq!(names("DROP TABLE a"), of(&["a"], false));
        assert_eq!(
            names("drop /* x */ table if exists public.A, \"B\".\"c\"\"d\" restrict;"),
            of(&["public.a", "B.c\"d"], false)
        );
        assert_eq!(names("DROP TABLE a CASCADE -- all\n;"), of(&["a"], true));
        assert_eq!(names("DROP TABLE db.s.a"), of(&["s.a"], false));
        for other in [
            "DROP VIEW a",
            "DROP TABLE",
            "DROP TABLE a,",
            "DROP TABLE a b c",
            "DROP TABLE a; DROP TABLE b",
            "DROP TABLE IF a",
            "DROP TABLE a CASCADE CASCADE",
            "ALTER TABLE a DROP COLUMN b",
            "DROP TABLE 'a'",
        ] {
            assert_eq!(names(other), None, "{other}");
        }
    }

    #[test]
    fn what_stands_around_a_drop_stays() {
        let script = "-- DROP TABLE a;\nSELECT 'DROP TABLE a'; DROP TABLE a; /* b */ DROP TABLE b CASCADE";
        let seen = replace_dropped(script, |dropped| (!dropped.cascade).then(|| "CALL x();".to_owned()));
        assert_eq!(seen, "-- DROP TABLE a;\nSELECT 'DROP TABLE a'; CALL x(); /* b */ DROP TABLE b CASCADE");
        assert_eq!(replace_dropped(script, |_| None), script);
    }
}
