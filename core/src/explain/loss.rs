//! What a step down destroys, in words.

use crate::down::{Loss, LossKind};
use crate::sql::ObjectName;

/// A loss on one line: what it is, how many rows it touches, and whether it can be put back.
pub fn loss(loss: &Loss) -> String {
    let Loss { kind, rows, affected, since_deploy, .. } = loss;
    let table = table_name(kind.table());
    let mut text = match kind {
        LossKind::Table { .. } => format!("drops table {table} with {}", rows_word(*rows)),
        LossKind::Column { column, .. } => {
            format!(
                "drops column {table}.{column}: {} of {} with a value of their own",
                affected,
                rows_word(*rows)
            )
        }
        LossKind::Rewritten { column, from, to, .. } if from == to => {
            format!("computes the values of column {table}.{column} anew: {}", rows_word(*affected))
        }
        LossKind::Rewritten { column, from, to, .. } => {
            format!("writes column {table}.{column} as {to} in place of {from}: {}", rows_word(*affected))
        }
        LossKind::Sequence { .. } => format!("sends sequence {table} back, or drops it"),
        LossKind::Rows { .. } => {
            format!("changes or deletes rows of {table}: {} at most", rows_word(*affected))
        }
    };
    if let Some(since) = since_deploy {
        text = format!("{text}, {since} of them written since the deploy");
    }
    text
}

/// As people call it: `public` is left out.
fn table_name(table: &ObjectName) -> String {
    match table.schema.as_deref() {
        Some("public") => table.name.clone(),
        _ => table.to_string(),
    }
}

fn rows_word(count: u64) -> String {
    if count == 1 { "1 row".into() } else { format!("{count} rows") }
}
