//! Parameters, in whatever way a library writes them, as `$1`, `$2`, ...
//!
//! `@name` and `sqlc.arg(name)` are sqlc's, `:name` that of aiosql, HugSQL and most others, `%(name)s` and `%s`
//! Python's, `?` that of JDBC, MySQL and SQLite. One name is one parameter.

use crate::sql::{Lexeme, LexemeKind, lexemes};

/// Words before a `?` that make it a parameter and not PostgreSQL's operator of that name.
const BEFORE_OPERAND: [&str; 26] = [
    "values",
    "limit",
    "offset",
    "and",
    "or",
    "not",
    "like",
    "ilike",
    "in",
    "between",
    "select",
    "where",
    "when",
    "then",
    "else",
    "set",
    "returning",
    "by",
    "having",
    "on",
    "case",
    "is",
    "from",
    "to",
    "any",
    "all",
];

/// The text with `$n` in place of every other kind of parameter. A text that has `$1` already keeps its numbers;
/// the others come after them.
pub(super) fn numbered(text: &str) -> String {
    let all = lexemes(text);
    let highest = all
        .iter()
        .filter(|lexeme| lexeme.kind == LexemeKind::Param)
        .filter_map(|lexeme| text[lexeme.start + 1..lexeme.end].parse::<usize>().ok());
    let mut writer = Writer {
        out: String::with_capacity(text.len()),
        from: 0,
        next: highest.max().unwrap_or(0) + 1,
        names: Vec::new(),
    };
    let mut at = 0;
    let mut brackets = 0_usize;
    while let Some(lexeme) = all.get(at) {
        match lexeme.kind {
            LexemeKind::OpenBracket => brackets += 1,
            LexemeKind::CloseBracket => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        let taken = replace_at(text, &all, at, brackets, &mut writer);
        at += taken.max(1);
    }
    writer.out.push_str(&text[writer.from..]);
    writer.out
}

struct Writer {
    out: String,
    /// What comes before this byte of the text has been written.
    from: usize,
    next: usize,
    names: Vec<(String, usize)>,
}

impl Writer {
    /// Writes a parameter in place of the bytes `start..end`.
    fn parameter(&mut self, text: &str, start: usize, end: usize, name: Option<&str>) {
        let known = name.and_then(|name| self.names.iter().find(|(other, _)| other == name));
        let number = match known {
            Some((_, number)) => *number,
            None => {
                self.next += 1;
                self.names.extend(name.map(|name| (name.to_owned(), self.next - 1)));
                self.next - 1
            }
        };
        self.replace(text, start, end, &format!("${number}"));
    }

    fn replace(&mut self, text: &str, start: usize, end: usize, with: &str) {
        self.out.push_str(&text[self.from..start]);
        self.out.push_str(with);
        self.from = end;
    }
}

/// Replaces the parameter at `at`, if there is one; how many tokens it took.
fn replace_at(text: &str, all: &[Lexeme], at: usize, brackets: usize, writer: &mut Writer) -> usize {
    let lexeme = &all[at];
    let piece = |index: usize| all.get(index).map_or("", |lexeme| &text[lexeme.start..lexeme.end]);
    let kind = |index: usize| all.get(index).map(|lexeme| lexeme.kind);
    let touches = |index: usize| all.get(index + 1).is_some_and(|next| all[index].end == next.start);
    let name = |index: usize| piece(index).trim_matches(['\'', '"']).to_owned();
    // sqlc.arg(name), sqlc.narg('name'), sqlc.slice(name), sqlc.embed(table)
    if lexeme.kind == LexemeKind::Word
        && piece(at).eq_ignore_ascii_case("sqlc")
        && piece(at + 1) == "."
        && piece(at + 3) == "("
        && piece(at + 5) == ")"
    {
        let end = all[at + 5].end;
        if piece(at + 2).eq_ignore_ascii_case("embed") {
            writer.replace(text, lexeme.start, end, &format!("{}.*", piece(at + 4)));
        } else {
            writer.parameter(text, lexeme.start, end, Some(&name(at + 4)));
        }
        return 6;
    }
    let is_word = matches!(kind(at + 1), Some(LexemeKind::Word));
    let after_sign =
        at > 0 && touches(at - 1) && matches!(kind(at - 1), Some(LexemeKind::Sign | LexemeKind::Colon));
    match piece(at) {
        "@" if is_word && touches(at) && !after_sign => {
            writer.parameter(text, lexeme.start, all[at + 1].end, Some(&name(at + 1)));
            2
        }
        ":" if is_word && touches(at) && !after_sign && brackets == 0 => {
            writer.parameter(text, lexeme.start, all[at + 1].end, Some(&name(at + 1)));
            2
        }
        "%" if piece(at + 1) == "(" && piece(at + 3) == ")" && piece(at + 4) == "s" => {
            writer.parameter(text, lexeme.start, all[at + 4].end, Some(&name(at + 2)));
            5
        }
        "%" if piece(at + 1) == "s" && touches(at) && wants_operand(text, all, at) => {
            writer.parameter(text, lexeme.start, all[at + 1].end, None);
            2
        }
        "?" if !after_sign && wants_operand(text, all, at) => {
            let digits = kind(at + 1) == Some(LexemeKind::Number) && touches(at);
            let (end, named) =
                if digits { (all[at + 1].end, Some(name(at + 1))) } else { (lexeme.end, None) };
            writer.parameter(text, lexeme.start, end, named.as_deref());
            1 + usize::from(digits)
        }
        _ => 1,
    }
}

/// Can only a value stand at `at`?
fn wants_operand(text: &str, all: &[Lexeme], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|before| all.get(before)) else { return false };
    match before.kind {
        LexemeKind::Sign | LexemeKind::OpenParen | LexemeKind::Comma | LexemeKind::OpenBracket => true,
        LexemeKind::Word => {
            let word = text[before.start..before.end].to_lowercase();
            BEFORE_OPERAND.contains(&word.as_str())
        }
        _ => false,
    }
}
