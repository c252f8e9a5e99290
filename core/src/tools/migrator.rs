//! Who runs migrations when a release starts, and what each does on a newer database.
//!
//! The tools whose files are read here, and others that services start with while their migrations lie in the
//! repository as plain SQL too. Of those only the boot rule is known.

use std::fmt;
use std::str::FromStr;

use super::{BootRule, Tool, about};

/// What migrates when a release starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrator {
    /// A tool whose files are read.
    Read(Tool),
    /// Another one.
    Other(&'static OtherMigrator),
}

/// A tool of which only the behaviour at the start is known.
#[derive(Debug, PartialEq, Eq)]
pub struct OtherMigrator {
    name: &'static str,
    boot: BootRule,
    /// The release that was looked at.
    read_from: &'static str,
}

/// In the order of their names.
const OTHERS: &[OtherMigrator] = &[
    // env.py's `upgrade` looks the recorded revision up first: "Can't locate revision identified by".
    OtherMigrator { name: "alembic", boot: BootRule::RefusesUnknownNewest, read_from: "Alembic 1.20" },
    OtherMigrator { name: "atlas", boot: BootRule::Starts, read_from: "Atlas" },
    OtherMigrator { name: "django", boot: BootRule::Starts, read_from: "Django 5.2" },
    // `validate` before `migrate`: "*:future" is ignored by default, what is missing or changed is not.
    OtherMigrator { name: "flyway", boot: BootRule::StartsUnlessGapOrChanged, read_from: "Flyway" },
    // "The migration directory is corrupt, the following files are missing".
    OtherMigrator { name: "knex", boot: BootRule::RefusesUnknown, read_from: "knex" },
    OtherMigrator { name: "liquibase", boot: BootRule::Starts, read_from: "Liquibase 4.28" },
    OtherMigrator { name: "node-pg-migrate", boot: BootRule::Starts, read_from: "node-pg-migrate" },
    OtherMigrator { name: "prisma", boot: BootRule::Starts, read_from: "Prisma" },
    OtherMigrator { name: "rails", boot: BootRule::Starts, read_from: "Rails 6.1" },
    // abort_missing and abort_divergent are on unless the program turns them off; its CLI has them off.
    OtherMigrator {
        name: "refinery",
        boot: BootRule::RefusesUnknownOrChanged { unless: "`set_abort_missing(false)`" },
        read_from: "refinery 0.10",
    },
    // "Migration file of version '...' is missing, this migration has been applied but its file is missing".
    OtherMigrator {
        name: "sea-orm-migration",
        boot: BootRule::RefusesUnknown,
        read_from: "sea-orm-migration 2.0",
    },
    // "unknown migration in database".
    OtherMigrator { name: "sql-migrate", boot: BootRule::RefusesUnknown, read_from: "sql-migrate" },
];

impl Migrator {
    /// The name used in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Migrator::Read(tool) => tool.name(),
            Migrator::Other(other) => other.name,
        }
    }

    /// What an old release does with it on a newer database.
    pub fn boot_rule(self) -> BootRule {
        match self {
            Migrator::Read(tool) => about(tool).boot,
            Migrator::Other(other) => other.boot,
        }
    }

    /// The release of the tool that the rule was taken from.
    pub fn read_from(self) -> &'static str {
        match self {
            Migrator::Read(tool) => about(tool).read_from,
            Migrator::Other(other) => other.read_from,
        }
    }

    /// Every one that is known.
    pub fn all() -> impl Iterator<Item = Migrator> {
        Tool::ALL.into_iter().map(Migrator::Read).chain(OTHERS.iter().map(Migrator::Other))
    }
}

impl fmt::Display for Migrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a tool whose start is not known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "nothing is known of how `{}` starts; known are {}",
    .0.escape_debug(),
    Migrator::all().map(Migrator::name).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownMigrator(pub String);

impl FromStr for Migrator {
    type Err = UnknownMigrator;

    fn from_str(text: &str) -> Result<Migrator, UnknownMigrator> {
        Migrator::all().find(|one| one.name() == text).ok_or_else(|| UnknownMigrator(text.to_owned()))
    }
}
