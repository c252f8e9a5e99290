//! Words, quotes and signs of SQLite's dialect, and where a statement ends.
//!
//! After `sqlite3GetToken()` (SQLite 3.50, `src/tokenize.c`) and `sqlite3_complete()` (`src/complete.c`): no
//! backslash escapes, no nested comments, names also in `[...]` and backticks, triggers up to their `END;`.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bare word, or a number.
    Word,
    /// A name in `"..."`, `[...]` or backticks.
    Quoted,
    /// A text in `'...'`.
    Text,
    Semi,
    Open,
    Close,
    Comma,
    Sign,
}

/// One token; white space and comments are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

impl Token {
    /// True if it is the bare word `word`, in whatever case.
    pub fn is(&self, text: &str, word: &str) -> bool {
        self.kind == Kind::Word && text[self.span.clone()].eq_ignore_ascii_case(word)
    }

    /// A name without its quotes, in lower case: SQLite does not tell cases of names apart.
    pub fn name(&self, text: &str) -> String {
        let raw = &text[self.span.clone()];
        let inner = match self.kind {
            Kind::Quoted | Kind::Text if raw.len() >= 2 => &raw[1..raw.len() - 1],
            _ => raw,
        };
        let doubled = match raw.chars().next() {
            Some(quote @ ('"' | '`' | '\'')) => format!("{quote}{quote}"),
            _ => return inner.to_lowercase(),
        };
        inner.replace(&doubled, &doubled[..1]).to_lowercase()
    }
}

/// All tokens of `text`. Never fails: a quote that is not closed runs to the end.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        // A byte order mark between tokens is white space to SQLite, wherever it stands.
        if bytes[at..].starts_with(b"\xef\xbb\xbf") {
            at += 3;
            continue;
        }
        let kind = match bytes[at] {
            b if b.is_ascii_whitespace() || b == 0x0b => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |end| at + end + 1);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text[at + 2..].find("*/").map_or(bytes.len(), |end| at + 2 + end + 2);
                continue;
            }
            quote @ (b'\'' | b'"' | b'`') => {
                at = end_of_quote(bytes, at, quote);
                if quote == b'\'' { Kind::Text } else { Kind::Quoted }
            }
            b'[' => {
                at = bytes[at..].iter().position(|b| *b == b']').map_or(bytes.len(), |end| at + end + 1);
                Kind::Quoted
            }
            b'$' | b'@' | b'#' | b':' => {
                at = end_of_variable(bytes, at);
                Kind::Sign
            }
            b if is_word(b) => {
                at = bytes[at..].iter().position(|b| !is_word(*b)).map_or(bytes.len(), |end| at + end);
                Kind::Word
            }
            sign => {
                at += 1;
                match sign {
                    b';' => Kind::Semi,
                    b'(' => Kind::Open,
                    b')' => Kind::Close,
                    b',' => Kind::Comma,
                    _ => Kind::Sign,
                }
            }
        };
        found.push(Token { kind, span: start..at });
    }
    found
}

/// Bytes of words; everything beyond ASCII is one, as for SQLite.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The end of a parameter such as `:name`, `$name` or `$name(...)`. What stands in the brackets belongs to the
/// name up to the first blank, quotes and semicolons included.
fn end_of_variable(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    let mut letters = 0;
    while let Some(byte) = bytes.get(at) {
        if is_word(*byte) {
            letters += 1;
            at += 1;
        } else if *byte == b'(' && letters > 0 {
            let rest = &bytes[at + 1..];
            let end = rest.iter().position(|b| b.is_ascii_whitespace() || *b == b')').unwrap_or(rest.len());
            return at + 1 + end + usize::from(rest.get(end) == Some(&b')'));
        } else if *byte == b':' && bytes.get(at + 1) == Some(&b':') {
            at += 2;
        } else {
            break;
        }
    }
    at
}

fn end_of_quote(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        if bytes[at] == quote {
            if bytes.get(at + 1) == Some(&quote) {
                at += 1;
            } else {
                return at + 1;
            }
        }
        at += 1;
    }
    bytes.len()
}

/// One statement: its text without the semicolon, its line from 1, its tokens.
#[derive(Debug, Clone)]
pub struct Statement<'a> {
    pub text: &'a str,
    pub line: u32,
    /// Spans relative to `text`.
    pub tokens: Vec<Token>,
}

impl Statement<'_> {
    /// The first words, lower-cased, up to the first token that is no bare word.
    pub fn words(&self) -> Vec<String> {
        let words = self.tokens.iter().take_while(|token| token.kind == Kind::Word);
        words.take(16).map(|token| self.text[token.span.clone()].to_ascii_lowercase()).collect()
    }
}

/// Cuts a script into statements.
pub fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut current: Vec<Token> = Vec::new();
    let (mut line, mut counted_to) = (1_u32, 0_usize);
    let mut flush = |current: &mut Vec<Token>| {
        let (Some(first), Some(last)) = (current.first(), current.last()) else { return };
        let span = first.span.start..last.span.end;
        line += newlines(&text[counted_to..span.start]);
        counted_to = span.start;
        let tokens = current
            .drain(..)
            .map(|t| Token { kind: t.kind, span: t.span.start - span.start..t.span.end - span.start })
            .collect();
        found.push(Statement { text: &text[span], line, tokens });
    };
    for token in tokens(text) {
        if token.kind == Kind::Semi && !inside_trigger(text, &current) {
            flush(&mut current);
        } else {
            current.push(token);
        }
    }
    flush(&mut current);
    found
}

/// True if the statement so far is a CREATE TRIGGER whose body has begun and whose last word is not its END.
fn inside_trigger(text: &str, tokens: &[Token]) -> bool {
    let mut words = tokens.iter();
    let starts = words.next().is_some_and(|token| token.is(text, "create"))
        && words
            .find(|token| !token.is(text, "temp") && !token.is(text, "temporary"))
            .is_some_and(|token| token.is(text, "trigger"));
    if !starts {
        return false;
    }
    // `END` closes the body only right after a semicolon: before, it closes a CASE.
    let closed = match tokens {
        [.., before, last] => before.kind == Kind::Semi && last.is(text, "end"),
        _ => false,
    };
    !closed
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}
