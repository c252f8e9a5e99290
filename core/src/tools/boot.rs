//! Whether an old release that migrates at its start comes up on a newer release's database: the tool's rule.
//! The rule is a prediction; the proof is to start it.

use super::{BootRule, Changed, Migration, MigrationSet, Migrator, SpanMigrations, compare};

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

/// Applies the rule of what migrates at the start. `new` is what the database has.
pub fn boots(migrator: Migrator, old: &MigrationSet, new: &MigrationSet) -> Boots {
    let span = compare(old, new);
    let refuses = match migrator.boot_rule() {
        BootRule::NoTool => return Boots::NoMigrator,
        BootRule::Starts => None,
        BootRule::RefusesUnknownOrChanged { unless } => unknown(&span)
            .map(|migration| {
                format!(
                    "{migrator} refuses: version {} is applied and the old release has no file for it, unless it \
                     is built with {unless}",
                    migration.version
                )
            })
            .or_else(|| changed(&span).map(|migration| changed_words(migrator, migration))),
        BootRule::RefusesUnknown => unknown(&span).map(|migration| {
            format!(
                "{migrator} refuses: version {} is applied and the old release has no file for it",
                migration.version
            )
        }),
        BootRule::RefusesUnknownNewest => new
            .newest()
            .filter(|newest| old.find(newest.version.recorded()).is_none())
            .map(|newest| format!("{migrator} refuses: no migration found for version {}", newest.version)),
        BootRule::StartsUnlessOlderUnapplied => older_unapplied(&span, new).map(|migration| {
            format!(
                "{migrator} refuses: version {} is not applied and older than the newest applied one, unless it \
                 allows missing migrations",
                migration.version
            )
        }),
        BootRule::StartsUnlessGapOrChanged => {
            // What it does not know is only taken for the future's if it is newer than all that it knows.
            let gap = span.out_of_order.first().map(|migration| {
                format!(
                    "{migrator} refuses: version {} is applied, the old release has no file for it, and it is \
                     older than the newest file",
                    migration.version
                )
            });
            let older = || {
                older_unapplied(&span, new).map(|migration| {
                    format!(
                        "{migrator} refuses: version {} is not applied and older than the newest applied one, \
                         unless outOfOrder is set",
                        migration.version
                    )
                })
            };
            gap.or_else(older).or_else(|| changed(&span).map(|migration| changed_words(migrator, migration)))
        }
    };
    match refuses {
        Some(why) => Boots::Refuses { why },
        None => {
            Boots::Starts { then_runs: span.removed.iter().map(|migration| migration.id.clone()).collect() }
        }
    }
}

/// One that is applied and that the old release has no file for.
fn unknown<'a>(span: &SpanMigrations<'a>) -> Option<&'a Migration> {
    span.added.first().copied()
}

/// One whose file reads otherwise than what was applied.
fn changed<'a>(span: &SpanMigrations<'a>) -> Option<&'a Migration> {
    span.changed.iter().find_map(|changed| match changed {
        Changed::Up { new, .. } => Some(*new),
        Changed::OnlyDown { .. } | Changed::OnlyName { .. } => None,
    })
}

fn changed_words(migrator: Migrator, migration: &Migration) -> String {
    format!("{migrator} refuses: version {} was applied from a file that reads otherwise", migration.version)
}

/// One that only the old release has and that sorts before the newest applied one.
fn older_unapplied<'a>(span: &SpanMigrations<'a>, new: &MigrationSet) -> Option<&'a Migration> {
    let newest = &new.newest()?.version;
    span.removed.iter().copied().find(|migration| migration.version < *newest)
}
