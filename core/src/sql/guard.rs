//! Keeps the recursive parser from texts that would overflow its stack or take minutes.
//!
//! Measured on squawk-parser 2.68: 700 nested parentheses overflow a 2 MiB stack in a debug build; 100,000 take
//! 16 s; 107 MB of SQL take 9.5 s and 1.9 GB. The limits below keep the worst accepted text far from both.

use serde::{Deserialize, Serialize};

use super::lex::{Kind, tokens};

/// Most bytes of one script that are parsed; statements after that are read by their words only.
pub const PARSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Deepest nesting of brackets, CASE, IF, LOOP and BEGIN together that is parsed.
pub const NESTING_MAX: usize = 1_000;

/// Most tokens between two commas or semicolons: a chain of operators or a row of prefixes nests as deeply.
pub const RUN_TOKENS_MAX: usize = 10_000;

/// Stack of the parser's thread, in bytes. Only what is used is taken from the machine.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// Why a statement was not given to the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    #[error("the script is longer than {PARSE_BYTES_MAX} bytes")]
    TooLong,
    #[error("it nests more than {NESTING_MAX} levels deep")]
    TooDeep,
    #[error("it has more than {RUN_TOKENS_MAX} words and signs without a comma")]
    TooManyOperators,
    #[error("a quote or comment is never closed")]
    LeftOpen,
    #[error("no thread could be started for the parser")]
    NoThread,
    #[error("the parser broke down on it")]
    ParserPanicked,
}

/// How deep bodies inside bodies are looked into; the parser is not let further either.
const BODIES_DEEP_MAX: usize = 8;

/// Quoted texts up to this length cannot nest deeply enough to matter, in bytes.
const HARMLESS_BYTES: usize = 2_000;

/// Whether the statement `text` may be parsed, with the function bodies in it, which the parser parses too.
/// Takes its length from `budget_bytes`.
pub(super) fn check(text: &str, budget_bytes: &mut usize) -> Result<(), Refusal> {
    *budget_bytes = budget_bytes.checked_sub(text.len()).ok_or(Refusal::TooLong)?;
    let first = tokens(text, 0).find(|token| token.counts());
    let has_bodies = first.is_some_and(|token| {
        let word = &text[token.start..token.end];
        word.eq_ignore_ascii_case("create") || word.eq_ignore_ascii_case("do")
    });
    if tokens(text, 0).any(|token| !token.closed) {
        return Err(Refusal::LeftOpen);
    }
    scan(text, if has_bodies { BODIES_DEEP_MAX } else { 0 })
}

fn scan(text: &str, bodies_deep: usize) -> Result<(), Refusal> {
    let (mut brackets, mut blocks, mut run) = (0_usize, 0_usize, 0_usize);
    for token in tokens(text, 0).filter(|token| token.counts()) {
        run += 1;
        match token.kind {
            Kind::OpenParen | Kind::OpenBracket => brackets += 1,
            Kind::CloseParen | Kind::CloseBracket => brackets = brackets.saturating_sub(1),
            Kind::Comma | Kind::Semi => run = 0,
            Kind::Word => match &text[token.start..token.end] {
                word if word.eq_ignore_ascii_case("end") => blocks = blocks.saturating_sub(1),
                // THEN stands for IF here: IF is also a word of DROP ... IF EXISTS.
                word if ["case", "begin", "loop", "then"].iter().any(|w| word.eq_ignore_ascii_case(w)) => {
                    blocks += 1;
                }
                _ => {}
            },
            Kind::Text | Kind::DollarText if token.end - token.start > HARMLESS_BYTES && bodies_deep > 0 => {
                scan(inside_quotes(&text[token.start..token.end]), bodies_deep - 1)?;
            }
            _ => {}
        }
        if brackets + blocks > NESTING_MAX {
            return Err(Refusal::TooDeep);
        }
        if run > RUN_TOKENS_MAX {
            return Err(Refusal::TooManyOperators);
        }
    }
    Ok(())
}

/// The text of a string literal without its quotes.
pub(super) fn inside_quotes(literal: &str) -> &str {
    let inner = literal.strip_prefix(['e', 'E']).unwrap_or(literal);
    if let Some(rest) = inner.strip_prefix('$') {
        let tag = rest.find('$').map_or(0, |end| end + 2);
        return inner.get(tag..inner.len().saturating_sub(tag)).unwrap_or_default();
    }
    inner.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(inner)
}

/// Runs `work` on a thread with a large stack and waits for it. None if no thread can be had or it panics.
pub(super) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).ok()?;
        thread.join().ok()
    })
}
