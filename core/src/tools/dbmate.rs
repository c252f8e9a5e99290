//! dbmate 2.35.0: `<digits><anything>.sql` with `-- migrate:up` and `-- migrate:down` lines.
//!
//! Sources: names, order and what is run `pkg/dbmate/db.go`; blocks and options `pkg/dbmate/migration.go`;
//! table `pkg/driver/postgres/postgres.go` and `pkg/driver/sqlite/sqlite.go`.

use super::about::{
    About, Bind, BootRule, Checksum, Column, LockRule, RowWrite, Rows, Trap, VersionTable, When,
};
use super::file::{in_batches, unreadable};
use super::note::note;
use super::{
    Down, Ignored, Migration, MigrationFile, MigrationSet, ReadError, Remark, Script, Tool, Unreadable,
    Version, Wrap,
};

pub(super) const ABOUT: About = About {
    tool: Tool::Dbmate,
    read_from: "dbmate 2.35.0",
    table: Some(VersionTable {
        name: "schema_migrations",
        columns: &[Column { name: "version", postgres: "varchar", sqlite: "varchar(128)" }],
        create_postgres: "CREATE TABLE IF NOT EXISTS {table} (version varchar primary key)",
        create_sqlite: "CREATE TABLE IF NOT EXISTS {table} (version varchar(128) primary key)",
        seed: None,
        rows: Rows::OnePerVersion,
        version_column: "version",
        up: &[RowWrite {
            sql: "INSERT INTO {table} (version) VALUES ($1)",
            binds: &[Bind::Version],
            when: When::AfterScript,
            with_script: true,
        }],
        down: &[RowWrite {
            sql: "DELETE FROM {table} WHERE version = $1",
            binds: &[Bind::Version],
            when: When::AfterScript,
            with_script: true,
        }],
    }),
    checksum: Checksum::None,
    lock: LockRule::None,
    boot: BootRule::Starts,
    sqlite_wrap: None,
    sqlite_foreign_keys: false,
    down_traps: &[
        Trap {
            id: "dbmate-reverts-what-it-has-a-file-for",
            text: "`dbmate rollback` from an old release reverts that release's own newest migration, not the \
                   newest applied one, with exit status 0",
            source: "pkg/dbmate/db.go: Rollback() looks for the latest among its own files",
        },
        Trap {
            id: "dbmate-several-blocks",
            text: "several up and down blocks in one file run as several transactions, and downs run in the \
                   order of the file, not backwards",
            source: "pkg/dbmate/db.go: Migrate() and Rollback() walk the sections forwards",
        },
        Trap {
            id: "dbmate-no-transaction-row-apart",
            text: "under `transaction:false` the script commits before the version row is written or deleted",
            source: "pkg/dbmate/db.go: execMigration on the connection itself",
        },
    ],
};

pub(super) fn read(files: Vec<MigrationFile>) -> Result<MigrationSet, ReadError> {
    let mut set =
        MigrationSet { tool: Tool::Dbmate, migrations: Vec::new(), ignored: Vec::new(), remarks: Vec::new() };
    for file in files {
        let name = file.file_name();
        let digits = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
        let reason = if !file.at_top() {
            "dbmate reads no folders below"
        } else if digits == 0 || !name.ends_with(".sql") {
            "not named `<version>_<name>.sql`"
        } else {
            let migration = migration(file, digits, &mut set.remarks)?;
            set.migrations.push(migration);
            continue;
        };
        set.ignored.push(Ignored { path: file.path, reason: reason.to_owned() });
    }
    Ok(set)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Up,
    Down,
}

/// One block: its mark's line, where it starts (with that line) and ends, and whether it is wrapped.
struct Block {
    mark: Mark,
    line: u32,
    start: usize,
    end: usize,
    wrap: Wrap,
}

