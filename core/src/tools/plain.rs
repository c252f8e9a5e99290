//! No tool: numbered SQL files, run in order with `psql -f`.
//!
//! Reads the ways of naming that people use without a tool: `001_name.sql`, `001-name.sql`, `v1_name.sql`,
//! `003a_name.sql`, `2024-01-15_name.sql`; with downs as `001_name.down.sql`, `001_name_down.sql`,
//! `.rollback.sql`, `.undo.sql` or `.revert.sql`, or under the same number in a folder `down/`, `rollback/`,
//! `undo/` or `revert/`. What runs is what psql would send: one statement at a time, each by itself.

use std::collections::BTreeMap;

use super::about::{About, BootRule, Checksum, LockRule, Trap};
use super::file::in_batches;
use super::note::note;
use super::{Down, Ignored, Migration, MigrationFile, MigrationSet, ReadError, Script, Tool, Version, Wrap};
use crate::sql;

pub(super) const ABOUT: About = About {
    tool: Tool::Plain,
    read_from: "psql 17",
    table: None,
    checksum: Checksum::None,
    lock: LockRule::None,
    boot: BootRule::NoTool,
    sqlite_wrap: None,
    sqlite_foreign_keys: false,
    down_traps: &[
        Trap {
            id: "plain-no-record",
            text: "nothing records which files have run, so which step is the newest has to be said",
            source: "there is no version table",
        },
        Trap {
            id: "plain-goes-on-after-errors",
            text: "psql goes on after an error and exits with 0, unless ON_ERROR_STOP is set",
            source: "psql 17 documentation, ON_ERROR_STOP",
        },
        Trap {
            id: "plain-statement-by-statement",
            text: "each statement commits by itself unless psql runs with --single-transaction",
            source: "psql 17 documentation, AUTOCOMMIT",
        },
    ],
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// Words that mark a direction, in a file name before `.sql` or as the name of a folder.
const UP_WORDS: [&str; 3] = ["up", "ups", "forward"];
const DOWN_WORDS: [&str; 9] =
    ["down", "downs", "rollback", "rollbacks", "undo", "revert", "reverts", "backward", "reverse"];

fn direction_of(word: &str) -> Option<Direction> {
    let word = word.to_ascii_lowercase();
    if UP_WORDS.contains(&word.as_str()) {
        Some(Direction::Up)
    } else if DOWN_WORDS.contains(&word.as_str()) {
        Some(Direction::Down)
    } else {
        None
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    order: String,
    written: String,
    title: String,
    id: String,
    down: bool,
}

/// Reads a path; the error is the reason for passing it over.
fn name_of(path: &str) -> Result<Parts, &'static str> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file
        .len()
        .checked_sub(4)
        .filter(|end| file.is_char_boundary(*end) && file[*end..].eq_ignore_ascii_case(".sql"))
        .map(|end| &file[..end])
        .ok_or("not an .sql file")?;
    let by_folder = match folder {
        "" => None,
        _ => Some(direction_of(folder).ok_or("in a folder below that is called neither up nor down")?),
    };
    let (stem, by_name) = match stem.rsplit_once(['.', '_', '-']) {
        Some((before, word)) if !before.is_empty() => match direction_of(word) {
            Some(direction) => (before, Some(direction)),
            None => (stem, None),
        },
        _ => (stem, None),
    };
    let (order, length) = version_of(stem).ok_or("has no number in front")?;
    let direction = by_name.or(by_folder).unwrap_or(Direction::Up);
    Ok(Parts {
        order,
        written: stem[..length].to_owned(),
        title: stem[length..].trim_start_matches(['_', '-', '.', ' ']).to_owned(),
        id: stem.to_owned(),
        down: direction == Direction::Down,
    })
}

/// The version in front of a name, in a form that sorts, and how many bytes of the name it takes.
fn version_of(stem: &str) -> Option<(String, usize)> {
    let prefix = usize::from(stem.starts_with(['v', 'V']));
    let text = &stem[prefix..];
    if let Some((digits, length)) = date_of(text) {
        return Some((pad(&digits), prefix + length));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits == 0 || digits > 38 {
        return None;
    }
    let mut order = pad(&text[..digits]);
    let mut length = digits;
    // `003a`: one letter that no other follows.
    let mut after = text[digits..].chars();
    if let Some(letter) = after.next().filter(char::is_ascii_alphabetic)
        && after.next().is_none_or(|c| !c.is_alphanumeric())
    {
        order.push(letter.to_ascii_lowercase());
        length += 1;
    }
    let end = text[length..].chars().next();
    end.is_none_or(|c| !c.is_alphanumeric()).then_some((order, prefix + length))
}

/// A date in front, `2024-01-15` or `2024_01_15`, perhaps with a time after it, as fourteen digits.
fn date_of(text: &str) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| {
        bytes.get(from..to).filter(|part| part.iter().all(u8::is_ascii_digit)).map(|_| &text[from..to])
    };
    let separator = |at: usize| matches!(bytes.get(at), Some(b'-' | b'_'));
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    if !separator(4) || !separator(7) || bytes.get(10).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let mut found = format!("{year}{month}{day}");
    let mut length = 10;
    if matches!(bytes.get(10), Some(b'-' | b'_' | b'T')) {
        let time = text[11..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - 11);
        if time == 4 || time == 6 {
            found.push_str(&text[11..11 + time]);
            length = 11 + time;
        }
    }
    while found.len() < 14 {
        found.push('0');
    }
    Some((found, length))
}

fn pad(digits: &str) -> String {
    format!("{:0>38}", digits.trim_start_matches('0'))
}

pub(super) fn read(files: Vec<MigrationFile>) -> Result<MigrationSet, ReadError> {
    let mut ignored = Vec::new();
    let mut steps: BTreeMap<String, [Option<(Parts, MigrationFile)>; 2]> = BTreeMap::new();
    for file in files {
        let name = match name_of(&file.path) {
            Ok(name) => name,
            Err(reason) => {
                ignored.push(Ignored { path: file.path, reason: reason.to_owned() });
                continue;
            }
        };
        let slot = &mut steps.entry(name.order.clone()).or_default()[usize::from(name.down)];
        if let Some((_, first)) = slot {
            return Err(ReadError::DuplicateVersion {
                version: name.written,
                first: first.path.clone(),
                second: file.path,
            });
        }
        *slot = Some((name, file));
    }
    let mut migrations = Vec::with_capacity(steps.len());
    for [up, down] in steps.into_values() {
        let Some((name, file)) = up else {
            let reason = "a down without its up".to_owned();
            ignored.extend(down.map(|(_, file)| Ignored { path: file.path, reason }));
            continue;
        };
        let up = script(file);
        let down = match down {
            Some((_, file)) => Down::of(script(file)),
            None => Down::Missing,
        };
        let recorded = name.order.trim_start_matches('0');
        migrations.push(Migration {
            tool: Tool::Plain,
            version: Version::text(recorded, &name.written, &name.order),
            id: name.id,
            name: name.title,
            compatible_note: note(&up.path, &up.sql)?,
            up,
            down,
        });
    }
    Ok(MigrationSet { tool: Tool::Plain, migrations, ignored, remarks: Vec::new() })
}

fn script(file: MigrationFile) -> Script {
    let (path, mut text) = match file.into_text() {
        Ok(text) => text,
        Err(script) => return *script,
    };
    // psql passes a byte order mark over; the server would call it a syntax error.
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    let batches = sql::batches(&text);
    in_batches(path, 1, text, Wrap::None, batches)
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
