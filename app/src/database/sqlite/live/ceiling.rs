//! Whether what is lost was accepted.

use unship_core::down::{Allowed, Loss, LossKind, Program};

use super::failure::refused;
use super::name;
use crate::ports::DatabaseFailure;

/// Fails for the first loss that touches more rows than were accepted.
pub fn check(program: &Program, losses: &[Loss]) -> Result<(), DatabaseFailure> {
    for loss in losses.iter().filter(|loss| loss.affected > 0) {
        let accepted = program.allowed.iter().filter(|allowed| covers(allowed, &loss.kind));
        let affected_max = accepted.map(|allowed| allowed.affected_max).max();
        if affected_max.is_some_and(|max| loss.affected <= max) {
            continue;
        }
        let accepted = affected_max
            .map_or("that was not accepted".to_owned(), |max| format!("at most {max} were accepted"));
        return Err(refused(
            format!(
                "the down of {} destroys {}: {} rows, and {accepted}",
                program.migration,
                words(&loss.kind),
                loss.affected
            ),
            "nothing was changed; ask for the step again to see and accept all of its loss",
        ));
    }
    Ok(())
}

/// Whether an acceptance is about this loss. One for a whole table is one for everything in it.
fn covers(allowed: &Allowed, loss: &LossKind) -> bool {
    let column_of = |kind: &LossKind| match kind {
        LossKind::Column { column, .. } | LossKind::Rewritten { column, .. } => Some(column.to_lowercase()),
        LossKind::Table { .. } | LossKind::Rows { .. } | LossKind::Sequence { .. } => None,
    };
    if !name::same(&allowed.kind.table().name, &loss.table().name) {
        return false;
    }
    match (&allowed.kind, loss) {
        (LossKind::Table { .. }, _) | (LossKind::Rows { .. }, LossKind::Rows { .. }) => true,
        _ => column_of(&allowed.kind).is_some() && column_of(&allowed.kind) == column_of(loss),
    }
}

/// What is lost, for a person.
pub fn words(kind: &LossKind) -> String {
    match kind {
        LossKind::Table { table } => format!("the table `{table}`"),
        LossKind::Column { table, column, .. } => format!("the column `{table}.{column}`"),
        LossKind::Rewritten { table, column, from, to } => {
            format!("values of `{table}.{column}`, written as `{to}` instead of `{from}`")
        }
        LossKind::Rows { table } => format!("rows of `{table}` that it changes or deletes"),
        LossKind::Sequence { sequence } => format!("the sequence `{sequence}`"),
    }
}
