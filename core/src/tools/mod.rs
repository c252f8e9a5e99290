//! Migration tools: which one a folder belongs to, what its files say, and how it behaves.
//!
//! One file per tool holds everything known about that tool: how it names files, what it sends to the server,
//! its version table, checksum, lock, what its old releases do on a newer database, and the traps of its down.
//! Reads no disk: the caller hands files in, as they lie in the migrations folder. Runs no SQL.
//!
//! Every fact about a tool cites the file of the tool's own source that shows it.
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "the tools themselves compare so")]

mod about;
mod boot;
mod compare;
mod dbmate;
mod detect;
mod diesel;
mod error;
mod file;
mod golang_migrate;
mod goose;
mod lock;
mod migrator;
mod note;
mod plain;
mod sqlx;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use about::{
    About, Bind, BootRule, Checksum, Column, LockRule, RowWrite, Rows, Trap, VersionTable, When, about,
};
pub use boot::{Boots, boots};
pub use compare::{Changed, SpanMigrations, compare};
pub use detect::{Candidate, Detection, detect, detect_in};
pub use error::ReadError;
pub use file::{FILE_BYTES_MAX, FILES_MAX, MigrationFile, too_long};
pub use lock::{LockScope, lock_key};
pub use migrator::{Migrator, UnknownMigrator};
pub use note::{Note, NoteKind};

use crate::release::Digest;

/// A tool that keeps migrations in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    Sqlx,
    GolangMigrate,
    Goose,
    Diesel,
    Dbmate,
    /// No tool: numbered files that somebody runs with psql, in order.
    Plain,
}

impl Tool {
    /// Every tool, in the order in which they are offered.
    pub const ALL: [Tool; 6] =
        [Tool::Sqlx, Tool::GolangMigrate, Tool::Goose, Tool::Diesel, Tool::Dbmate, Tool::Plain];

    /// The name used on the command line and in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Sqlx => "sqlx",
            Tool::GolangMigrate => "golang-migrate",
            Tool::Goose => "goose",
            Tool::Diesel => "diesel",
            Tool::Dbmate => "dbmate",
            Tool::Plain => "plain",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a tool that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no migration tool is called `{}`", .0.escape_debug())]
pub struct UnknownTool(pub String);

impl FromStr for Tool {
    type Err = UnknownTool;

    fn from_str(text: &str) -> Result<Tool, UnknownTool> {
        Tool::ALL.into_iter().find(|tool| tool.name() == text).ok_or_else(|| UnknownTool(text.to_owned()))
    }
}

/// How a tool orders its migrations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    Number(i128),
    Text(String),
}

/// A migration's version. Compares as the tool orders; displays as written in the file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    order: Order,
    recorded: String,
    written: String,
}

impl Version {
    fn number(value: i128, written: &str) -> Version {
        Version { order: Order::Number(value), recorded: value.to_string(), written: written.to_owned() }
    }

    /// A version that the tool records as text and orders by `order`.
    fn text(recorded: &str, written: &str, order: &str) -> Version {
        Version {
            order: Order::Text(order.to_owned()),
            recorded: recorded.to_owned(),
            written: written.to_owned(),
        }
    }

    /// What the tool writes into its version table: `12` for a file called `0012_x.up.sql` under sqlx, the
    /// digits as they stand under dbmate. Two versions are the same migration if this is the same.
    pub fn recorded(&self) -> &str {
        &self.recorded
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> std::cmp::Ordering {
        (&self.order, &self.recorded, &self.written).cmp(&(&other.order, &other.recorded, &other.written))
    }
}

/// Whether the tool runs a script inside a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrap {
    Transaction,
    None,
}

