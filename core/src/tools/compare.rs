//! What lies between two releases' migrations.

use std::collections::HashMap;

use super::{Down, Migration, MigrationSet, Script};

/// What changed in a migration that both releases have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed<'a> {
    /// The up reads or runs otherwise. Databases that have it applied have the old one.
    Up { old: &'a Migration, new: &'a Migration },
    /// The up is the same; the down is not.
    OnlyDown { old: &'a Migration, new: &'a Migration },
    /// Both are the same under another name.
    OnlyName { old: &'a Migration, new: &'a Migration },
}

/// What a newer release's migrations have that an older release's have not, and the other way round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanMigrations<'a> {
    /// New ones, in the order in which the tool applies them.
    pub added: Vec<&'a Migration>,
    /// Ones that the newer release no longer has.
    pub removed: Vec<&'a Migration>,
    /// Changed after they were released.
    pub changed: Vec<Changed<'a>>,
    /// Of those added, the ones that sort before the newest migration of the older release. A tool may skip
    /// them, refuse to start, or run them after later ones.
    pub out_of_order: Vec<&'a Migration>,
}

impl SpanMigrations<'_> {
    /// True if the newer release has exactly the older one's migrations.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Compares two releases of one service. Migrations are the same if the tool records the same version.
pub fn compare<'a>(old: &'a MigrationSet, new: &'a MigrationSet) -> SpanMigrations<'a> {
    let by_version = |set: &'a MigrationSet| -> HashMap<&'a str, &'a Migration> {
        set.migrations.iter().map(|migration| (migration.version.recorded(), migration)).collect()
    };
    let (in_old, in_new) = (by_version(old), by_version(new));
    let mut span = SpanMigrations::default();
    for migration in &new.migrations {
        let Some(before) = in_old.get(migration.version.recorded()).copied() else {
            span.added.push(migration);
            if old.newest().is_some_and(|newest| migration.version < newest.version) {
                span.out_of_order.push(migration);
            }
            continue;
        };
        span.changed.extend(change(before, migration));
    }
    span.removed = old
        .migrations
        .iter()
        .filter(|migration| !in_new.contains_key(migration.version.recorded()))
        .collect();
    span
}

fn change<'a>(old: &'a Migration, new: &'a Migration) -> Option<Changed<'a>> {
    let same = |a: &Script, b: &Script| a.digest == b.digest && a.wrap == b.wrap;
    let same_down = match (&old.down, &new.down) {
        (Down::Missing, Down::Missing) => true,
        (Down::Empty(a) | Down::Script(a), Down::Empty(b) | Down::Script(b)) => same(a, b),
        _ => false,
    };
    if !same(&old.up, &new.up) {
        Some(Changed::Up { old, new })
    } else if !same_down {
        Some(Changed::OnlyDown { old, new })
    } else if old.name != new.name {
        Some(Changed::OnlyName { old, new })
    } else {
        None
    }
}
