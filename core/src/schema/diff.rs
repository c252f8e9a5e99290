//! Two readings to named changes.
//!
//! Objects are matched by kind and name, as a program that uses the database does. The address inside one
//! database only turns "gone here, new there" into a rename. What belongs to a table that came, went or was
//! renamed is not listed again, except triggers and policies of a new table: those act.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::change::{Change, What};
use super::{Address, Catalog, Fact, Kind, Name, Object};

/// The changes that lead from `old` to `new`, in the order of kinds and names; empty if they agree.
pub fn diff(old: &Catalog, new: &Catalog) -> Vec<Change> {
    let (removed, added, kept) = split(old, new);
    let renamed = pair_renames(&removed, &added, old, new);
    let mut changes = Vec::new();
    for was in &removed {
        if !renamed.iter().any(|(from, _)| Arc::ptr_eq(from, was)) && !goes_with_parent(was, new, &renamed) {
            changes.push(change(What::Removed { was: Arc::clone(was) }, was));
        }
    }
    for (was, now) in &renamed {
        if !moved_with_parent(was, now, &renamed) {
            changes.push(change(What::Renamed { was: Arc::clone(was), now: Arc::clone(now) }, now));
        }
        alterations(was, now, &mut changes);
    }
    for now in &added {
        if renamed.iter().any(|(_, to)| Arc::ptr_eq(to, now)) {
            continue;
        }
        let comes_with_parent = goes_with_parent(now, old, &renamed);
        if !comes_with_parent || matches!(now.kind, Kind::Trigger | Kind::Policy) {
            changes.push(change(What::Added { now: Arc::clone(now) }, now));
        }
    }
    for (was, now) in &kept {
        alterations(was, now, &mut changes);
    }
    reorders(old, new, &kept, &mut changes);
    changes.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    changes
}

type Objects = Vec<Arc<Object>>;
type Pairs = Vec<(Arc<Object>, Arc<Object>)>;

/// Names only in `old`, names only in `new`, and pairs that differ under the same name.
fn split(old: &Catalog, new: &Catalog) -> (Objects, Objects, Pairs) {
    let (mut removed, mut added, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let (mut olds, mut news) = (old.entries().iter().peekable(), new.entries().iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((was, _)), Some((now, _))) if Arc::ptr_eq(was, now) => std::cmp::Ordering::Equal,
            (Some((was, _)), Some((now, _))) => was.cmp(now),
        };
        match order {
            std::cmp::Ordering::Less => removed.extend(olds.next().map(|(_, was)| Arc::clone(was))),
            std::cmp::Ordering::Greater => added.extend(news.next().map(|(_, now)| Arc::clone(now))),
            std::cmp::Ordering::Equal => {
                if let (Some((_, was)), Some((_, now))) = (olds.next(), news.next())
                    && !Arc::ptr_eq(was, now)
                {
                    kept.push((Arc::clone(was), Arc::clone(now)));
                }
            }
        }
    }
    (removed, added, kept)
}

/// Pairs of one gone and one new object that are the same thing: same address, or, for a constraint or an
/// index, the same definition on the same table (dropped and added again under another name).
fn pair_renames(removed: &[Arc<Object>], added: &[Arc<Object>], old: &Catalog, new: &Catalog) -> Pairs {
    let mut at: HashMap<(Kind, Address), &Arc<Object>> = HashMap::new();
    for now in added {
        if now.address != Address::default() {
            at.insert((now.kind, now.address), now);
        }
    }
    let mut pairs: Pairs = Vec::new();
    let mut left = Vec::new();
    for was in removed {
        match at.remove(&(was.kind, was.address)) {
            Some(now) => pairs.push((Arc::clone(was), Arc::clone(now))),
            None => left.push(was),
        }
    }
    let taken: BTreeSet<*const Object> = pairs.iter().map(|(_, now)| Arc::as_ptr(now)).collect();
    let mut same: HashMap<(Kind, Name, String), &Arc<Object>> = HashMap::new();
    for now in added.iter().filter(|now| !taken.contains(&Arc::as_ptr(now))) {
        if let Some(text) = comparable(now).filter(|_| old.relation(&now.name).is_some()) {
            same.insert((now.kind, now.name.parent(), text), now);
        }
    }
    for was in left {
        let Some(text) = comparable(was).filter(|_| new.relation(&was.name).is_some()) else { continue };
        if let Some(now) = same.remove(&(was.kind, was.name.parent(), text)) {
            pairs.push((Arc::clone(was), Arc::clone(now)));
        }
    }
    pairs
}

