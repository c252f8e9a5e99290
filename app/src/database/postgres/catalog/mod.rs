//! Reads a PostgreSQL catalog into [`Catalog`], the first time whole, then only what changed.
//!
//! Printing definitions (`pg_get_constraintdef` and its like) is what makes a reading slow. So a later reading
//! first asks for the *pulse*: which objects are there, and which of their catalog rows were written since the
//! base reading (by xmin). Only those are printed again. Printed text also depends on the names of other
//! objects, so a reading that sees something renamed starts over and reads everything.
//!
//! Every text is printed with an empty search path, so names outside `pg_catalog` carry their schema.

mod decode;
mod others;
mod pulse;
mod units;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Address, Catalog, Key, Object};

use decode::Found;
use pulse::Pulse;
use units::Unit;

/// A catalog with what the next reading needs to be quick.
#[derive(Debug, Clone)]
pub struct Reading {
    pub catalog: Catalog,
    /// Which keys came from which unit.
    keys: HashMap<(Unit, u32), Vec<Arc<Key>>>,
    /// Keys of the small catalogs that are read whole every time.
    others: Vec<Arc<Key>>,
    /// How many comments each object had.
    comments: HashMap<u32, u32>,
    /// The first transaction id that was not yet given out. Meaningful for readings outside a transaction.
    next_xid: i64,
    extensions: Vec<String>,
}

/// Reads everything. `conn` must be outside a transaction if the reading is to serve as a base.
pub async fn read(conn: &mut PgConnection) -> Result<Reading, sqlx::Error> {
    prepare(conn).await?;
    let pulse = pulse::take(conn, None).await?;
    read_all(conn, pulse).await
}

/// Reads what changed since `base`, in the same database or a clone of it. May run inside a transaction, whose
/// own changes it sees.
pub async fn read_since(conn: &mut PgConnection, base: &Reading) -> Result<Reading, sqlx::Error> {
    prepare(conn).await?;
    let pulse = pulse::take(conn, Some(base.next_xid)).await?;
    let (others, extensions) = others::read(conn).await?;
    if extensions != base.extensions {
        return read_all(conn, pulse).await;
    }
    let mut next = base.clone();
    next.next_xid = pulse.next_xid;
    let mut again = HashMap::new();
    for unit in Unit::ALL {
        again.insert(unit, changed(base, &pulse, unit));
    }
    pulse::add_dependent_views(conn, base, &mut again).await?;
    for unit in Unit::ALL {
        next.forget_gone(unit, &pulse);
        let Some(oids) = again.get(&unit).filter(|oids| !oids.is_empty()) else { continue };
        let oids: Vec<Oid> = oids.iter().copied().map(Oid).collect();
        let found = units::read(conn, unit, &oids).await?;
        if renames(base, unit, &found) {
            return read_all(conn, pulse).await;
        }
        for oid in &oids {
            next.forget(unit, oid.0);
        }
        next.take_in(unit, found);
    }
    next.comments = pulse.comments;
    next.replace_others(others);
    next.extensions = extensions;
    Ok(next)
}

async fn prepare(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET search_path = pg_catalog, pg_temp").execute(conn).await.map(drop)
}

async fn read_all(conn: &mut PgConnection, mut pulse: Pulse) -> Result<Reading, sqlx::Error> {
    let (others, extensions) = others::read(conn).await?;
    let mut reading = Reading {
        catalog: Catalog::default(),
        keys: HashMap::new(),
        others: Vec::new(),
        comments: std::mem::take(&mut pulse.comments),
        next_xid: pulse.next_xid,
        extensions,
    };
    for unit in Unit::ALL {
        let live: Vec<Oid> = pulse.of(unit).live.iter().copied().map(Oid).collect();
        if live.is_empty() {
            continue;
        }
        let found = units::read(conn, unit, &live).await?;
        reading.take_in(unit, found);
    }
    reading.replace_others(others);
    Ok(reading)
}

/// Oids of a unit to read again: rows written since, comments that came or went, and what was not there.
fn changed(base: &Reading, pulse: &Pulse, unit: Unit) -> HashSet<u32> {
    let state = pulse.of(unit);
    let mut oids = state.written.clone();
    let commented = |oid: &u32| pulse.comments.get(oid) != base.comments.get(oid);
    oids.extend(state.live.iter().filter(|oid| commented(oid)));
    oids.extend(pulse.comments_written.iter().filter(|oid| state.live.contains(oid)));
    oids
}

/// Does something of the base reading carry another name now, so that printed texts elsewhere may differ?
fn renames(base: &Reading, unit: Unit, found: &[Found]) -> bool {
    if !unit.is_named_in_texts() {
        return false;
    }
    let mut now: HashMap<Address, &Object> = HashMap::new();
    for Found { object, .. } in found {
        now.insert(object.address, object);
    }
    found.iter().map(|found| found.oid).collect::<HashSet<u32>>().into_iter().any(|oid| {
        base.keys.get(&(unit, oid)).into_iter().flatten().any(|key| {
            let Some(was) = base.catalog.get(key.kind, &key.name) else { return false };
            now.get(&was.address).is_some_and(|now| now.name != was.name || units::relabelled(was, now))
        })
    })
}

impl Reading {
    fn forget_gone(&mut self, unit: Unit, pulse: &Pulse) {
        let live = &pulse.of(unit).live;
        let gone: Vec<u32> = self
            .keys
            .keys()
            .filter(|(of, oid)| *of == unit && !live.contains(oid))
            .map(|(_, oid)| *oid)
            .collect();
        for oid in gone {
            self.forget(unit, oid);
        }
    }

    fn forget(&mut self, unit: Unit, oid: u32) {
        for key in self.keys.remove(&(unit, oid)).into_iter().flatten() {
            self.catalog.remove(&key, Address { class: unit.class(), oid, sub: 0 });
        }
    }

    fn take_in(&mut self, unit: Unit, found: Vec<Found>) {
        for Found { oid, object } in found {
            let key = self.catalog.insert(object);
            self.keys.entry((unit, oid)).or_default().push(key);
        }
    }

    fn replace_others(&mut self, objects: Vec<Object>) {
        for key in std::mem::take(&mut self.others) {
            if let Some(address) = self.catalog.get(key.kind, &key.name).map(|object| object.address) {
                self.catalog.remove(&key, address);
            }
        }
        for object in objects {
            let key = self.catalog.insert(object);
            self.others.push(key);
        }
    }

    /// Is there an object at this address?
    fn knows(&self, unit: Unit, oid: u32) -> bool {
        self.keys.contains_key(&(unit, oid))
    }
}
