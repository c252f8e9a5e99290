//! What is known of a tool beside its files, as data. The values stand in the tool's own file.

use super::{Tool, Wrap, dbmate, diesel, golang_migrate, goose, plain, sqlx};

/// Everything known of one tool.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub tool: Tool,
    /// The release whose source was read for these facts.
    pub read_from: &'static str,
    /// Where the tool writes down what it has applied. None: it does not.
    pub table: Option<VersionTable>,
    pub checksum: Checksum,
    /// How the tool keeps a second copy of itself out, on PostgreSQL. On SQLite none of them takes a lock that
    /// another process could see.
    pub lock: LockRule,
    pub boot: BootRule,
    /// Where the tool wraps differently on SQLite than `Script::wrap` says.
    pub sqlite_wrap: Option<Wrap>,
    /// Whether the tool's own connection to SQLite enforces foreign keys.
    pub sqlite_foreign_keys: bool,
    pub down_traps: &'static [Trap],
}

/// A version table. In its SQL, `{table}` stands for the quoted, possibly schema-qualified name.
#[derive(Debug, Clone, Copy)]
pub struct VersionTable {
    /// The name unless the user chose another.
    pub name: &'static str,
    pub columns: &'static [Column],
    pub create_postgres: &'static str,
    pub create_sqlite: &'static str,
    /// A row that the tool writes when it makes the table.
    pub seed: Option<&'static str>,
    pub rows: Rows,
    /// The column that holds the version.
    pub version_column: &'static str,
    /// What is written when a migration is applied, in order.
    pub up: &'static [RowWrite],
    /// What is written when a migration is reverted, in order.
    pub down: &'static [RowWrite],
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub postgres: &'static str,
    pub sqlite: &'static str,
}

/// What the rows of a version table mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// A row says that its version is applied.
    OnePerVersion,
    /// The only row names the newest applied version, and whether the last run broke off.
    OnlyNewest { dirty_column: &'static str },
}

/// One change to the version table.
#[derive(Debug, Clone, Copy)]
pub struct RowWrite {
    /// With `$1`, `$2`, ... for `binds`; both databases accept that.
    pub sql: &'static str,
    pub binds: &'static [Bind],
    pub when: When,
    /// True if it stands in the script's own transaction where the script is wrapped in one.
    pub with_script: bool,
}

/// A value that a [`RowWrite`] needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// `Version::recorded`, as a number where the column is one.
    Version,
    /// The version after the down: that of the migration before, or -1.
    VersionBefore,
    /// The name with `_` as spaces.
    Description,
    /// [`super::checksum`].
    Checksum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    BeforeScript,
    AfterScript,
}

/// What the tool compares to notice a changed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    None,
    /// SHA-384 of the up file's text.
    Sha384OfUpFile,
}

/// How the tool takes an advisory lock on PostgreSQL; [`super::lock_key`] computes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockRule {
    None,
    /// `pg_advisory_lock` on 0x3d32ad9e times the CRC-32 of the database's name.
    AdvisoryFromDatabaseName,
    /// `pg_advisory_lock` on a salted CRC-32 of schema, table and database name.
    AdvisoryFromTableName,
    /// `pg_try_advisory_lock` on a fixed key, and only if the program asks for a session locker.
    AdvisoryFixedIfAsked {
        key: i64,
    },
}

/// What an old release does when it starts, and runs its migrations, on a newer database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootRule {
    /// It refuses if the database has a version it does not know, or an up file that reads otherwise.
    RefusesUnknownOrChanged { unless: &'static str },
    /// It refuses if the database has a version it does not know, whatever its files read.
    RefusesUnknown,
    /// It refuses if it has no file for the newest applied version.
    RefusesUnknownNewest,
    /// It starts, except when it has a file that is older than the newest applied version and not applied.
    StartsUnlessOlderUnapplied,
    /// It takes versions that are newer than all its files, and refuses older ones that it does not know, files
    /// that are older than the newest applied version and not applied, and files that read otherwise.
    StartsUnlessGapOrChanged,
    /// It starts and says nothing.
    Starts,
    /// Nothing runs by itself.
    NoTool,
}

/// A way in which the tool's down does something else than one expects.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    pub id: &'static str,
    pub text: &'static str,
    pub source: &'static str,
}

/// What is known of `tool`.
pub fn about(tool: Tool) -> &'static About {
    match tool {
        Tool::Sqlx => &sqlx::ABOUT,
        Tool::GolangMigrate => &golang_migrate::ABOUT,
        Tool::Goose => &goose::ABOUT,
        Tool::Diesel => &diesel::ABOUT,
        Tool::Dbmate => &dbmate::ABOUT,
        Tool::Plain => &plain::ABOUT,
    }
}
