//! From a migration's script to what is sent: what only psql understands is run another way, left out, or named.

use unship_core::sql::{self, MetaEffect};
use unship_core::tools::{Script, Tool};
use unship_core::verdict::RunFailure;

use super::failure::{Failure, Privileged};
use super::privileged;
use super::session::Piece;
use crate::database::shadow::Limits;

/// A script ready to be sent, with the way back to lines of its file.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    path: String,
    pub pieces: Vec<Piece>,
    /// Line of the file on which each piece starts, from 1.
    lines: Vec<u32>,
    pub remarks: Vec<String>,
}

impl Prepared {
    /// Refuses what cannot be sent at all.
    pub fn of(tool: Tool, script: &Script, limits: &Limits) -> Result<Self, RunFailure> {
        let refuse = |line: Option<u32>, why: String| Err(RunFailure::not_sent(&script.path, line, why));
        if let Some(unreadable) = &script.unreadable {
            return refuse(unreadable.line, format!("not sent: {}", unreadable.why));
        }
        if script.sql.len() > limits.script_bytes_max {
            let mib = limits.script_bytes_max >> 20;
            return refuse(None, format!("not sent: it is longer than {mib} MiB"));
        }
        let mut prepared =
            Self { path: script.path.clone(), pieces: Vec::new(), lines: Vec::new(), remarks: Vec::new() };
        for (batch, line) in script.batches.iter().zip(&script.batch_lines) {
            if let Some(at) = batch.find('\0') {
                let line = line + newlines(&batch[..at]);
                return refuse(
                    Some(line),
                    "not sent: there is a NUL byte in it, which PostgreSQL does not take".into(),
                );
            }
            match Self::piece(tool, batch) {
                Ok(Wanted::Run(piece)) => {
                    prepared.pieces.push(piece);
                    prepared.lines.push(*line);
                }
                Ok(Wanted::LeaveOut(what)) => prepared.remarks.push(format!("line {line}: {what}")),
                Ok(Wanted::StopHere) => break,
                Err(why) => return refuse(Some(*line), why),
            }
        }
        Ok(prepared)
    }

    fn piece(tool: Tool, batch: &str) -> Result<Wanted, String> {
        if tool == Tool::Plain && batch.starts_with('\\') {
            return meta(batch);
        }
        if contains_word(batch, "stdin") {
            let cut = sql::split(batch);
            let data = cut.pieces.iter().find_map(|piece| match piece {
                sql::Piece::Statement(statement) => {
                    statement.copy_data.clone().map(|data| (statement.span.clone(), data))
                }
                sql::Piece::Meta(_) => None,
            });
            match data {
                Some((statement, data)) if tool == Tool::Plain => {
                    let statement = batch[statement].trim_end_matches(';').to_owned();
                    return Ok(Wanted::Run(Piece::Copy { statement, data: batch[data].to_owned() }));
                }
                Some(_) => {
                    return Err(format!(
                        "not sent: `COPY ... FROM STDIN` needs psql, and {tool} is not that"
                    ));
                }
                None => {}
            }
        }
        Ok(Wanted::Run(Piece::Sql(batch.to_owned())))
    }

    /// With what a wrapping transaction does not bear taken out: the script's own BEGIN and COMMIT.
    pub fn inside_transaction(&self) -> Self {
        self.without(|words| {
            matches!(words.first().map(String::as_str), Some("BEGIN" | "COMMIT" | "END"))
                || words.starts_with(&["START".to_owned(), "TRANSACTION".to_owned()])
        })
    }

