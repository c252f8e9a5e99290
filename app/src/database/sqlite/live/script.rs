//! A down as statements that one transaction can hold, and what they say of names.

use sqlx::SqliteConnection;
use unship_core::down::Program;

use super::connect::{self, say};
use super::failure::{failed, refused};
use super::name;
use crate::database::sqlite::guard;
use crate::database::sqlite::tokens::{Kind, Statement, Token, statements};
use crate::ports::DatabaseFailure;

/// PRAGMAs that do something else inside a transaction than outside, or nothing at all.
const OUTSIDE_ONLY: [&str; 6] =
    ["journal_mode", "synchronous", "temp_store", "wal_checkpoint", "incremental_vacuum", "locking_mode"];

/// A down, ready to be run inside a transaction.
#[derive(Debug)]
pub struct Script<'a> {
    statements: Vec<Statement<'a>>,
    /// Whether foreign keys are enforced meanwhile.
    pub foreign_keys: bool,
}

/// `ALTER TABLE ... RENAME`, in the order of the script. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    Table { from: String, to: String },
    Column { table: String, from: String, to: String },
}

/// Reads a program's down. A script that opens a transaction itself, as SQLite's own advice for rebuilding tables has
/// it, is run in ours; what would be done outside of it, or reaches beside the database, is refused.
pub fn read(program: &Program) -> Result<Script<'_>, DatabaseFailure> {
    let all: Vec<Statement<'_>> = program.batches.iter().flat_map(|batch| statements(batch)).collect();
    let refuse = |statement: &Statement<'_>, why: &str| {
        refused(
            format!("the down of {}: `{}`: {why}", program.migration, shown(statement.text)),
            "take it down by hand, with a backup, or roll forward",
        )
    };
    let begins = positions(&all, |words| matches!(words, ["begin", ..]));
    let ends = positions(&all, |words| matches!(words, ["commit" | "end", ..]));
    let own = match (begins.as_slice(), ends.as_slice()) {
        ([], []) => None,
        ([begin], [end]) if begin < end => Some((*begin, *end)),
        ([begin, ..], _) => {
            return Err(refuse(&all[*begin], "several transactions cannot be taken back as one"));
        }
        (_, [end, ..]) => return Err(refuse(&all[*end], "it ends a transaction that it did not open")),
    };
    let mut script = Script { statements: Vec::new(), foreign_keys: program.foreign_keys };
    for (at, statement) in all.into_iter().enumerate() {
        guard::check(&statement).map_err(|why| refuse(&statement, &why))?;
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let inside = own.is_none_or(|(begin, end)| begin < at && at < end);
        match words.as_slice() {
            _ if own.is_some_and(|(begin, end)| at == begin || at == end) => continue,
            ["vacuum", ..] => return Err(refuse(&statement, "VACUUM cannot run in a transaction")),
            ["rollback", rest @ ..] if !rest.contains(&"to") => {
                return Err(refuse(&statement, "it rolls the whole step back"));
            }
            ["pragma", ..] => {
                let pragma = pragma(&statement);
                if OUTSIDE_ONLY.contains(&pragma.as_str()) {
                    return Err(refuse(
                        &statement,
                        "it does something else inside a transaction than outside",
                    ));
                }
                if pragma == "foreign_keys" {
                    // Inside a transaction it does nothing, whoever opened that. Behind the script's own transaction
                    // it is for what comes after the script, which is nothing.
                    if let Some(on) = switch(&statement)
                        && own.is_some_and(|(begin, _)| at < begin)
                    {
                        script.foreign_keys = on;
                    }
                    continue;
                }
            }
            _ if !inside => {
                return Err(refuse(&statement, "it runs outside of the transaction that the script opens"));
            }
            _ => {}
        }
        script.statements.push(statement);
    }
    Ok(script)
}

