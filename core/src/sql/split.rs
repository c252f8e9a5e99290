//! Cuts a script into the pieces that `psql` would make of it: statements, COPY data, backslash lines.
//!
//! The rules are those of psql's own scanner (PostgreSQL 17, `src/fe_utils/psqlscan.l`): a semicolon ends a
//! statement outside quotes, comments and parentheses, and outside the `BEGIN ... END` of an SQL-standard
//! function body; a backslash outside quotes starts a meta-command that runs to the end of the line.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::lex::{Kind, Token, tokens};

/// One statement with its semicolon, without the white space and comments before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Bytes of the script.
    pub span: Range<usize>,
    /// Line of the script on which it starts, from 1.
    pub line: u32,
    /// The rows after a `COPY ... FROM STDIN`, without the closing `\.` line.
    pub copy_data: Option<Range<usize>>,
}

/// What a backslash line would do, and so what can be done about it without psql.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetaEffect {
    /// Only changes what psql prints or how it stops on errors: leave it out and run the rest.
    Display,
    /// Sets a psql variable, which `:name` then puts into later statements.
    Variable,
    /// Chooses which of the following lines run.
    Condition,
    /// Sends the statement before it, then uses the result (`\gexec` runs it as SQL).
    UsesResult,
    /// Reads or writes a file, or includes another script.
    File,
    /// Runs a program on the machine of whoever runs the migration.
    Shell,
    /// Connects to another database or as another role.
    Connection,
    /// Ends the script here.
    Quit,
    /// Not a command that is known here.
    Unknown,
}

/// One backslash line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of the script, from the backslash to the end of the line.
    pub span: Range<usize>,
    /// Line of the script, from 1.
    pub line: u32,
    /// The command with its backslash: `\connect`, `\!`.
    pub command: String,
    pub effect: MetaEffect,
}

/// A part of a script, in the order in which psql would come to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Statement(Statement),
    Meta(Meta),
}

/// A quote or comment that is opened and never closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Open {
    Quote,
    DollarQuote,
    QuotedName,
    Comment,
}

/// A whole script in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    pub pieces: Vec<Piece>,
    /// What the script leaves open, with the line where it was opened.
    pub left_open: Option<(Open, u32)>,
}

/// Cuts `text` into pieces. Never fails; takes time in proportion to the length.
pub fn split(text: &str) -> Split {
    let mut cutter = Cutter { text, counted_to: 0, line: 1, split: Split::default() };
    let mut from = 0;
    while let Some(next) = cutter.run(from) {
        from = next;
    }
    cutter.split
}

/// What `psql -f` sends to the server, in order: one statement each; a `COPY ... FROM STDIN` together with
/// its data, and a backslash line by itself, as they stand in the script. With the line of each, from 1.
///
/// psql acts on a backslash line at once, so one in the middle of a statement comes before that statement, and
/// is no part of it.
pub fn batches(text: &str) -> Vec<(u32, String)> {
    let mut inside: Vec<Range<usize>> = Vec::new();
    split(text)
        .pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Statement(s) => {
                let mut sent = String::new();
                let mut from = s.span.start;
                for meta in inside.drain(..).filter(|meta| s.span.contains(&meta.start)) {
                    sent.push_str(&text[from..meta.start]);
                    from = meta.end;
                }
                let end = s.copy_data.map_or(s.span.end, |data| end_of_copy(text, data.end));
                sent.push_str(&text[from.min(end)..end]);
                (s.line, sent)
            }
            Piece::Meta(m) => {
                inside.push(m.span.clone());
                (m.line, text[m.span].to_owned())
            }
        })
        .collect()
}

/// True if `text` holds nothing to run: only white space, comments and stray semicolons.
pub fn is_blank(text: &str) -> bool {
    tokens(text, 0).all(|token| !token.counts() || token.kind == Kind::Semi)
}

