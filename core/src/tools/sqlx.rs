//! sqlx 0.9.0: `<version>_<description>.sql`, or `.up.sql` with `.down.sql`.
//!
//! Sources, all in the crates of that version: names and checksum `sqlx-core/src/migrate/source.rs`,
//! `migration.rs` and `migration_type.rs`; what refuses to start `sqlx-core/src/migrate/migrator.rs`;
//! table, transaction and lock `sqlx-postgres/src/migrate.rs` and `sqlx-sqlite/src/migrate.rs`.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha384};

use super::about::{
    About, Bind, BootRule, Checksum, Column, LockRule, RowWrite, Rows, Trap, VersionTable, When,
};
use super::file::whole;
use super::note::note;
use super::{Down, Ignored, Migration, MigrationFile, MigrationSet, ReadError, Script, Tool, Version, Wrap};

/// The words with which a file asks not to be wrapped. They must be the very first bytes: no blank line, no
/// byte order mark before them, and whatever follows on that line does not matter.
const NO_TRANSACTION: &str = "-- no-transaction";

pub(super) const ABOUT: About = About {
    tool: Tool::Sqlx,
    read_from: "sqlx 0.9.0",
    table: Some(VersionTable {
        name: "_sqlx_migrations",
        columns: &[
            Column { name: "version", postgres: "bigint", sqlite: "BIGINT" },
            Column { name: "description", postgres: "text", sqlite: "TEXT" },
            Column { name: "installed_on", postgres: "timestamptz", sqlite: "TIMESTAMP" },
            Column { name: "success", postgres: "boolean", sqlite: "BOOLEAN" },
            Column { name: "checksum", postgres: "bytea", sqlite: "BLOB" },
            Column { name: "execution_time", postgres: "bigint", sqlite: "BIGINT" },
        ],
        create_postgres: "CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY, \
             description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), \
             success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)",
        create_sqlite: "CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY, \
             description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
             success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
        seed: None,
        rows: Rows::OnePerVersion,
        version_column: "version",
        up: &[RowWrite {
            sql: "INSERT INTO {table} (version, description, success, checksum, execution_time) \
                  VALUES ($1, $2, TRUE, $3, -1)",
            binds: &[Bind::Version, Bind::Description, Bind::Checksum],
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
    checksum: Checksum::Sha384OfUpFile,
    lock: LockRule::AdvisoryFromDatabaseName,
    boot: BootRule::RefusesUnknownOrChanged { unless: "set_ignore_missing(true)" },
    sqlite_wrap: None,
    // sqlx-sqlite/src/options/mod.rs: on unless the program turns it off.
    sqlite_foreign_keys: true,
    down_traps: &[
        Trap {
            id: "sqlx-skips-missing-down",
            text: "`sqlx migrate revert` skips a newest migration without a down file and reverts the one \
                   before it, with exit status 0",
            source: "sqlx-core/src/migrate/migrator.rs: undo() walks only migrations that are downs",
        },
        Trap {
            id: "sqlx-ignore-missing-reverts-wrong",
            text: "an old release with `--ignore-missing` reverts its own newest migration, not the newest \
                   applied one",
            source: "sqlx-core/src/migrate/migrator.rs: validate_applied_migrations() is skipped",
        },
        Trap {
            id: "sqlx-checksum-omits-down",
            text: "the recorded checksum covers the up file only; a changed down goes unnoticed",
            source: "sqlx-core/src/migrate/migrator.rs: only up migrations are compared",
        },
        Trap {
            id: "sqlx-no-transaction-row-apart",
            text: "under `-- no-transaction` the script commits before the version row is written or deleted",
            source: "sqlx-postgres/src/migrate.rs: apply() and revert()",
        },
    ],
};

/// What sqlx writes into `checksum`: the SHA-384 of the up file's text.
pub(super) fn checksum(up: &str) -> Vec<u8> {
    Sha384::digest(up.as_bytes()).to_vec()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Simple,
    Up,
    Down,
}

/// Version, kind and description of a file name; nothing if sqlx passes the file over.
fn name_parts(path: &str, file_name: &str) -> Result<Option<(i64, Kind, String)>, ReadError> {
    let Some((version, rest)) = file_name.split_once('_') else { return Ok(None) };
    if !rest.ends_with(".sql") {
        return Ok(None);
    }
    let version: i64 = version.parse().map_err(|_| ReadError::BadName {
        tool: Tool::Sqlx,
        path: path.to_owned(),
        rule: "what stands before the first `_` must be a whole number of at most 64 bits",
    })?;
    let (kind, suffix) = if rest.ends_with(".up.sql") {
        (Kind::Up, ".up.sql")
    } else if rest.ends_with(".down.sql") {
        (Kind::Down, ".down.sql")
    } else {
        (Kind::Simple, ".sql")
    };
    Ok(Some((version, kind, rest.trim_end_matches(suffix).to_owned())))
}

pub(super) fn read(files: Vec<MigrationFile>) -> Result<MigrationSet, ReadError> {
    let mut ignored = Vec::new();
    let mut ups: BTreeMap<i64, (MigrationFile, String)> = BTreeMap::new();
    let mut downs: BTreeMap<i64, MigrationFile> = BTreeMap::new();
    for file in files {
        if !file.at_top() {
            ignored.push(Ignored { path: file.path, reason: "sqlx reads no folders below".to_owned() });
            continue;
        }
        let Some((version, kind, name)) = name_parts(&file.path, file.file_name())? else {
            let reason = "not named `<version>_<description>.sql`".to_owned();
            ignored.push(Ignored { path: file.path, reason });
            continue;
        };
        let twin = match kind {
            Kind::Down => downs.insert(version, file),
            Kind::Simple | Kind::Up => ups.insert(version, (file, name)).map(|(file, _)| file),
        };
        if let Some(first) = twin {
            let second = match kind {
                Kind::Down => downs.remove(&version).map(|file| file.path),
                Kind::Simple | Kind::Up => ups.remove(&version).map(|(file, _)| file.path),
            };
            return Err(ReadError::DuplicateVersion {
                version: version.to_string(),
                first: first.path,
                second: second.unwrap_or_default(),
            });
        }
    }
    let mut migrations = Vec::with_capacity(ups.len());
    for (version, (file, name)) in ups {
        let written = file.file_name().split('_').next().unwrap_or_default().to_owned();
        let id = format!("{written}_{name}");
        let up = script(file);
        let down = match downs.remove(&version) {
            Some(file) => Down::of(script(file)),
            None => Down::Missing,
        };
        migrations.push(Migration {
            tool: Tool::Sqlx,
            id,
            version: Version::number(i128::from(version), &written),
            name,
            compatible_note: note(&up.path, &up.sql)?,
            up,
            down,
        });
    }
    ignored.extend(downs.into_values().map(|file| Ignored {
        path: file.path,
        reason: "a down without its up; sqlx can never have applied it".to_owned(),
    }));
    Ok(MigrationSet { tool: Tool::Sqlx, migrations, ignored, remarks: Vec::new() })
}

fn script(file: MigrationFile) -> Script {
    let (path, text) = match file.into_text() {
        Ok(text) => text,
        Err(script) => return *script,
    };
    let wrap = if text.starts_with(NO_TRANSACTION) { Wrap::None } else { Wrap::Transaction };
    whole(path, 1, text, wrap)
}
