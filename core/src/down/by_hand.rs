//! A step down as SQL that a person can run: what unship does, without what it keeps for itself.

use super::loss::Allowed;
use super::program::{Dialect, Program, RowChange, Value};
use crate::sql::ObjectName;
use crate::sql::quote::{QuoteError, identifier};

/// The script, a line each. It is one transaction: until its COMMIT nothing is changed, and whoever breaks it off
/// before that has changed nothing. What it destroys is copied into tables beside, whole.
pub fn by_hand(program: &Program) -> Result<Vec<String>, QuoteError> {
    let mut lines = vec![format!("-- takes {} down", one_line(&program.migration))];
    let table = quoted(&program.table)?;
    match program.dialect {
        Dialect::Postgres => {
            let session = &program.session;
            lines.push(format!("SET lock_timeout = {};", session.lock_ms_max));
            lines.push(format!("SET statement_timeout = {};", session.statement_ms_max));
            if let Some(key) = program.tool_lock {
                lines.push(format!("SELECT pg_advisory_lock({key}); -- keeps {} itself out", program.tool));
            }
            if program.atomic {
                lines.push("BEGIN;".to_owned());
                for locked in &program.locks {
                    lines.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE;", quoted(locked)?));
                }
            }
        }
        Dialect::Sqlite => {
            let word = if program.foreign_keys { "ON" } else { "OFF" };
            lines.push(format!("PRAGMA foreign_keys = {word};"));
            if program.atomic {
                lines.push("BEGIN EXCLUSIVE;".to_owned());
            }
        }
    }
    let applied: Vec<String> = program.applied.iter().map(|version| one_line(version)).collect();
    lines.push(format!("SELECT * FROM {table}; -- must show the versions {}", applied.join(", ")));
    let mut saved: Vec<&ObjectName> =
        program.allowed.iter().map(|Allowed { kind, .. }| kind.table()).collect();
    saved.sort();
    saved.dedup();
    for (place, lost) in saved.iter().enumerate() {
        let copy = ObjectName {
            schema: lost.schema.clone(),
            name: format!("unship_saved_{}_{place}", program.version.chars().take(30).collect::<String>()),
        };
        lines.push(format!("CREATE TABLE {} AS SELECT * FROM {};", quoted(&copy)?, quoted(lost)?));
    }
    if !program.atomic {
        lines.push("-- what follows is no transaction: each statement is done when it is done".to_owned());
    }
    for batch in &program.batches {
        lines.extend(batch.trim_end().lines().map(str::to_owned));
        if !batch.trim_end().ends_with(';') {
            // On a line of its own: the last one may be a comment.
            lines.push(";".to_owned());
        }
    }
    for change in &program.rows {
        lines.push(format!("{};", filled(change, &table, program.dialect)));
    }
    if program.atomic {
        lines.push("COMMIT; -- the point of no return; ROLLBACK instead leaves all as it was".to_owned());
    }
    Ok(lines)
}

fn quoted(name: &ObjectName) -> Result<String, QuoteError> {
    let own = identifier(&name.name)?;
    match &name.schema {
        Some(schema) => Ok(format!("{}.{own}", identifier(schema)?)),
        None => Ok(own),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The statement with its values in their places.
fn filled(change: &RowChange, table: &str, dialect: Dialect) -> String {
    let sql = change.sql.replace("{table}", table);
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let place = after[..digits].parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        text.push_str(before);
        match place.and_then(|place| change.values.get(place)) {
            Some(value) => text.push_str(&literal(value, dialect)),
            None => {
                text.push('$');
                text.push_str(&after[..digits]);
            }
        }
        rest = &after[digits..];
    }
    text.push_str(rest);
    text
}

fn literal(value: &Value, dialect: Dialect) -> String {
    match (value, dialect) {
        (Value::Number(number), _) => number.to_string(),
        (Value::Text(text), _) => format!("'{}'", text.replace('\'', "''")),
        (Value::Bytes(bytes), Dialect::Postgres) => format!("'\\x{}'", hex::encode(bytes)),
        (Value::Bytes(bytes), Dialect::Sqlite) => format!("X'{}'", hex::encode(bytes)),
    }
}
