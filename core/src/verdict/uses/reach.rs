//! What queries set off: from the words of queries to the bodies that run because of them, until nothing is added.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bare;
use super::keys::ForeignKey;
use crate::schema::{Catalog, Fact, Kind, Object};
use crate::sql::{QueryFacts, takes_all_columns, takes_trigger_row, words_of};

/// Words of a body that changes rows.
const WRITING: [&str; 7] = ["insert", "update", "delete", "merge", "truncate", "copy", "execute"];

/// Words that were reached beyond the queries' own, each with who mentions it.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    /// In views, defaults, constraints and in bodies that only read.
    pub reads: BTreeMap<String, String>,
    /// In bodies that write, and tables that are written through others.
    pub writes: BTreeMap<String, String>,
    /// Those of the latter that are written by the actions of foreign keys alone.
    pub by_keys: BTreeSet<String>,
    /// Functions and, on SQLite, triggers.
    pub bodies: Vec<Body>,
    /// A body that puts SQL together while it runs, or that cannot be read.
    pub dynamic: Option<String>,
}

/// A body that runs because of a query.
#[derive(Debug, Clone)]
pub(in crate::verdict) struct Body {
    pub by: String,
    pub words: BTreeSet<String>,
    /// Words of the type that it gives.
    pub types: BTreeSet<String>,
    /// It takes all columns of something.
    pub has_star: bool,
    /// It takes NEW or OLD as a whole.
    pub takes_row: bool,
}

impl Body {
    /// May it depend on which columns the table has, without naming one? `is_written` says that a query writes the
    /// table, so that a trigger's NEW and OLD may be rows of it.
    pub fn takes_whole_rows_of(&self, table: &str, is_written: bool) -> bool {
        let table = table.to_lowercase();
        let of_trigger = is_written && (self.words.contains("new") || self.words.contains("old"));
        self.has_star && (self.words.contains(&table) || of_trigger) || self.types.contains(&table)
    }
}

struct Walk<'a> {
    /// The words of queries.
    direct: BTreeSet<&'a str>,
    /// Tables that queries write.
    written: BTreeSet<&'a str>,
    /// Names of functions and sequences, in lower case.
    callable: BTreeSet<String>,
    reach: Reach,
}

impl Reach {
    pub fn from<'a>(
        queries: impl Iterator<Item = &'a QueryFacts>,
        before: &Catalog,
        after: &Catalog,
    ) -> Reach {
        let mut direct = BTreeSet::new();
        let mut written = BTreeSet::new();
        let mut is_dynamic = false;
        for facts in queries {
            // A block of code runs as it stands, and may put SQL together like any body.
            is_dynamic |= facts.verb == "DO" && (facts.mentions("execute") || facts.mentions("language"));
            direct.extend(facts.words.iter().map(String::as_str));
            written.extend(facts.writes.iter().map(|write| write.table.name.as_str()));
        }
        let mut reach = Reach::of(direct, written, before, after);
        if is_dynamic {
            reach.dynamic.get_or_insert("a DO block".to_owned());
        }
        reach
    }

    /// From names that are used and, of those, tables that are written.
    pub fn of(direct: BTreeSet<&str>, written: BTreeSet<&str>, before: &Catalog, after: &Catalog) -> Reach {
        let mut objects: Vec<&Arc<Object>> = before.objects().collect();
        objects.extend(
            after
                .objects()
                .filter(|now| before.get(now.kind, &now.name).is_none_or(|was| was.facts != now.facts)),
        );
        let callable = objects
            .iter()
            .filter(|object| matches!(object.kind, Kind::Function | Kind::Sequence))
            .map(|object| bare(&object.name.object).to_lowercase())
            .collect();
        let mut walk = Walk { direct, written, callable, reach: Reach::default() };
        // Every round but the last takes an object away or adds a word, and of both there are only so many.
        loop {
            let before = (objects.len(), walk.reach.reads.len(), walk.reach.writes.len());
            objects.retain(|object| !walk.take(object));
            if before == (objects.len(), walk.reach.reads.len(), walk.reach.writes.len()) {
                return walk.reach;
            }
        }
    }
}

