//! What every fuzz target calls: one function for each reader, from bytes to checked invariants.
//!
//! The same functions run in CI on generated input (`core/tests/fuzz_entries.rs`), so that a target cannot rot.

use unship_core::frame::{FromHost, HEADER_BYTES, Header, ToHost, find_magic};
use unship_core::sql;
use unship_core::tools::{MigrationFile, Migrator, Script, Tool, boots, compare, detect, read};

/// The readers by the name of their target.
/// A reader that must answer to any bytes.
pub type Entry = fn(&[u8]);

pub const ENTRIES: [(&str, Entry); 10] = [
    ("sqlx", |data| reader(Tool::Sqlx, data)),
    ("golang_migrate", |data| reader(Tool::GolangMigrate, data)),
    ("goose", |data| reader(Tool::Goose, data)),
    ("diesel", |data| reader(Tool::Diesel, data)),
    ("dbmate", |data| reader(Tool::Dbmate, data)),
    ("plain", |data| reader(Tool::Plain, data)),
    ("detection", detection),
    ("sql_split", sql_split),
    ("sql_facts", sql_facts),
    ("frame", frame),
];

/// Runs the target called `name`.
pub fn run(name: &str, data: &[u8]) {
    let entry = ENTRIES.iter().find(|(known, _)| *known == name).map(|(_, entry)| entry);
    entry.expect("every target has an entry")(data);
}

/// Files from bytes: 0xFF, which no text holds, stands between them; a file's first line is its path.
fn files(data: &[u8]) -> Vec<MigrationFile> {
    data.split(|byte| *byte == 0xff)
        .map(|part| {
            let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
            let path = String::from_utf8_lossy(&part[..end]).into_owned();
            MigrationFile::new(path, part.get(end + 1..).unwrap_or_default())
        })
        .collect()
}

/// Whatever is read is sorted, unique, and the same as itself; whatever is not says why.
fn reader(tool: Tool, data: &[u8]) {
    match read(tool, files(data)) {
        Ok(set) => {
            assert!(set.migrations.windows(2).all(|two| two[0].version < two[1].version));
            assert!(compare(&set, &set).is_empty());
            let _ = boots(Migrator::Read(tool), &set, &set);
            for migration in &set.migrations {
                check_script(&migration.up);
                migration.down.script().into_iter().for_each(check_script);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
    }
}

fn check_script(script: &Script) {
    assert_eq!(script.batches.len(), script.batch_lines.len());
    assert!(script.batches.iter().all(|batch| !sql::is_blank(batch)));
    assert!(script.batch_lines.iter().all(|line| *line >= script.first_line));
}

fn detection(data: &[u8]) {
    let found = detect(&files(data));
    assert_eq!(found.tool().is_some(), found.hint().is_none());
}

/// The pieces lie inside the text, in order, and cutting a piece again changes nothing.
fn sql_split(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut end = 0;
    for piece in sql::split(&text).pieces {
        let (span, line) = match piece {
            sql::Piece::Statement(statement) => (statement.span, statement.line),
            sql::Piece::Meta(meta) => (meta.span, meta.line),
        };
        assert!(text.get(span.clone()).is_some_and(|piece| !piece.is_empty()));
        assert_eq!(line as usize, text[..span.start].matches('\n').count() + 1);
        end = end.max(span.end);
    }
    assert!(end <= text.len());
    let _ = sql::batches(&text);
    let _ = sql::line_comments(&text).count();
}

/// Facts come of every text, and every change of rows has a line of the text.
fn sql_facts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.matches('\n').count() + 1;
    let facts = sql::facts(&text);
    assert!(facts.dml().all(|dml| (dml.line as usize) <= lines));
    assert!(facts.server_escape().all(|escape| (escape.line as usize) <= lines));
}

/// Whatever comes over a pipe is a message, which makes the same message again, or says why it is none.
fn frame(data: &[u8]) {
    let _ = find_magic(data);
    let header = data.first_chunk::<HEADER_BYTES>().map(|header| Header::read(*header));
    if let Some(Ok(header)) = header {
        let rest = &data[HEADER_BYTES..];
        let (head, body) = rest.split_at(header.head.min(rest.len()));
        messages(head, body);
    }
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    messages(&data[..end], data.get(end + 1..).unwrap_or_default());
}

fn messages(head: &[u8], body: &[u8]) {
    let frame = ToHost::from_parts(head, body.to_vec()).and_then(|message| {
        let frame = message.clone().into_frame()?;
        Ok((message, frame))
    });
    if let Ok((message, frame)) = frame {
        let header = Header::read(*frame.first_chunk().expect("a header")).expect("its own header");
        let (head, body) = frame[HEADER_BYTES..].split_at(header.head);
        assert_eq!(ToHost::from_parts(head, body.to_vec()).expect("its own message"), message);
    }
    if let Ok(message) = FromHost::from_parts(head, body) {
        assert!(message.into_frame().is_ok());
    }
}
