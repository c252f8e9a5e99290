//! Whether an old release that migrates at its start comes up on a newer release's database: the tool's rule.
//! The rule is a prediction; the proof is to start it.

use super::{BootRule, Changed, MigrationSet, about, compare};

/// What the old release's own migrator does on a database that has every migration of the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boots {
    /// It goes on. It then runs the migrations that only the old release has, named here by their ids.
    Starts { then_runs: Vec<String> },
    /// It refuses, with the tool's reason.
    Refuses { why: String },
    /// Nothing migrates at the start.
    NoMigrator,
}

/// Applies the tool's rule. `new` is what the database has.
pub fn boots(old: &MigrationSet, new: &MigrationSet) -> Boots {
    let span = compare(old, new);
    let refuses = match about(old.tool).boot {
        BootRule::NoTool => return Boots::NoMigrator,
        BootRule::Starts => None,
        BootRule::RefusesUnknownOrChanged { unless } => {
            let unknown = span.added.first().map(|migration| {
                format!(
                    "{} refuses: version {} is applied and the old release has no file for it, \
                     unless it is built with {unless}",
                    old.tool, migration.version
                )
            });
            unknown.or_else(|| {
                span.changed.iter().find_map(|changed| match changed {
                    Changed::Up { new, .. } => Some(format!(
                        "{} refuses: version {} was applied from a file that reads otherwise",
                        old.tool, new.version
                    )),
                    Changed::OnlyDown { .. } | Changed::OnlyName { .. } => None,
                })
            })
        }
        BootRule::RefusesUnknownNewest => new
            .newest()
            .filter(|newest| old.find(newest.version.recorded()).is_none())
            .map(|newest| format!("{} refuses: no migration found for version {}", old.tool, newest.version)),
        BootRule::StartsUnlessOlderUnapplied => {
            let newest = new.newest().map(|migration| &migration.version);
            span.removed.iter().find(|migration| newest.is_some_and(|v| migration.version < *v)).map(
                |migration| {
                    format!(
                        "{} refuses: version {} is not applied and older than the newest applied one, \
                     unless it allows missing migrations",
                        old.tool, migration.version
                    )
                },
            )
        }
    };
    match refuses {
        Some(why) => Boots::Refuses { why },
        None => {
            Boots::Starts { then_runs: span.removed.iter().map(|migration| migration.id.clone()).collect() }
        }
    }
}