/// What runs in one direction of one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// File it stands in, below the migrations folder, with `/` between folders.
    pub path: String,
    /// Line of that file on which `sql` starts, from 1.
    pub first_line: u32,
    /// The text of this direction. For tools that keep both directions in one file, its section only.
    pub sql: String,
    pub wrap: Wrap,
    /// Digest of `sql`; of the file's bytes if they are unreadable.
    pub digest: Digest,
    /// What the tool sends to the server in one simple query each, in order. Never blank.
    pub batches: Vec<String>,
    /// Line of the file on which each batch starts, from 1.
    pub batch_lines: Vec<u32>,
    /// Environment variables that the tool would put into the text when it runs (goose's ENVSUB), sorted.
    /// The text is kept as it stands in the file.
    pub environment: Vec<String>,
    /// Why there is nothing to send although there is a file. `sql` and `batches` are empty then.
    pub unreadable: Option<Unreadable>,
}

/// Why a script cannot be read: the tool, or every database, would refuse it when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Line of the file, from 1, if it is one line.
    pub line: Option<u32>,
    pub why: String,
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// There is none: no file, or no section for it.
    Missing,
    /// There is one with nothing in it but white space and comments.
    Empty(Script),
    Script(Script),
}

impl Down {
    /// The script to run, if there is anything to run. One that is unreadable counts: running it fails.
    pub fn script(&self) -> Option<&Script> {
        match self {
            Down::Script(script) => Some(script),
            Down::Missing | Down::Empty(_) => None,
        }
    }

    fn of(script: Script) -> Down {
        if script.batches.is_empty() && script.unreadable.is_none() {
            Down::Empty(script)
        } else {
            Down::Script(script)
        }
    }
}

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    pub tool: Tool,
    /// Version and name as in the file or folder name, without what marks direction and type:
    /// `0012_repo_topics`. Unique within a set.
    pub id: String,
    pub version: Version,
    /// The part of the name after the version.
    pub name: String,
    pub up: Script,
    pub down: Down,
    /// What a reviewer wrote about the old release, if anything.
    pub compatible_note: Option<Note>,
}

/// A file that is not a migration of this tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    pub path: String,
    pub reason: String,
}

/// Something odd about a file that was read all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    pub path: String,
    pub text: String,
}

/// All migrations of a folder, oldest first as the tool orders them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSet {
    pub tool: Tool,
    pub migrations: Vec<Migration>,
    /// Files that are not migrations, by path.
    pub ignored: Vec<Ignored>,
    pub remarks: Vec<Remark>,
}

impl MigrationSet {
    /// The migration that the tool records as `recorded`.
    pub fn find(&self, recorded: &str) -> Option<&Migration> {
        self.migrations.iter().find(|migration| migration.version.recorded() == recorded)
    }

    /// The newest migration.
    pub fn newest(&self) -> Option<&Migration> {
        self.migrations.last()
    }
}

/// Reads a folder's files as `tool` would. Paths are relative to the migrations folder.
///
/// The order of `files` does not matter. A file that cannot be read is a migration all the same, whose script
/// says why; an error is only what leaves the order or the meaning of the folder open. Errors name the file,
/// the line where there is one, and what to do.
pub fn read(tool: Tool, mut files: Vec<MigrationFile>) -> Result<MigrationSet, ReadError> {
    file::check_count(&files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut set = match tool {
        Tool::Sqlx => sqlx::read(files)?,
        Tool::GolangMigrate => golang_migrate::read(files)?,
        Tool::Goose => goose::read(files)?,
        Tool::Diesel => diesel::read(files)?,
        Tool::Dbmate => dbmate::read(files)?,
        Tool::Plain => plain::read(files)?,
    };
    set.migrations.sort_by(|a, b| a.version.cmp(&b.version));
    set.ignored.sort_by(|a, b| a.path.cmp(&b.path));
    error::check_versions(&set.migrations)?;
    Ok(set)
}

/// What the tool would write beside the version to notice a changed file, if it does and can read the file.
pub fn checksum(migration: &Migration) -> Option<Vec<u8>> {
    if migration.up.unreadable.is_some() {
        return None;
    }
    match about(migration.tool).checksum {
        Checksum::Sha384OfUpFile => Some(sqlx::checksum(&migration.up.sql)),
        Checksum::None => None,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod property_tests;