/// What a constraint or an index does, without its name.
fn comparable(object: &Object) -> Option<String> {
    matches!(object.kind, Kind::Constraint | Kind::Index)
        .then(|| object.fact(Fact::Definition).map(str::to_owned))
        .flatten()
}

/// Does the thing that `part` belongs to not exist in the other reading, under this name or another? Then it says
/// it all.
fn goes_with_parent(part: &Object, other: &Catalog, renamed: &Pairs) -> bool {
    let parent = part.name.parent();
    let is_parent = |object: &Object| !object.kind.is_part() && object.name == parent;
    if !part.kind.is_part() || renamed.iter().any(|(was, now)| is_parent(was) || is_parent(now)) {
        return false;
    }
    match part.kind {
        Kind::DomainConstraint => other.get(Kind::Domain, &parent).is_none(),
        _ => other.relation(&part.name).is_none(),
    }
}

/// Is this rename only that of the table or schema around it?
fn moved_with_parent(was: &Object, now: &Object, renamed: &Pairs) -> bool {
    let around = |kinds: &[Kind], from: &Name, to: &Name| {
        renamed.iter().any(|(a, b)| kinds.contains(&a.kind) && &a.name == from && &b.name == to)
    };
    if was.kind.is_part() && was.name.part == now.name.part {
        let kinds = [&Kind::RELATIONS[..], &[Kind::Domain]].concat();
        return around(&kinds, &was.name.parent(), &now.name.parent());
    }
    was.name.object == now.name.object
        && around(&[Kind::Schema], &Name::global(&*was.name.schema), &Name::global(&*now.name.schema))
}

/// One change per fact that differs.
fn alterations(was: &Arc<Object>, now: &Arc<Object>, changes: &mut Vec<Change>) {
    if was.facts == now.facts {
        return;
    }
    let facts: BTreeSet<Fact> = was.facts.keys().chain(now.facts.keys()).copied().collect();
    for fact in facts {
        if was.facts.get(&fact) != now.facts.get(&fact) {
            changes.push(change(What::Altered { was: Arc::clone(was), now: Arc::clone(now), fact }, now));
        }
    }
}

/// Tables whose common columns stand in another order. Only columns whose own entry differs can have moved, so
/// only their tables are looked at.
fn reorders(old: &Catalog, new: &Catalog, kept: &Pairs, changes: &mut Vec<Change>) {
    let tables: BTreeSet<Name> = kept
        .iter()
        .filter(|(was, now)| was.kind == Kind::Column && was.position != now.position)
        .map(|(_, now)| now.name.parent())
        .filter(|table| new.has_table(table) && old.has_table(table))
        .collect();
    for table in tables {
        let (was, now) = (positions(old, &table), positions(new, &table));
        let common = |all: &BTreeMap<String, i32>, other: &BTreeMap<String, i32>| {
            let mut names: Vec<(i32, String)> = all
                .iter()
                .filter(|(name, _)| other.contains_key(*name))
                .map(|(name, position)| (*position, name.clone()))
                .collect();
            names.sort();
            names.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
        };
        if common(&was, &now) != common(&now, &was)
            && let Some(relation) = new.relation(&table)
        {
            changes.push(change(What::Reordered { now: Arc::clone(relation) }, relation));
        }
    }
}

fn positions(catalog: &Catalog, table: &Name) -> BTreeMap<String, i32> {
    let from = super::Key { kind: Kind::Column, name: Name { part: Some(String::new()), ..table.clone() } };
    catalog
        .entries()
        .range(Arc::new(from)..)
        .take_while(|(key, _)| {
            key.kind == Kind::Column && key.name.schema == table.schema && key.name.object == table.object
        })
        .filter_map(|(key, column)| Some((key.name.part.clone()?, column.position)))
        .collect()
}

fn change(what: What, object: &Object) -> Change {
    Change { what, kind: object.kind, name: object.name.clone() }
}
