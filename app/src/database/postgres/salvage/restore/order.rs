//! In which order stores are put back: whole tables and rows before columns, and a table after those it refers to.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::down::LossKind;

use super::table::Target;
use crate::database::postgres::salvage::failed;
use crate::database::postgres::salvage::layout::Kept;
use crate::ports::DatabaseFailure;

/// Sorts both lists alike. True if tables refer to each other in a circle: then their foreign keys have to wait.
pub(super) async fn sort(
    conn: &mut PgConnection,
    stores: &mut Vec<Kept>,
    targets: &mut Vec<Target>,
) -> Result<bool, DatabaseFailure> {
    let oids: Vec<Oid> = targets.iter().map(|target| Oid(target.shape.oid)).collect();
    let refers: Vec<(Oid, Oid)> = sqlx::query_as(
        "SELECT conrelid, confrelid FROM pg_constraint
        WHERE contype = 'f' AND conrelid = ANY ($1) AND confrelid = ANY ($1) AND conrelid <> confrelid",
    )
    .bind(oids)
    .fetch_all(conn)
    .await
    .map_err(|error| failed("reading the foreign keys", &error))?;
    let refers: Vec<(u32, u32)> = refers.into_iter().map(|(from, to)| (from.0, to.0)).collect();
    let (depths, has_cycle) = depths(targets.iter().map(|target| target.shape.oid), &refers);
    let mut both: Vec<(Kept, Target)> = stores.drain(..).zip(targets.drain(..)).collect();
    both.sort_by_key(|(kept, target)| {
        let is_column = matches!(kept.kind, LossKind::Column { .. } | LossKind::Rewritten { .. });
        (is_column, depths.get(&target.shape.oid).copied().unwrap_or_default(), kept.id)
    });
    for (kept, target) in both {
        stores.push(kept);
        targets.push(target);
    }
    Ok(has_cycle)
}

/// How many tables stand between each and one that refers to none; whether there is a circle.
fn depths(tables: impl Iterator<Item = u32>, refers: &[(u32, u32)]) -> (BTreeMap<u32, usize>, bool) {
    let mut depths: BTreeMap<u32, usize> = tables.map(|table| (table, 0)).collect();
    for _ in 0..depths.len() {
        let mut changed = false;
        for (from, to) in refers {
            let wanted = depths.get(to).copied().unwrap_or_default() + 1;
            if let Some(depth) = depths.get_mut(from).filter(|depth| **depth < wanted) {
                *depth = wanted;
                changed = true;
            }
        }
        if !changed {
            return (depths, false);
        }
    }
    let has_cycle = !refers.is_empty();
    (depths, has_cycle)
}

#[cfg(test)]
mod tests {
    use super::depths;

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        let (found, has_cycle) = depths([1, 2, 3, 4].into_iter(), &[(1, 2), (2, 3), (1, 3)]);
        assert!(!has_cycle);
        assert!(found[&3] < found[&2] && found[&2] < found[&1]);
        assert!(depths([1, 2].into_iter(), &[(1, 2), (2, 1)]).1);
        assert!(!depths([1].into_iter(), &[]).1);
    }
}