impl Walk<'_> {
    fn knows(&self, name: &str) -> bool {
        let name = bare(name).to_lowercase();
        self.direct.contains(name.as_str())
            || self.reach.reads.contains_key(&name)
            || self.reach.writes.contains_key(&name)
    }

    fn writes(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.written.contains(name.as_str()) || self.reach.writes.contains_key(&name)
    }

    /// Adds what the object sets off if it is set off itself; false if it may be later.
    fn take(&mut self, object: &Object) -> bool {
        let by = format!("{} {}", object.kind.word(), object.name);
        let fact = |fact| object.fact(fact).unwrap_or_default();
        match object.kind {
            Kind::Function if self.knows(&object.name.object) => {
                let body = words_of(fact(Fact::Body));
                if body.contains("execute") || !is_read(fact(Fact::Options)) {
                    self.reach.dynamic.get_or_insert(by.clone());
                }
                let writes = WRITING.iter().any(|word| body.contains(*word));
                let has_star = takes_all_columns(fact(Fact::Body));
                let types = words_of(fact(Fact::Type));
                let takes_row = takes_trigger_row(fact(Fact::Body));
                self.reach.bodies.push(Body {
                    by: by.clone(),
                    words: body.clone(),
                    types: types.clone(),
                    has_star,
                    takes_row,
                });
                self.add(body, &by, writes);
                self.add(types, &by, false);
                true
            }
            Kind::View | Kind::MaterializedView if self.knows(&object.name.object) => {
                // Rules and triggers may come to a view later; whether it is written is known by then or never.
                let writes = self.writes(&object.name.object);
                self.add(words_of(fact(Fact::Definition)), &by, writes);
                writes
            }
            Kind::Rule if self.knows(&object.name.object) => {
                self.add(words_of(fact(Fact::Definition)), &by, true);
                true
            }
            Kind::Trigger if self.writes(&object.name.object) => {
                let words = words_of(fact(Fact::Definition));
                // SQLite's have their body in them; PostgreSQL's name a function.
                if object.name.schema.is_empty() {
                    let has_star = takes_all_columns(fact(Fact::Definition));
                    let types = BTreeSet::new();
                    self.reach.bodies.push(Body {
                        by: by.clone(),
                        words: words.clone(),
                        types,
                        has_star,
                        takes_row: false,
                    });
                    self.add(words, &by, true);
                } else {
                    self.add_callable(words, &by);
                }
                true
            }
            Kind::Policy | Kind::Index | Kind::Column if self.knows(&object.name.object) => {
                for text in [Fact::Definition, Fact::Default, Fact::Generated] {
                    self.add_callable(words_of(fact(text)), &by);
                }
                true
            }
            Kind::Constraint => self.take_constraint(object, &by),
            // What a query sets off by a type or an operator is not named in it.
            Kind::DomainConstraint | Kind::Other => {
                self.add_callable(words_of(fact(Fact::Definition)), &by);
                true
            }
            Kind::EventTrigger => true,
            Kind::Table | Kind::ForeignTable => self.take_family(object, &by),
            _ => false,
        }
    }

    fn take_constraint(&mut self, object: &Object, by: &str) -> bool {
        let definition = object.fact(Fact::Definition).unwrap_or_default();
        if object.fact(Fact::Sort) != Some("f") {
            if self.knows(&object.name.object) {
                self.add_callable(words_of(definition), by);
                return true;
            }
            return false;
        }
        let Some(key) = ForeignKey::of(object) else { return false };
        if key.acts() && self.writes(&key.target.object) {
            let table = object.name.object.to_lowercase();
            if !self.reach.writes.contains_key(&table) {
                self.reach.by_keys.insert(table.clone());
                self.reach.writes.insert(table, by.to_owned());
            }
            return true;
        }
        false
    }

    /// Partitions and children are read and written through their parents, and the other way round.
    fn take_family(&mut self, object: &Object, by: &str) -> bool {
        let own = object.name.object.to_lowercase();
        let parents = [Fact::PartitionBound, Fact::Inherits].into_iter().filter_map(|fact| object.fact(fact));
        let parents: BTreeSet<String> = parents.flat_map(words_of).filter(|word| *word != own).collect();
        if parents.is_empty() {
            return false;
        }
        let mut done = false;
        if parents.iter().any(|parent| self.writes(parent)) {
            self.add(BTreeSet::from([own.clone()]), by, true);
            done = true;
        } else if parents.iter().any(|parent| self.knows(parent)) {
            self.reach.reads.entry(own.clone()).or_insert_with(|| by.to_owned());
        }
        if self.writes(&own) {
            self.add(parents, by, true);
            done = true;
        }
        done
    }

    fn add_callable(&mut self, words: BTreeSet<String>, by: &str) {
        let callable = words.into_iter().filter(|word| self.callable.contains(word)).collect();
        self.add(callable, by, false);
    }

    fn add(&mut self, words: BTreeSet<String>, by: &str, writes: bool) {
        let map = if writes { &mut self.reach.writes } else { &mut self.reach.reads };
        for word in words {
            if writes {
                self.reach.by_keys.remove(&word);
            }
            map.entry(word).or_insert_with(|| by.to_owned());
        }
    }
}

/// Is the body of such a function text that was read? The options begin with the language.
fn is_read(options: &str) -> bool {
    matches!(options.split(' ').next().unwrap_or_default(), "sql" | "plpgsql" | "")
}
