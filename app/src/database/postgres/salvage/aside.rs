//! Puts the moving aside in the place of `DROP TABLE`.

use unship_core::down::Program;
use unship_core::sql::replace_dropped;

use super::Store;
use super::choose::Named;
use super::layout::Form;

/// The down's batches, with those drops replaced that drop nothing but tables which are moved aside.
pub(super) fn batches(program: &Program, named: &Named, stores: &[Store]) -> Vec<String> {
    let moved = |oid: &Option<u32>| {
        let is = |store: &&Store| store.kept.layout.form == Form::Aside && Some(store.shape.oid) == *oid;
        stores.iter().find(is).map(|store| store.kept.id.to_string())
    };
    let replaced = |batch: &String| {
        replace_dropped(batch, |dropped| {
            let (_, oids) = named.drops.iter().find(|(known, _)| known == dropped)?;
            let ids: Vec<String> = oids.iter().map(moved).collect::<Option<_>>()?;
            Some(format!("CALL _unship.move_aside('{{{}}}');", ids.join(",")))
        })
    };
    program.batches.iter().map(replaced).collect()
}
