//! What the older release's queries use: whom a change can hurt at all.
//!
//! Made from the queries, what planning them came to, and both catalogs. Answers err to one side: a word that
//! could mean an object is taken to mean it, and what a query sets off (triggers, functions, views, rules, the
//! actions of foreign keys, partitions) counts as its own doing.

mod difference;
mod keys;
mod need;
mod reach;
mod refusal;
mod set_off;
mod table;

use std::borrow::Cow;

pub(super) use difference::Difference;
pub(super) use keys::{Event, ForeignKey};
pub(super) use need::{Answer, Fills, Need};
use reach::Reach;
pub use set_off::SetOff;
pub(super) use table::Table;

use super::QueryEvidence;
use crate::queries::{Form, Outcome, QueryRun};
use crate::schema::{Catalog, Name};
use crate::sql::{QueryFacts, QueryWrite, query_facts};

/// The queries of the older release, seen against one pair of schemas.
#[derive(Debug, Clone)]
pub struct Uses {
    queries: Vec<Used>,
    reach: Reach,
    source: String,
    /// They were planned with the rights of this role.
    pub(super) role: Option<String>,
}

/// One query with what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub id: String,
    pub form: Form,
    pub never_null: Vec<String>,
    pub facts: QueryFacts,
    pub before: Outcome,
    pub after: Outcome,
}

/// How a query fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It plans on both schemas.
    Plans,
    /// It planned on the older schema and does not on the newer one.
    Fails,
    /// It did not plan on the older schema either, so it proves nothing.
    Unusable,
    /// It touches no table.
    NoSchema,
}

impl Used {
    pub(super) fn fate(&self) -> Fate {
        match (&self.before, &self.after) {
            (Outcome::NoSchema, _) => Fate::NoSchema,
            (Outcome::Planned { .. }, Outcome::Planned { .. }) => Fate::Plans,
            (Outcome::Planned { .. }, _) => Fate::Fails,
            (Outcome::Failed { .. } | Outcome::NotPlannable, _) => Fate::Unusable,
        }
    }

    /// Does it name the table, as far as words tell? A column's table likewise.
    fn mentions(&self, name: &Name) -> bool {
        self.facts.mentions(bare(&name.object))
    }
}

/// A function's name without its arguments.
fn bare(object: &str) -> &str {
    object.split('(').next().unwrap_or(object)
}

impl Uses {
    /// `source` says where the queries come from; `role` as whom they were planned.
    pub fn new(
        runs: Vec<QueryRun>,
        before: &Catalog,
        after: &Catalog,
        source: String,
        role: Option<String>,
    ) -> Uses {
        let queries: Vec<Used> = runs
            .into_iter()
            .map(|run| Used {
                facts: query_facts(&run.query.sql),
                id: run.query.id,
                form: run.query.form,
                never_null: run.query.never_null,
                before: run.before,
                after: run.after,
            })
            .collect();
        let used = queries.iter().filter(|query| query.fate() != Fate::NoSchema);
        let reach = Reach::from(used.map(|query| &query.facts), before, after);
        Uses { queries, reach, source, role }
    }

    /// The numbers.
    pub fn evidence(&self) -> QueryEvidence {
        let count = |fate: &dyn Fn(&Used) -> bool| self.queries.iter().filter(|query| fate(query)).count();
        QueryEvidence::Yes {
            source: self.source.clone(),
            usable: count(&|query| query.fate() != Fate::Unusable),
            passed: count(&|query| match query.fate() {
                Fate::Plans => query.difference().is_harmless(),
                Fate::NoSchema => true,
                Fate::Fails | Fate::Unusable => false,
            }),
            unusable: count(&|query| query.fate() == Fate::Unusable),
        }
    }

    pub(super) fn queries(&self) -> impl Iterator<Item = &Used> {
        self.queries.iter()
    }

    /// Bodies that queries set off: who, what words are in it, and whether it takes all columns of something.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &reach::Body> {
        self.reach.bodies.iter()
    }

    /// Who sets off SQL that is put together at run time, which may do anything.
    pub(super) fn dynamic(&self) -> Option<&str> {
        self.reach.dynamic.as_deref()
    }

    /// Who mentions this word: a query, or something that a query sets off.
    pub(super) fn reached_by(&self, word: &str) -> Option<Cow<'_, str>> {
        let word = bare(word);
        let direct =
            self.queries.iter().find(|query| query.fate() != Fate::NoSchema && query.facts.mentions(word));
        direct
            .map(|query| Cow::Borrowed(query.id.as_str()))
            .or_else(|| self.indirectly(word).map(Cow::Borrowed))
    }

    /// Who, of what queries set off, mentions this word.
    pub(super) fn indirectly(&self, word: &str) -> Option<&str> {
        let word = bare(word).to_lowercase();
        self.reach.reads.get(&word).or_else(|| self.reach.writes.get(&word)).map(String::as_str)
    }

    /// What queries write to a table.
    pub(super) fn writes<'a>(&'a self, table: &'a Name) -> impl Iterator<Item = (&'a Used, &'a QueryWrite)> {
        self.queries.iter().flat_map(move |query| {
            let of_it = move |write: &&QueryWrite| {
                write.table.name.eq_ignore_ascii_case(&table.object)
                    && write.table.schema.as_ref().is_none_or(|schema| {
                        table.schema.is_empty() || schema.eq_ignore_ascii_case(&table.schema)
                    })
            };
            query.facts.writes.iter().filter(of_it).map(move |write| (query, write))
        })
    }

    /// Is the table written by what queries set off, other than by the actions of foreign keys?
    pub(super) fn written_beyond_keys(&self, table: &Name) -> bool {
        self.written_indirectly(table).is_some() && !self.reach.by_keys.contains(&table.object.to_lowercase())
    }

    /// Who, of what queries set off, may write this table.
    pub(super) fn written_indirectly(&self, table: &Name) -> Option<&str> {
        self.reach.writes.get(&table.object.to_lowercase()).map(String::as_str)
    }
}
