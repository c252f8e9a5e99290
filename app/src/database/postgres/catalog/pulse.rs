//! Which objects are there, and which were written since a transaction id: cheap, because it prints nothing.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::Reading;
use super::units::Unit;

/// The state of one unit.
#[derive(Debug, Default)]
pub(super) struct State {
    pub live: HashSet<u32>,
    pub written: HashSet<u32>,
}

#[derive(Debug)]
pub(super) struct Pulse {
    pub next_xid: i64,
    pub comments: HashMap<u32, u32>,
    pub comments_written: HashSet<u32>,
    states: HashMap<Unit, State>,
}

impl Pulse {
    pub fn of(&self, unit: Unit) -> &State {
        &self.states[&unit]
    }
}

/// `$1` is the age of the oldest row that counts as written. Oids below 16384 are PostgreSQL's own; the schema
/// `public` (2200) is the one exception that users change.
const LIVE_AND_WRITTEN: &str = "
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint
, (SELECT array_agg(oid) FROM pg_namespace WHERE oid >= 16384 OR oid = 2200)
, (SELECT array_agg(oid) FROM pg_namespace WHERE (oid >= 16384 OR oid = 2200) AND age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_class WHERE oid >= 16384 AND relkind NOT IN ('i', 'I', 't'))
, ARRAY(
    SELECT oid FROM pg_class WHERE oid >= 16384 AND relkind NOT IN ('i', 'I', 't') AND age(xmin) <= w.age
    UNION SELECT attrelid FROM pg_attribute WHERE attrelid >= 16384 AND age(xmin) <= w.age
    UNION SELECT adrelid FROM pg_attrdef WHERE age(xmin) <= w.age
    UNION SELECT inhrelid FROM pg_inherits WHERE age(xmin) <= w.age
    UNION SELECT seqrelid FROM pg_sequence WHERE age(xmin) <= w.age
    UNION SELECT ev_class FROM pg_rewrite WHERE oid >= 16384 AND age(xmin) <= w.age
    UNION SELECT ftrelid FROM pg_foreign_table WHERE age(xmin) <= w.age
    UNION SELECT partrelid FROM pg_partitioned_table WHERE age(xmin) <= w.age
    UNION SELECT objid FROM pg_depend WHERE classid = 1259 AND objid >= 16384 AND refclassid = 1259
        AND deptype IN ('a', 'i') AND age(xmin) <= w.age)
, (SELECT array_agg(indexrelid) FROM pg_index WHERE indexrelid >= 16384)
, ARRAY(
    SELECT indexrelid FROM pg_index WHERE indexrelid >= 16384 AND age(xmin) <= w.age
    UNION SELECT oid FROM pg_class WHERE oid >= 16384 AND relkind IN ('i', 'I') AND age(xmin) <= w.age
    UNION SELECT conindid FROM pg_constraint WHERE oid >= 16384 AND conindid <> 0 AND age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_type WHERE oid >= 16384 AND typtype IN ('e', 'd', 'r', 'b'))
, ARRAY(
    SELECT oid FROM pg_type WHERE oid >= 16384 AND typtype IN ('e', 'd', 'r', 'b') AND age(xmin) <= w.age
    UNION SELECT enumtypid FROM pg_enum WHERE age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_proc WHERE oid >= 16384)
, (SELECT array_agg(oid) FROM pg_proc WHERE oid >= 16384 AND age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_constraint WHERE oid >= 16384)
, (SELECT array_agg(oid) FROM pg_constraint WHERE oid >= 16384 AND age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_trigger WHERE oid >= 16384 AND NOT tgisinternal)
, (SELECT array_agg(oid) FROM pg_trigger WHERE oid >= 16384 AND NOT tgisinternal AND age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_policy)
, (SELECT array_agg(oid) FROM pg_policy WHERE age(xmin) <= w.age)
, (SELECT array_agg(oid) FROM pg_rewrite WHERE oid >= 16384 AND rulename <> '_RETURN')
, (SELECT array_agg(oid) FROM pg_rewrite WHERE oid >= 16384 AND rulename <> '_RETURN' AND age(xmin) <= w.age)
, (SELECT array_agg(objoid) FROM pg_description WHERE objoid >= 16384)
, (SELECT array_agg(objoid) FROM pg_description WHERE objoid >= 16384 AND age(xmin) <= w.age)
FROM (SELECT age($1::text::xid) AS age) w";

/// Takes the pulse. Without `since`, nothing counts as written.
pub(super) async fn take(conn: &mut PgConnection, since: Option<i64>) -> Result<Pulse, sqlx::Error> {
    // A transaction id is 32 bits on disk; the counter that is read has the epoch in front.
    let since = since.map(|xid| (xid & 0xffff_ffff).to_string());
    let row = sqlx::query(LIVE_AND_WRITTEN).bind(since).fetch_one(conn).await?;
    let oids = |index: usize| -> Result<Vec<u32>, sqlx::Error> {
        let oids: Option<Vec<Oid>> = row.try_get(index)?;
        Ok(oids.into_iter().flatten().map(|oid| oid.0).collect())
    };
    let mut states = HashMap::new();
    for (place, unit) in Unit::ALL.into_iter().enumerate() {
        let live = oids(1 + 2 * place)?.into_iter().collect();
        let written = oids(2 + 2 * place)?.into_iter().collect();
        states.insert(unit, State { live, written });
    }
    let after_units = 1 + 2 * Unit::ALL.len();
    let mut comments = HashMap::new();
    for oid in oids(after_units)? {
        *comments.entry(oid).or_insert(0) += 1;
    }
    let comments_written = oids(after_units + 1)?.into_iter().collect();
    Ok(Pulse { next_xid: row.try_get(0)?, comments, comments_written, states })
}

const VIEWS_ON: &str = "
SELECT DISTINCT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
WHERE d.classid = 2618 AND d.refclassid = 1259 AND d.refobjid = ANY($1) AND r.ev_class <> d.refobjid";

/// The text of a view can change with the columns of the tables below it, so views on relations that are read
/// again are read again too, and views on those.
pub(super) async fn add_dependent_views(
    conn: &mut PgConnection,
    base: &Reading,
    again: &mut HashMap<Unit, HashSet<u32>>,
) -> Result<(), sqlx::Error> {
    let Some(relations) = again.get_mut(&Unit::Relation) else { return Ok(()) };
    let mut fresh: Vec<Oid> =
        relations.iter().filter(|oid| base.knows(Unit::Relation, **oid)).copied().map(Oid).collect();
    while !fresh.is_empty() {
        let views: Vec<Oid> = sqlx::query_scalar(VIEWS_ON).bind(&fresh).fetch_all(&mut *conn).await?;
        fresh = views.into_iter().filter(|view| relations.insert(view.0)).collect();
    }
    Ok(())
}
