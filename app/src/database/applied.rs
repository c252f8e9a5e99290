//! What a tool's version table says, and whether a step down may begin or end with that: the same on every database.

use std::collections::BTreeSet;

use unship_core::down::{Applied, Program, difference, newest};

use super::refused;
use crate::ports::DatabaseFailure;

/// More rows than any folder has files.
pub(super) const ROWS_MAX: usize = 100_000;

/// What a version table says: what is applied, and the checksums beside the versions.
pub type Said = (Applied, Vec<(String, Vec<u8>)>);

/// Takes in rows of version, whether it was applied to its end, and checksum. `table` is the table as people are shown
/// it, here and below.
pub(super) fn said(
    table: &str,
    found: Vec<(String, bool, Option<Vec<u8>>)>,
) -> Result<Said, DatabaseFailure> {
    if found.len() > ROWS_MAX {
        return Err(refused(
            format!("the version table {table} has more than {ROWS_MAX} rows"),
            "is it the right one?",
        ));
    }
    let dirty = found.iter().any(|(_, is_whole, _)| !is_whole);
    let versions: BTreeSet<String> = found.iter().map(|(version, ..)| version.clone()).collect();
    let checksums =
        found.into_iter().filter_map(|(version, _, checksum)| Some((version, checksum?))).collect();
    Ok((Applied { versions, dirty }, checksums))
}

/// Fails unless what is applied is exactly what the program found, its migration the newest one.
pub(super) fn expect_before(
    table: &str,
    applied: &Applied,
    program: &Program,
) -> Result<(), DatabaseFailure> {
    if applied.dirty {
        return Err(refused(
            format!("the version table {table} says that a migration broke off halfway"),
            format!("look at what it left, and mend it as {} wants it", program.tool),
        ));
    }
    let wanted: BTreeSet<String> = program.applied.iter().cloned().collect();
    if applied.versions != wanted {
        return Err(refused(
            format!(
                "the version table {table} is not as it was when the step down of {} was worked out: {}",
                program.migration,
                difference(&wanted, &applied.versions)
            ),
            "somebody migrated in between: ask for the step again",
        ));
    }
    if newest(program.tool, &applied.versions) != Some(program.version.as_str()) {
        return Err(refused(
            format!("{} is not the newest applied migration in {table}", program.migration),
            "only the newest one can be taken down",
        ));
    }
    Ok(())
}

/// Fails unless what is applied is what the tool would have left.
pub(super) fn expect_after(table: &str, applied: &Applied, program: &Program) -> Result<(), DatabaseFailure> {
    let wanted = program.versions_after();
    if applied.versions == wanted && !applied.dirty {
        return Ok(());
    }
    let difference = difference(&wanted, &applied.versions);
    Err(DatabaseFailure {
        message: format!("the down of {} left other versions in {table}: {difference}", program.migration),
        hint: None,
        in_doubt: false,
    })
}