/// Every `--` comment that is really one (not inside a quote), with its line from 1 and without the dashes.
pub fn line_comments(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let (mut line, mut counted_to) = (1, 0);
    tokens(text, 0).filter(|token| token.kind == Kind::LineComment).map(move |token| {
        line += newlines(&text[counted_to..token.start]);
        counted_to = token.start;
        (line, text[token.start + 2..token.end].trim())
    })
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// The end of the `\.` line that follows COPY data, or of the text.
fn end_of_copy(text: &str, data_end: usize) -> usize {
    match text[data_end..].strip_prefix("\\.") {
        Some(_) => data_end + 2,
        None => data_end,
    }
}

/// The byte after the end of the line in which `at` lies.
fn after_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |offset| at + offset + 1)
}

struct Cutter<'a> {
    text: &'a str,
    counted_to: usize,
    line: u32,
    split: Split,
}

/// What is known of the statement that is being read.
#[derive(Default)]
struct Unfinished {
    start: Option<usize>,
    end: usize,
    depth: u32,
    /// `BEGIN`s of a function body that wait for their `END`.
    blocks: u32,
    /// The first words, lower-cased: enough to know CREATE [OR REPLACE] FUNCTION and COPY.
    words: Vec<String>,
    copy: CopyWords,
}

/// How far `COPY ... FROM STDIN` has been read.
#[derive(Default, PartialEq, Eq)]
enum CopyWords {
    #[default]
    None,
    Copy,
    From,
    Stdin,
}

impl Unfinished {
    fn word(&mut self, word: &str) {
        if self.words.len() < 4 {
            self.words.push(word.to_ascii_lowercase());
        }
        if self.words.len() == 1 && word.eq_ignore_ascii_case("copy") {
            self.copy = CopyWords::Copy;
        } else if self.copy == CopyWords::Copy && self.depth == 0 && word.eq_ignore_ascii_case("from") {
            self.copy = CopyWords::From;
        } else if self.copy == CopyWords::From {
            self.copy = if word.eq_ignore_ascii_case("stdin") { CopyWords::Stdin } else { CopyWords::Copy };
        }
        if self.depth == 0 && self.creates_routine() {
            if word.eq_ignore_ascii_case("begin") || (self.blocks > 0 && word.eq_ignore_ascii_case("case")) {
                self.blocks += 1;
            } else if word.eq_ignore_ascii_case("end") {
                self.blocks = self.blocks.saturating_sub(1);
            }
        }
    }

    fn creates_routine(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["create", "function" | "procedure", ..] | ["create", "or", "replace", "function" | "procedure"]
        )
    }
}

impl Cutter<'_> {
    /// Reads on from byte `from`. Returns where to go on when the rest has to be read afresh (after COPY
    /// data or a backslash line), nothing at the end of the text.
    fn run(&mut self, from: usize) -> Option<usize> {
        let mut now = Unfinished::default();
        let text = self.text;
        let mut resume = Some(from);
        while let Some(start) = resume.take() {
            for token in tokens(text, start) {
                self.note_open(token);
                match token.kind {
                    Kind::Space | Kind::LineComment | Kind::BlockComment => continue,
                    Kind::Backslash => {
                        if text[token.end..].starts_with(';') || text[token.end..].starts_with(':') {
                            continue;
                        }
                        resume = Some(self.meta(token.start, &mut now));
                        break;
                    }
                    Kind::OpenParen => now.depth += 1,
                    Kind::CloseParen => now.depth = now.depth.saturating_sub(1),
                    Kind::Word => now.word(&text[token.start..token.end]),
                    Kind::Semi if now.depth == 0 && now.blocks == 0 => {
                        if now.start.is_some() {
                            now.end = token.end;
                            if let Some(next) = self.finish(&mut now) {
                                return Some(next);
                            }
                        }
                        continue;
                    }
                    _ => {}
                }
                now.start.get_or_insert(token.start);
                now.end = token.end;
            }
        }
        self.finish(&mut now)
    }

    /// Files the statement that has just ended. Returns where to go on if data follows it.
    fn finish(&mut self, now: &mut Unfinished) -> Option<usize> {
        let Unfinished { start, end, copy, .. } = std::mem::take(now);
        let start = start?;
        let line = self.line_of(start);
        let mut statement = Statement { span: start..end, line, copy_data: None };
        let mut next = None;
        if copy == CopyWords::Stdin {
            let data = after_line(self.text, end);
            let data_end = copy_data_end(self.text, data);
            statement.copy_data = Some(data..data_end);
            next = Some(after_line(self.text, data_end));
        }
        self.split.pieces.push(Piece::Statement(statement));
        next
    }

    /// Files the backslash line at `start`; returns where the next line begins.
    fn meta(&mut self, start: usize, now: &mut Unfinished) -> usize {
        let end = start + self.text[start..].find('\n').unwrap_or(self.text.len() - start);
        let text = self.text[start..end].trim_end();
        let command = command_of(text);
        let effect = effect_of(&command);
        if effect == MetaEffect::UsesResult {
            now.end = now.end.min(start);
            self.finish(now);
        }
        let line = self.line_of(start);
        self.split.pieces.push(Piece::Meta(Meta { span: start..start + text.len(), line, command, effect }));
        after_line(self.text, start)
    }

    fn note_open(&mut self, token: Token) {
        if token.closed || self.split.left_open.is_some() {
            return;
        }
        let what = match token.kind {
            Kind::BlockComment => Open::Comment,
            Kind::DollarText => Open::DollarQuote,
            Kind::QuotedWord => Open::QuotedName,
            _ => Open::Quote,
        };
        self.split.left_open = Some((what, self.line_of(token.start)));
    }

    /// Line of byte `at`. Counts on from the last question, so that all of them together read the text once;
    /// a question about an earlier byte (rare: a statement reported after something inside it) recounts.
    fn line_of(&mut self, at: usize) -> u32 {
        if at >= self.counted_to {
            self.line += newlines(&self.text[self.counted_to..at]);
        } else {
            self.line -= newlines(&self.text[at..self.counted_to]);
        }
        self.counted_to = at;
        self.line
    }
}