    /// Can it run inside a transaction once its BEGIN and COMMIT are taken out? Not if it ends one in another way:
    /// what follows would be outside.
    pub fn fits_transaction(&self) -> bool {
        let ends = |words: &[String]| match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => false,
            ["ROLLBACK" | "ABORT", ..] | ["PREPARE", "TRANSACTION", ..] => true,
            ["COMMIT" | "END", rest @ ..] => rest.contains(&"CHAIN") || rest.contains(&"PREPARED"),
            _ => false,
        };
        self.without(ends).pieces == self.pieces
    }

    /// Does it take transactions into its own hands?
    pub fn controls_transactions(&self) -> bool {
        self.inside_transaction().pieces != self.pieces
    }

    /// Without the statements that create, comment on or alter one extension.
    pub fn without_extension(&self, extension: &str) -> Self {
        self.without(|words| {
            let Some(at) = words.iter().take(3).position(|word| word == "EXTENSION") else { return false };
            words[at..].iter().take(5).any(|word| word.eq_ignore_ascii_case(extension))
        })
    }

    /// With the statements of one kind given to a superuser; none if there is no such statement.
    pub fn elevated(&self, wanted: &Privileged) -> Option<Self> {
        let mut next = Self { pieces: Vec::new(), lines: Vec::new(), ..self.clone() };
        let mut found = false;
        for (piece, line) in self.pieces.iter().zip(&self.lines) {
            let cut = match piece {
                Piece::Sql(text) => privileged::cut(text, wanted),
                Piece::Copy { .. } | Piece::Elevated(_) => None,
            };
            let Some(cut) = cut else {
                next.pieces.push(piece.clone());
                next.lines.push(*line);
                continue;
            };
            found = true;
            let mut line = *line;
            for (for_superuser, text) in cut {
                next.lines.push(line);
                line += newlines(&text);
                next.pieces.push(if for_superuser { Piece::Elevated(text) } else { Piece::Sql(text) });
            }
        }
        found.then_some(next)
    }

    /// The same with one statement a piece in place of piece `which`, and where in that text each of them starts,
    /// in characters from 1. None if there is only one.
    pub fn statement_by_statement(&self, which: usize) -> Option<(Vec<Piece>, Vec<usize>)> {
        let Some(Piece::Sql(text)) = self.pieces.get(which) else { return None };
        let (mut pieces, mut starts) = (Vec::new(), Vec::new());
        for piece in sql::split(text).pieces {
            let sql::Piece::Statement(statement) = piece else { continue };
            starts.push(text[..statement.span.start].chars().count() + 1);
            pieces.push(Piece::Sql(text[statement.span].to_owned()));
        }
        (pieces.len() > 1).then_some((pieces, starts))
    }

    /// Was one text cut in several, that should still happen all or not at all?
    pub fn was_cut(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Elevated(_)))
    }

    /// Puts blanks where `unwanted` statements stood, so that positions stay true.
    fn without(&self, unwanted: impl Fn(&[String]) -> bool) -> Self {
        let mut next = self.clone();
        for piece in &mut next.pieces {
            let Piece::Sql(text) = piece else { continue };
            let spans: Vec<std::ops::Range<usize>> = sql::split(text)
                .pieces
                .into_iter()
                .filter_map(|piece| match piece {
                    sql::Piece::Statement(statement) => Some(statement.span),
                    sql::Piece::Meta(_) => None,
                })
                .filter(|span| unwanted(&first_words(&text[span.clone()])))
                .collect();
            // From the end, because a character of several bytes leaves one blank and moves what follows.
            for span in spans.into_iter().rev() {
                let blank: String =
                    text[span.clone()].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
                text.replace_range(span, &blank);
            }
        }
        next
    }

    /// Where to go on after piece `failed` failed and what it lacked was given: the BEGIN that is open there, or
    /// the piece itself.
    pub fn restart_before(&self, failed: usize) -> usize {
        let mut open = None;
        for (place, piece) in self.pieces.iter().enumerate().take(failed) {
            let Piece::Sql(text) = piece else { continue };
            match first_words(text).first().map(String::as_str) {
                Some("BEGIN" | "START") => open = open.or(Some(place)),
                Some("COMMIT" | "END" | "ROLLBACK") => open = None,
                _ => {}
            }
        }
        open.unwrap_or(failed)
    }

    pub fn path(&self) -> String {
        self.path.clone()
    }

    /// A failure with its place in the file.
    pub fn place(&self, failure: Failure) -> RunFailure {
        let start = self.lines.get(failure.piece).copied();
        let text = match self.pieces.get(failure.piece) {
            Some(Piece::Sql(text)) => text.as_str(),
            Some(Piece::Copy { statement, .. } | Piece::Elevated(statement)) => statement.as_str(),
            None => "",
        };
        let before: String = text.chars().take(failure.position.unwrap_or(1).saturating_sub(1)).collect();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        RunFailure {
            message: failure.message,
            code: failure.code,
            path: self.path.clone(),
            line: start.map(|start| start + newlines(&before)),
            column: failure.position.and_then(|_| u32::try_from(column).ok()),
        }
    }
}

enum Wanted {
    Run(Piece),
    LeaveOut(String),
    StopHere,
}

/// What to do with a backslash line.
fn meta(line: &str) -> Result<Wanted, String> {
    let cut = sql::split(line);
    let Some(sql::Piece::Meta(meta)) = cut.pieces.first() else {
        return Ok(Wanted::LeaveOut(format!("`{}` left out", shown(line))));
    };
    let needs = |what: &str| Err(format!("not sent: `{}` {what}", meta.command));
    match meta.effect {
        MetaEffect::Display | MetaEffect::Variable => {
            Ok(Wanted::LeaveOut(format!("`{}` left out: it is for psql", meta.command)))
        }
        MetaEffect::Shell => {
            Ok(Wanted::LeaveOut(format!("`{}` left out: it would run a program", meta.command)))
        }
        MetaEffect::Connection => {
            Ok(Wanted::LeaveOut(format!("`{}` left out: this is the only database here", meta.command)))
        }
        MetaEffect::Unknown => Ok(Wanted::LeaveOut(format!("`{}` left out: unknown", meta.command))),
        MetaEffect::Quit => Ok(Wanted::StopHere),
        MetaEffect::Condition => needs("chooses lines by psql's variables"),
        MetaEffect::UsesResult => needs("sends what psql makes of a result"),
        MetaEffect::File => needs("reads or writes a file"),
    }
}

/// The first words of a statement, keywords in capitals, without comments.
fn first_words(statement: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = statement;
    while words.len() < 8 {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("--") {
            rest = after.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        if let Some(after) = rest.strip_prefix("/*") {
            rest = after.split_once("*/").map_or("", |(_, rest)| rest);
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(rest.len());
        let word = rest[..end].trim_matches('"');
        if word.is_empty() {
            break;
        }
        words.push(word.to_uppercase());
        rest = &rest[end..];
    }
    words
}

fn contains_word(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}

fn shown(line: &str) -> String {
    line.chars().take(40).collect::<String>().escape_debug().to_string()
}