/// The mark that a line is, and whether its options leave the transaction on.
fn mark_of(line: &str) -> Option<(Mark, Wrap)> {
    let rest = line.strip_prefix("--")?.trim_start().strip_prefix("migrate:")?;
    let (mark, options) = match (rest.strip_prefix("up"), rest.strip_prefix("down")) {
        (Some(options), _) => (Mark::Up, options),
        (None, Some(options)) => (Mark::Down, options),
        (None, None) => return None,
    };
    if !options.is_empty() && !options.starts_with(char::is_whitespace) {
        return None;
    }
    let mut wrap = Wrap::Transaction;
    for option in options.split_whitespace() {
        // The last one counts, and one with two colons is no option.
        match option.split(':').collect::<Vec<_>>()[..] {
            ["transaction", "false"] => wrap = Wrap::None,
            ["transaction", _] => wrap = Wrap::Transaction,
            _ => {}
        }
    }
    Some((mark, wrap))
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut at, mut number) = (0, 0);
    for line in text.split_inclusive('\n') {
        number += 1;
        if let Some((mark, wrap)) = mark_of(line) {
            if let Some(last) = found.last_mut() {
                last.end = at;
            }
            found.push(Block { mark, line: number, start: at, end: text.len(), wrap });
        }
        at += line.len();
    }
    found
}

fn migration(file: MigrationFile, digits: usize, remarks: &mut Vec<Remark>) -> Result<Migration, ReadError> {
    let file_name = file.file_name().to_owned();
    let id = file_name.strip_suffix(".sql").unwrap_or(&file_name).to_owned();
    let version = &file_name[..digits];
    // dbmate reads a file when its turn comes, both ways at once: the migrations before it have run.
    let unread = |up: Script| Migration {
        tool: Tool::Dbmate,
        version: Version::text(version, version, &file_name),
        name: name_in(&id, digits),
        id: id.clone(),
        compatible_note: None,
        down: Down::Script(up.clone()),
        up,
    };
    let (path, text) = match file.into_text() {
        Ok(text) => text,
        Err(script) => return Ok(unread(*script)),
    };
    let blocks = blocks(&text);
    if let Err(why) = check_order(&text, &blocks) {
        return Ok(unread(unreadable(path, text.as_bytes(), why)));
    }
    let note = note(&path, &text)?;
    let mut remark = |what: &str| remarks.push(Remark { path: path.clone(), text: what.to_owned() });
    let of = |mark: Mark| blocks.iter().filter(move |block| block.mark == mark);
    if of(Mark::Up).count() > 1 {
        remark("has several up blocks; dbmate runs each by itself and records the version after each");
    }
    let script = |mark: Mark| {
        let first = of(mark).next()?;
        let wrap = if of(mark).all(|block| block.wrap == Wrap::Transaction) {
            Wrap::Transaction
        } else {
            Wrap::None
        };
        let sql: String = of(mark).map(|block| &text[block.start..block.end]).collect();
        let batches = of(mark).map(|block| (block.line, text[block.start..block.end].to_owned())).collect();
        Some(in_batches(path.clone(), first.line, sql, wrap, batches))
    };
    let down = if let Some(script) = script(Mark::Down) {
        Down::of(script)
    } else {
        remark("has no `-- migrate:down` line, and dbmate 2.35 refuses to run the file");
        Down::Missing
    };
    let Some(up) = script(Mark::Up) else {
        return Ok(unread(unreadable(path, text.as_bytes(), missing_up())));
    };
    Ok(Migration {
        tool: Tool::Dbmate,
        version: Version::text(version, version, &file_name),
        name: name_in(&id, digits),
        id,
        compatible_note: note,
        up,
        down,
    })
}

fn name_in(id: &str, digits: usize) -> String {
    id[digits..].trim_start_matches(['_', '-', '.']).to_owned()
}

fn missing_up() -> Unreadable {
    let why = "it has no `-- migrate:up` line, so dbmate refuses it; put one before the first statement";
    Unreadable { line: None, why: why.to_owned() }
}

/// What dbmate itself refuses: something before the first mark, and marks in the wrong order.
fn check_order(text: &str, blocks: &[Block]) -> Result<(), Unreadable> {
    let Some(first_up) = blocks.iter().find(|block| block.mark == Mark::Up) else {
        return Err(missing_up());
    };
    let malformed = |line: u32, why: &str| Unreadable { line: Some(line), why: why.to_owned() };
    for (line, number) in text[..first_up.start].lines().zip(1_u32..) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with("--") {
            return Err(malformed(number, "dbmate takes no statements before the `-- migrate:up` line"));
        }
    }
    let mut last = Mark::Down;
    for block in blocks {
        if block.mark == Mark::Down && last == Mark::Down {
            return Err(malformed(block.line, "`-- migrate:down` must follow a `-- migrate:up` block"));
        }
        last = block.mark;
    }
    Ok(())
}
