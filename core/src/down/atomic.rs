//! Whether one transaction can hold a down, and what is sent then.

use super::Trial;
use crate::schema::{Catalog, Fact, Kind};
use crate::sql::{Control, Facts, NoTransaction, ObjectAction, Piece, StatementFacts, is_blank, split};
use crate::tools::Script;

/// What is sent, each text as one simple query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub batches: Vec<String>,
    /// Its own BEGIN and COMMIT were around all of it, and are left out.
    pub unwrapped: bool,
}

/// What to send inside one transaction; or why none can hold it.
pub(super) fn in_one(script: &Script, facts: &Facts, trial: &Trial) -> Result<Sent, String> {
    let line = |statement: &StatementFacts| script.first_line + statement.line - 1;
    let text = |statement: &StatementFacts| script.sql.get(statement.span.clone()).unwrap_or_default();
    if let Some(statement) = facts
        .statements
        .iter()
        .find(|statement| statement.cannot_run_in_transaction == Some(NoTransaction::Refused))
    {
        let concurrently = if statement.concurrently { " CONCURRENTLY" } else { "" };
        return Err(format!("{}{concurrently} on line {}", statement.verb, line(statement)));
    }
    let mut unwrapped = false;
    let controls: Vec<(usize, &StatementFacts)> = facts
        .statements
        .iter()
        .enumerate()
        .filter(|(_, statement)| !is_savepoint(statement, text(statement)))
        .filter(|(_, statement)| statement.transaction_control.is_some())
        .collect();
    match controls.as_slice() {
        [] => {}
        [(0, first), (last, end)]
            if *last + 1 == facts.statements.len()
                && is_plain(text(first), &["BEGIN", "START"])
                && is_plain(text(end), &["COMMIT", "END"]) =>
        {
            unwrapped = true;
        }
        [(_, statement), ..] if statement.transaction_control == Some(Control::InBlock) => {
            return Err(format!("a block commits by itself on line {}", line(statement)));
        }
        [(_, statement), ..] => {
            return Err(format!(
                "its own {} on line {} is not simply around all of it",
                statement.verb,
                line(statement)
            ));
        }
    }
    if let Some(why) = &trial.outside {
        return Err(why.clone());
    }
    if let Some(why) = pending(facts, &trial.before, line) {
        return Err(why);
    }
    if !unwrapped {
        return Ok(Sent { batches: script.batches.clone(), unwrapped });
    }
    let batches = without_ends(&script.batches, facts.statements.len())
        .ok_or("its own BEGIN and COMMIT could not be told from the rest")?;
    Ok(Sent { batches, unwrapped })
}

/// Savepoints live inside a transaction, whoever opened it.
fn is_savepoint(statement: &StatementFacts, text: &str) -> bool {
    match statement.transaction_control {
        Some(Control::Savepoint) => true,
        Some(Control::Rollback) => {
            words(text).iter().any(|word| word == "TO") && !words(text).iter().any(|word| word == "PREPARED")
        }
        Some(Control::Begin | Control::Commit | Control::PrepareTransaction | Control::InBlock) | None => {
            false
        }
    }
}

/// Is it the word alone, or with WORK or TRANSACTION?
fn is_plain(text: &str, first: &[&str]) -> bool {
    match words(text).as_slice() {
        [word] => first.contains(&word.as_str()) && word != "START",
        [word, noise] => first.contains(&word.as_str()) && matches!(noise.as_str(), "WORK" | "TRANSACTION"),
        _ => false,
    }
}

fn words(text: &str) -> Vec<String> {
    let cut = |c: char| c.is_whitespace() || c == ';';
    text.split(cut).filter(|word| !word.is_empty()).map(str::to_uppercase).collect()
}

/// The batches without the first and the last of all their statements; nothing if they are cut otherwise than the
/// facts say.
fn without_ends(batches: &[String], statements: usize) -> Option<Vec<String>> {
    let mut spans = Vec::new();
    for (place, batch) in batches.iter().enumerate() {
        for piece in split(batch).pieces {
            if let Piece::Statement(statement) = piece {
                spans.push((place, statement.span));
            }
        }
    }
    if spans.len() != statements {
        return None;
    }
    let mut left: Vec<String> = batches.to_vec();
    // The last one first, so that places before it stay true.
    for (place, span) in [spans.last()?, spans.first()?] {
        let text: &mut String = left.get_mut(*place)?;
        // Lines stay lines, so that the database's words still name the file's.
        let blank: String =
            text.get(span.clone())?.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        text.replace_range(span.clone(), &blank);
    }
    left.retain(|text| !is_blank(text));
    Some(left)
}

/// Rows of a table whose checks wait for the commit, and then a change of that table: PostgreSQL refuses it
/// ("pending trigger events") as soon as there is a row.
fn pending(facts: &Facts, before: &Catalog, line: impl Fn(&StatementFacts) -> u32) -> Option<String> {
    for (place, writes) in facts.statements.iter().enumerate() {
        for table in writes.dml.iter().filter_map(|dml| dml.table.as_ref()) {
            let Some(check) = deferred(before, &table.name) else { continue };
            for later in &facts.statements[place + 1..] {
                if later.verb == "SET" && later.session_changes.is_empty() {
                    // SET CONSTRAINTS has the checks made before what follows.
                    break;
                }
                let alters = later.objects.iter().any(|object| {
                    matches!(object.action, ObjectAction::Alter | ObjectAction::Drop)
                        && object.kind == "table"
                        && object.name.name == table.name
                });
                if alters {
                    return Some(format!(
                        "line {} writes to {table}, whose {check} is checked at the commit, and line {} alters \
                         it before that",
                        line(writes),
                        line(later)
                    ));
                }
            }
        }
    }
    None
}

/// A constraint or trigger of the table, or one that points at it, that waits for the commit.
fn deferred(before: &Catalog, table: &str) -> Option<String> {
    let found = before.objects().find(|object| {
        let text = object.fact(Fact::Definition).unwrap_or_default();
        let about = || {
            object.name.object == table
                || text.split_once("REFERENCES ").is_some_and(|(_, rest)| {
                    crate::sql::words_of(rest.split('(').next().unwrap_or(rest)).contains(table)
                })
        };
        matches!(object.kind, Kind::Constraint | Kind::Trigger)
            && text.contains("INITIALLY DEFERRED")
            && about()
    });
    found.map(|object| format!("{} {}", object.kind.word(), object.name))
}
