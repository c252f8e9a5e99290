//! golang-migrate 4.19.1: `<version>_<title>.up.<extension>` and `.down.<extension>`.
//!
//! Sources: names `source/parse.go`, duplicates and order `source/migration.go` and `source/iofs/iofs.go`,
//! what is run `migrate.go` (`newMigration`, `runMigrations`), table and lock `database/postgres/postgres.go`
//! and `database/util.go`, SQLite `database/sqlite3/sqlite3.go`.

use std::collections::BTreeMap;

use super::about::{
    About, Bind, BootRule, Checksum, Column, LockRule, RowWrite, Rows, Trap, VersionTable, When,
};
use super::file::whole;
use super::note::note;
use super::{
    Down, Ignored, Migration, MigrationFile, MigrationSet, ReadError, Remark, Script, Tool, Version, Wrap,
};

/// The first of the two writes around a script: the version with the mark that it is under way. Committed by
/// itself, so that a run that breaks off leaves it behind and every later command refuses.
const fn mark(bind: &'static [Bind]) -> [RowWrite; 4] {
    [
        RowWrite { sql: CLEAR, binds: &[], when: When::BeforeScript, with_script: false },
        RowWrite { sql: DIRTY, binds: bind, when: When::BeforeScript, with_script: false },
        RowWrite { sql: CLEAR, binds: &[], when: When::AfterScript, with_script: false },
        RowWrite { sql: CLEAN, binds: bind, when: When::AfterScript, with_script: false },
    ]
}

/// The tool says TRUNCATE on PostgreSQL; DELETE leaves the same rows on both databases.
const CLEAR: &str = "DELETE FROM {table}";
const DIRTY: &str = "INSERT INTO {table} (version, dirty) VALUES ($1, TRUE)";
/// After the down of the first migration no row is left: the version before is -1.
const CLEAN: &str = "INSERT INTO {table} (version, dirty) SELECT $1, FALSE WHERE $1 >= 0";

pub(super) const ABOUT: About = About {
    tool: Tool::GolangMigrate,
    read_from: "golang-migrate 4.19.1",
    table: Some(VersionTable {
        name: "schema_migrations",
        columns: &[
            Column { name: "version", postgres: "bigint", sqlite: "uint64" },
            Column { name: "dirty", postgres: "boolean", sqlite: "bool" },
        ],
        create_postgres: "CREATE TABLE IF NOT EXISTS {table} (version bigint not null primary key, \
             dirty boolean not null)",
        create_sqlite: "CREATE TABLE IF NOT EXISTS {table} (version uint64, dirty bool)",
        seed: None,
        rows: Rows::OnlyNewest { dirty_column: "dirty" },
        version_column: "version",
        up: &mark(&[Bind::Version]),
        down: &mark(&[Bind::VersionBefore]),
    }),
    checksum: Checksum::None,
    lock: LockRule::AdvisoryFromTableName,
    boot: BootRule::RefusesUnknownNewest,
    // `x-no-tx-wrap` in the database URL turns it off.
    sqlite_wrap: Some(Wrap::Transaction),
    sqlite_foreign_keys: false,
    down_traps: &[
        Trap {
            id: "golang-migrate-missing-down-succeeds",
            text: "a migration without a down file counts as reverted: the version goes down, the schema stays",
            source: "migrate.go: newMigration() makes an empty migration when the file does not exist",
        },
        Trap {
            id: "golang-migrate-no-transaction",
            text: "scripts are not wrapped; a script of several statements is one implicit transaction, unless \
                   it has its own COMMIT or `x-multi-statement` is on",
            source: "database/postgres/postgres.go: Run()",
        },
        Trap {
            id: "golang-migrate-dirty",
            text: "a run that breaks off leaves the version marked dirty, and every later command refuses until \
                   somebody forces a version",
            source: "migrate.go: runMigrations() and ErrDirty",
        },
        Trap {
            id: "golang-migrate-down-without-number",
            text: "`migrate down` without a number reverts every migration",
            source: "migrate.go: Down()",
        },
    ],
};

struct Half {
    title: String,
    written: String,
    file: MigrationFile,
}

/// Version, title and direction (true: up) of a file name; nothing if the tool passes the file over.
fn name_parts(file_name: &str) -> Option<(&str, &str, bool)> {
    let digits = file_name.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let rest = file_name[digits..].strip_prefix('_')?;
    // The tool's pattern is greedy: the last `.up.` or `.down.` of the name decides.
    let (up, down) = (rest.rfind(".up."), rest.rfind(".down."));
    let (at, is_up) = match (up, down) {
        (Some(up), Some(down)) if up < down => (down, false),
        (Some(up), _) => (up, true),
        (None, Some(down)) => (down, false),
        (None, None) => return None,
    };
    Some((&file_name[..digits], &rest[..at], is_up))
}

pub(super) fn read(files: Vec<MigrationFile>) -> Result<MigrationSet, ReadError> {
    let mut ignored = Vec::new();
    let mut halves: BTreeMap<u64, [Option<Half>; 2]> = BTreeMap::new();
    for file in files {
        if !file.at_top() {
            let reason = "golang-migrate reads no folders below".to_owned();
            ignored.push(Ignored { path: file.path, reason });
            continue;
        }
        let parts = name_parts(file.file_name()).map(|(v, t, up)| (v.to_owned(), t.to_owned(), up));
        let Some((written, title, is_up)) = parts else {
            let reason = "not named `<version>_<title>.up.sql` or `.down.sql`".to_owned();
            ignored.push(Ignored { path: file.path, reason });
            continue;
        };
        let Ok(version) = written.parse::<u64>() else {
            let reason = "its version is larger than 64 bits, and golang-migrate passes it over".to_owned();
            ignored.push(Ignored { path: file.path, reason });
            continue;
        };
        let slot = &mut halves.entry(version).or_default()[usize::from(is_up)];
        if let Some(first) = slot {
            return Err(ReadError::DuplicateVersion {
                version: version.to_string(),
                first: first.file.path.clone(),
                second: file.path,
            });
        }
        *slot = Some(Half { title, written, file });
    }
    let mut remarks = Vec::new();
    let mut migrations = Vec::with_capacity(halves.len());
    for (version, [down, up]) in halves {
        let Some(named) = up.as_ref().or(down.as_ref()) else { continue };
        let (name, written) = (named.title.clone(), named.written.clone());
        let up = if let Some(half) = up {
            script(half.file)
        } else {
            let path = down.as_ref().map(|half| half.file.path.clone()).unwrap_or_default();
            let text = "there is no up file; golang-migrate counts it as applied without running anything";
            remarks.push(Remark { path: path.clone(), text: text.to_owned() });
            whole(path, 1, String::new(), Wrap::None)
        };
        let down = match down {
            Some(half) => Down::of(script(half.file)),
            None => Down::Missing,
        };
        migrations.push(Migration {
            tool: Tool::GolangMigrate,
            id: format!("{written}_{name}"),
            version: Version::number(i128::from(version), &written),
            name,
            compatible_note: note(&up.path, &up.sql)?,
            up,
            down,
        });
    }
    Ok(MigrationSet { tool: Tool::GolangMigrate, migrations, ignored, remarks })
}

fn script(file: MigrationFile) -> Script {
    match file.into_text() {
        Ok((path, text)) => whole(path, 1, text, Wrap::None),
        Err(script) => *script,
    }
}
