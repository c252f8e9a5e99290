//! What writing to tables and calling functions sets off in a schema.

use std::collections::BTreeSet;

use super::reach::Reach;
use crate::schema::Catalog;

/// What else is written because some tables are written and some functions called: by triggers, functions, rules,
/// the actions of foreign keys, through views, partitions and children. A name that could mean a table is taken to
/// mean it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetOff {
    /// Names without their schema, in lower case.
    pub writes: BTreeSet<String>,
    /// A body that puts its SQL together while it runs, or that cannot be read, if one is set off.
    pub unreadable: Option<String>,
}

impl SetOff {
    /// `names` are all that is used, in lower case and without schemas; `written` the tables among them that are
    /// written. The schema may be one of the two or on its way from one to the other.
    pub fn by(
        names: &BTreeSet<String>,
        written: &BTreeSet<String>,
        before: &Catalog,
        after: &Catalog,
    ) -> SetOff {
        let reach = Reach::of(
            names.iter().map(String::as_str).collect(),
            written.iter().map(String::as_str).collect(),
            before,
            after,
        );
        SetOff { writes: reach.writes.into_keys().collect(), unreadable: reach.dynamic }
    }
}