/// Where COPY data that starts at `from` ends: before the line `\.`, or at the end of the text.
fn copy_data_end(text: &str, from: usize) -> usize {
    let mut at = from;
    while at < text.len() {
        let next = after_line(text, at);
        if text[at..next].trim_end_matches(['\r', '\n']) == "\\." {
            return at;
        }
        at = next;
    }
    text.len()
}

/// The command word of a backslash line, with its backslash.
fn command_of(line: &str) -> String {
    let name = &line[1..];
    // `\!` and its like need no space before what follows.
    if let Some(first) = name.chars().next().filter(|c| !c.is_alphanumeric()) {
        return format!("\\{first}");
    }
    let end = name.find(|c: char| c.is_whitespace() || c == '\\').unwrap_or(name.len()).min(64);
    let end = (0..=end).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    format!("\\{}", &name[..end])
}

/// The commands of psql 17 (`src/bin/psql/command.c`), by what they touch.
fn effect_of(command: &str) -> MetaEffect {
    match &command[1..] {
        "a" | "C" | "conninfo" | "copyright" | "echo" | "errverbose" | "f" | "h" | "help" | "H" | "html"
        | "p" | "print" | "pset" | "qecho" | "r" | "reset" | "restrict" | "t" | "T" | "timing"
        | "unrestrict" | "warn" | "x" | "z" | "?" => MetaEffect::Display,
        name if name.starts_with('d') || name == "l" || name == "list" || name == "sf" || name == "sv" => {
            MetaEffect::Display
        }
        "set" | "unset" | "prompt" | "getenv" | "bind" | "bind_named" | "parse" | "close_prepared" => {
            MetaEffect::Variable
        }
        "if" | "elif" | "else" | "endif" => MetaEffect::Condition,
        "g" | "gx" | "gexec" | "gset" | "gdesc" | "crosstabview" | "watch" => MetaEffect::UsesResult,
        "i" | "ir" | "include" | "include_relative" | "copy" | "o" | "out" | "w" | "write" | "s" | "e"
        | "edit" | "ef" | "ev" | "cd" | "lo_import" | "lo_export" | "lo_list" | "lo_unlink" => {
            MetaEffect::File
        }
        "!" | "setenv" => MetaEffect::Shell,
        "c" | "connect" | "encoding" | "password" => MetaEffect::Connection,
        "q" | "quit" => MetaEffect::Quit,
        _ => MetaEffect::Unknown,
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