impl Script<'_> {
    /// Runs it in the open transaction, each statement within the program's limit.
    pub async fn run(&self, conn: &mut SqliteConnection, program: &Program) -> Result<(), DatabaseFailure> {
        for statement in &self.statements {
            connect::limit(conn, program.session.statement_ms_max).await?;
            // The text is the migration's own: that is what is to be run.
            let ran = say(conn, statement.text).await;
            ran.map_err(|error| {
                failed(format_args!("the down of {}: `{}`", program.migration, shown(statement.text)), &error)
            })?;
        }
        connect::unlimit(conn).await
    }

    /// What it renames.
    pub fn renames(&self) -> Vec<Rename> {
        self.statements.iter().filter_map(rename).collect()
    }
}

fn positions(all: &[Statement<'_>], is: impl Fn(&[&str]) -> bool) -> Vec<usize> {
    let matches = |(at, statement): (usize, &Statement<'_>)| {
        let words = statement.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        is(&words).then_some(at)
    };
    all.iter().enumerate().filter_map(matches).collect()
}

/// The name of a PRAGMA, whether its schema is named or not.
fn pragma(statement: &Statement<'_>) -> String {
    let at = |at: usize| statement.tokens.get(at).map(|token| token.name(statement.text)).unwrap_or_default();
    if at(2) == "." { at(3) } else { at(1) }
}

/// What `PRAGMA x = value` sets, as SQLite reads a boolean; none where it only asks.
fn switch(statement: &Statement<'_>) -> Option<bool> {
    let texts: Vec<String> = statement.tokens.iter().map(|token| token.name(statement.text)).collect();
    let at = texts.iter().position(|text| text == "=" || text == "(")?;
    let value = texts.get(at + 1)?;
    Some(
        matches!(value.as_str(), "on" | "yes" | "true")
            || value.parse::<i64>().is_ok_and(|number| number != 0),
    )
}

fn rename(statement: &Statement<'_>) -> Option<Rename> {
    let (text, mut tokens) = (statement.text, statement.tokens.iter().peekable());
    let mut word = |word: &str| tokens.next_if(|token| token.is(text, word)).is_some();
    if !(word("alter") && word("table")) {
        return None;
    }
    let mut table = tokens.next()?.name(text);
    if tokens.next_if(|token| is_dot(text, token)).is_some() {
        table = tokens.next()?.name(text);
    }
    tokens.next_if(|token| token.is(text, "rename"))?;
    if tokens.next_if(|token| token.is(text, "to")).is_some() {
        return Some(Rename::Table { from: table, to: tokens.next()?.name(text) });
    }
    // `RENAME column TO x` renames a column that is called so only when another word follows.
    let rest: Vec<&Token> = tokens.collect();
    let (from, to) = match rest.as_slice() {
        [_, from, to, name, ..] if to.is(text, "to") => (from, name),
        [from, to, name] if to.is(text, "to") => (from, name),
        _ => return None,
    };
    Some(Rename::Column { table, from: from.name(text), to: to.name(text) })
}

fn is_dot(text: &str, token: &Token) -> bool {
    token.kind == Kind::Sign && &text[token.span.clone()] == "."
}

/// Where a table and its columns went.
pub fn table_after(renames: &[Rename], table: &str) -> String {
    let mut now = table.to_lowercase();
    for rename in renames {
        if let Rename::Table { from, to } = rename
            && name::same(from, &now)
        {
            now.clone_from(to);
        }
    }
    now
}

/// What a column of a table, both by their names before, is called afterwards.
pub fn column_after(renames: &[Rename], table: &str, column: &str) -> String {
    let (mut table, mut now) = (table.to_lowercase(), column.to_lowercase());
    for rename in renames {
        match rename {
            Rename::Table { from, to } if name::same(from, &table) => table.clone_from(to),
            Rename::Column { table: of, from, to } if name::same(of, &table) && name::same(from, &now) => {
                now.clone_from(to);
            }
            Rename::Table { .. } | Rename::Column { .. } => {}
        }
    }
    now
}

/// The beginning of a statement in one line.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= CHARS_MAX {
        return line;
    }
    line.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}
