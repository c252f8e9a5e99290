//! `diesel_migrations` 2.3: a folder each, `<version>_<name>/up.sql`, `down.sql` and `metadata.toml`.
//!
//! Sources: folders, version and metadata `diesel_migrations/migrations_internals/src/lib.rs`; what is run
//! `diesel_migrations/src/file_based_migrations.rs`, `embedded_migrations.rs` and `migration_harness.rs`;
//! table `diesel/src/migration/setup_migration_table.sql`.

use std::collections::BTreeMap;

use super::about::{
    About, Bind, BootRule, Checksum, Column, LockRule, RowWrite, Rows, Trap, VersionTable, When,
};
use super::file::whole;
use super::note::note;
use super::{
    Down, Ignored, Migration, MigrationFile, MigrationSet, ReadError, Remark, Script, Tool, Version, Wrap,
};

pub(super) const ABOUT: About = About {
    tool: Tool::Diesel,
    read_from: "diesel_migrations 2.3.2",
    table: Some(VersionTable {
        name: "__diesel_schema_migrations",
        columns: &[
            Column { name: "version", postgres: "varchar(50)", sqlite: "VARCHAR(50)" },
            Column { name: "run_on", postgres: "timestamp", sqlite: "TIMESTAMP" },
        ],
        create_postgres: CREATE,
        create_sqlite: CREATE,
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
            id: "diesel-empty-down-fails",
            text: "a down.sql of zero bytes is refused when migrations are read from files; embedded, it runs \
                   as nothing and the version row goes",
            source: "diesel_migrations/src/file_based_migrations.rs: run_sql_from_file(), EmptyMigration",
        },
        Trap {
            id: "diesel-metadata-default",
            text: "a metadata.toml without `run_in_transaction` turns the transaction off; without the file it \
                   is on",
            source: "diesel_migrations/migrations_internals/src/lib.rs: serde's default of a bool is false",
        },
        Trap {
            id: "diesel-revert-by-version",
            text: "the last migration is the highest version, not the one applied last",
            source: "diesel_migrations/src/migration_harness.rs: applied_migrations() orders by version",
        },
        Trap {
            id: "diesel-no-lock",
            text: "two instances that start together both run the pending migrations",
            source: "diesel_migrations/src/migration_harness.rs: no lock is taken",
        },
    ],
};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS {table} (version VARCHAR(50) PRIMARY KEY NOT NULL, \
     run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// The version that `diesel setup` gives to the helper functions it puts in front of everything else.
const INITIAL_SETUP: &str = "00000000000000_diesel_initial_setup";

#[derive(Default)]
struct Folder {
    up: Option<MigrationFile>,
    down: Option<MigrationFile>,
    metadata: Option<MigrationFile>,
    others: Vec<String>,
}

pub(super) fn read(files: Vec<MigrationFile>) -> Result<MigrationSet, ReadError> {
    let mut set =
        MigrationSet { tool: Tool::Diesel, migrations: Vec::new(), ignored: Vec::new(), remarks: Vec::new() };
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for file in files {
        let Some((folder, rest)) = file.path.split_once('/') else {
            let reason = "diesel reads folders, not files beside them".to_owned();
            set.ignored.push(Ignored { path: file.path, reason });
            continue;
        };
        if folder.starts_with('.') {
            let reason = "diesel passes hidden folders over".to_owned();
            set.ignored.push(Ignored { path: file.path, reason });
            continue;
        }
        let (folder, rest) = (folder.to_owned(), rest.to_owned());
        let entry = folders.entry(folder).or_default();
        match rest.as_str() {
            "up.sql" => entry.up = Some(file),
            "down.sql" => entry.down = Some(file),
            "metadata.toml" => entry.metadata = Some(file),
            _ => entry.others.push(file.path),
        }
    }
    for (name, folder) in folders {
        let reason = "diesel reads only up.sql, down.sql and metadata.toml".to_owned();
        set.ignored
            .extend(folder.others.iter().map(|path| Ignored { path: path.clone(), reason: reason.clone() }));
        let migration = migration(name, folder, &mut set.remarks)?;
        set.migrations.push(migration);
    }
    Ok(set)
}

fn migration(id: String, folder: Folder, remarks: &mut Vec<Remark>) -> Result<Migration, ReadError> {
    let Some(up) = folder.up else {
        return Err(ReadError::BadName {
            tool: Tool::Diesel,
            path: id,
            rule: "every folder of the migrations folder must hold an up.sql",
        });
    };
    let wrap = match folder.metadata {
        None => Wrap::Transaction,
        Some(file) => wrap_of(file, remarks),
    };
    let up = script(
        up,
        wrap,
        "diesel refuses an up.sql of zero bytes when it reads migrations from files",
        remarks,
    );
    let down = match folder.down {
        None => Down::Missing,
        Some(file) => {
            let empty = "diesel refuses a down.sql of zero bytes when it reads migrations from files";
            Down::of(script(file, wrap, empty, remarks))
        }
    };
    if id == INITIAL_SETUP {
        let text = "written by `diesel setup`: helper functions, nothing of the application's own";
        remarks.push(Remark { path: up.path.clone(), text: text.to_owned() });
    }
    let (written, name) = id.split_once('_').unwrap_or((&id, ""));
    let recorded = written.replace('-', "");
    Ok(Migration {
        tool: Tool::Diesel,
        version: Version::text(&recorded, written, &recorded),
        name: name.to_owned(),
        compatible_note: note(&up.path, &up.sql)?,
        id,
        up,
        down,
    })
}

/// One direction; `empty` is what to say of a file of zero bytes.
fn script(file: MigrationFile, wrap: Wrap, empty: &str, remarks: &mut Vec<Remark>) -> Script {
    let (path, text) = match file.into_text() {
        Ok(text) => text,
        Err(script) => return *script,
    };
    if text.is_empty() {
        remarks.push(Remark { path: path.clone(), text: empty.to_owned() });
    }
    whole(path, 1, text, wrap)
}

/// Whether a migration with this metadata.toml runs in a transaction. As diesel reads it: a file that is not
/// valid counts as absent, and a valid one that does not say so means no.
fn wrap_of(file: MigrationFile, remarks: &mut Vec<Remark>) -> Wrap {
    let (path, text) = match file.into_text() {
        Ok(text) => text,
        Err(script) => {
            let why = script.unreadable.map(|unreadable| unreadable.why).unwrap_or_default();
            let text = format!("{why}; as it is, diesel goes on as if it were not there");
            remarks.push(Remark { path: script.path, text });
            return Wrap::Transaction;
        }
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let text =
                format!("not valid TOML, so diesel goes on as if it were not there: {}", error.message());
            remarks.push(Remark { path, text });
            return Wrap::Transaction;
        }
    };
    match table.get("run_in_transaction") {
        Some(toml::Value::Boolean(true)) => Wrap::Transaction,
        Some(toml::Value::Boolean(false)) => Wrap::None,
        Some(_) => {
            let text = "`run_in_transaction` is neither true nor false, so diesel ignores the file";
            remarks.push(Remark { path, text: text.to_owned() });
            Wrap::Transaction
        }
        None => {
            let text = "does not say `run_in_transaction`, and diesel takes that for false";
            remarks.push(Remark { path, text: text.to_owned() });
            Wrap::None
        }
    }
}
