//! The one table of rules: from what changed to what the release before it makes of that.
//!
//! One rule is one file below `rules/`, one page below `docs/rules/`, one id. Rules see the schema before and
//! after, the text of the migration and, where they are known, the older release's queries: what no query comes to
//! does no harm.

use super::limits::printed;
use super::uses::{Answer, Need, Uses};
use super::{Effect, Reason, RunFailure};
use crate::schema::{Catalog, Change, Fact, Kind, Name, Object};
use crate::sql::{Dml, Facts};

/// Declares the modules and the table together, so that neither can miss one.
macro_rules! rules {
    ($($name:ident,)*) => {
        $(mod $name;)*
        const RULES: &[Rule] = &[$($name::RULE),*];
    };
}

rules! {
    body_changed,
    body_sees_new_column,
    column_gone,
    column_type_changed,
    composite_changed,
    computed_from_writes,
    constraint_added,
    constraint_gone,
    default_changed,
    default_gone,
    domain_changed,
    enum_values,
    extension_gone,
    function_gone,
    function_overloaded,
    grants_changed,
    insert_without_columns,
    natural_join,
    no_replica_identity,
    not_null_dropped,
    not_null_set,
    object_changed,
    opaque_sql,
    owner_changed,
    partition_changed,
    query_columns_changed,
    query_fails,
    query_types_changed,
    query_unusable,
    referenced_by_new_table,
    required_column,
    role_changed,
    row_security_changed,
    rows_changed,
    rows_inserted,
    schema_gone,
    sequence_changed,
    sequence_gone,
    sequence_set,
    star_in_write,
    table_gone,
    trigger_changed,
    type_gone,
    unique_gone,
    unique_index_added,
    view_gone,
    view_left_empty,
}

/// Id for the reviewed line in a migration.
pub(super) const REVIEWED_LINE: &str = "reviewed-line";
/// Ids for what the history of migrations shows.
pub(super) const MIGRATION_EDITED: &str = "migration-edited";
pub(super) const MIGRATION_ORDER: &str = "migration-order";
/// Id for a live database that is not what its migrations make.
pub const LIVE_DRIFT: &str = "live-drift";
/// Id for a migration that could not be run.
pub(super) const NOT_RUN: &str = "not-run";

/// Ids that are given outside the rules above, with their pages.
const BESIDE: &[Rule] = &[
    Rule {
        id: LIVE_DRIFT,
        title: "A touched object is not in the live database as the migrations leave it",
        page: include_str!("../../../docs/rules/live-drift.md"),
        find: |_| Vec::new(),
    },
    Rule {
        id: MIGRATION_EDITED,
        title: "A migration was changed after its release",
        page: include_str!("../../../docs/rules/migration-edited.md"),
        find: |_| Vec::new(),
    },
    Rule {
        id: MIGRATION_ORDER,
        title: "A new migration sorts before released ones",
        page: include_str!("../../../docs/rules/migration-order.md"),
        find: |_| Vec::new(),
    },
    Rule {
        id: NOT_RUN,
        title: "The migration could not be run",
        page: include_str!("../../../docs/rules/not-run.md"),
        find: |_| Vec::new(),
    },
    Rule {
        id: REVIEWED_LINE,
        title: "Somebody wrote the answer into the migration",
        page: include_str!("../../../docs/rules/reviewed-line.md"),
        find: |_| Vec::new(),
    },
];

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// As it stands in reasons: lower case with dashes.
    pub id: &'static str,
    /// What it finds, in one sentence without a full stop.
    pub title: &'static str,
    /// Its page, in Markdown.
    pub page: &'static str,
    find: fn(&Subject) -> Vec<Finding>,
}

/// Every rule, by id.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().chain(BESIDE)
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub before: &'a Catalog,
    pub after: &'a Catalog,
    pub changes: &'a [Change],
    pub facts: &'a Facts,
    /// What the older release's queries use, if any are known.
    pub uses: Option<&'a Uses>,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    effect: Effect,
    text: String,
    /// What the older release's queries can say about it: if all of it holds, the finding is an assumption.
    needs: Vec<Need>,
}

/// Does this rule look at what a script says, rather than at what catalogs show?
pub(super) fn reads_the_script(id: &str) -> bool {
    [
        opaque_sql::RULE.id,
        owner_changed::RULE.id,
        role_changed::RULE.id,
        rows_changed::RULE.id,
        rows_inserted::RULE.id,
        sequence_set::RULE.id,
        view_left_empty::RULE.id,
    ]
    .contains(&id)
}

/// Does this rule say how a query fared, rather than what a change does?
pub(super) fn is_about_a_query(id: &str) -> bool {
    [
        query_fails::RULE.id,
        query_types_changed::RULE.id,
        query_columns_changed::RULE.id,
        query_unusable::RULE.id,
    ]
    .contains(&id)
}

/// All reasons, in the order of the table.
pub(super) fn reasons(subject: &Subject) -> Vec<Reason> {
    RULES
        .iter()
        .flat_map(|rule| (rule.find)(subject).into_iter().map(move |finding| (rule, finding)))
        .map(|(rule, finding)| {
            let (effect, text) = finding.settled(subject);
            Reason { rule: rule.id.into(), effect, text }
        })
        .collect()
}

/// The reason for a migration of which nothing was seen.
pub(super) fn not_run(error: Option<&RunFailure>) -> Reason {
    let why = error.map_or_else(|| "it was not tried".to_owned(), RunFailure::placed);
    Reason { rule: NOT_RUN.into(), effect: Effect::Unknown, text: format!("could not run, because {why}") }
}

impl Finding {
    fn assumes(text: String) -> Self {
        Self { effect: Effect::Assumes, text, needs: Vec::new() }
    }

    fn unknown(text: String) -> Self {
        Self { effect: Effect::Unknown, text, needs: Vec::new() }
    }

    fn breaks(text: String) -> Self {
        Self { effect: Effect::Breaks, text, needs: Vec::new() }
    }

    /// Says what the queries would have to leave alone.
    fn needing(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    /// With what the queries say, if any are known.
    fn settled(self, subject: &Subject) -> (Effect, String) {
        let Some(uses) = subject.uses.filter(|_| !self.needs.is_empty()) else {
            return (self.effect, self.text);
        };
        let answers: Vec<Answer> = self.needs.iter().map(|need| uses.answer(need, subject.after)).collect();
        let broken = answers.iter().find_map(|answer| match answer {
            Answer::Broken(who) => Some((Effect::Breaks, who)),
            _ => None,
        });
        let open = || {
            answers.iter().find_map(|answer| match answer {
                Answer::Open(why) => Some((Effect::Unknown, why)),
                _ => None,
            })
        };
        let holds = || {
            answers.iter().find_map(|answer| match answer {
                Answer::Holds(why) => Some((Effect::Assumes, why)),
                _ => None,
            })
        };
        match broken.or_else(open).or_else(holds) {
            Some((effect, why)) => (effect, format!("{}; {why}", self.text)),
            None => (self.effect, self.text),
        }
    }
}

impl<'a> Subject<'a> {
    fn touched(&self, kinds: &[Kind]) -> impl Iterator<Item = &'a Change> {
        self.changes.iter().filter(move |change| kinds.contains(&change.kind))
    }

    fn added(&self, kinds: &[Kind]) -> impl Iterator<Item = &'a Object> {
        self.touched(kinds)
            .filter(|change| change.is_added())
            .filter_map(|change| change.now().map(|now| &**now))
    }

    /// Parts that are new on tables which the older release may write: of those that were there, and of new ones that
    /// are written through what was there.
    fn added_where_written(&self, kind: Kind) -> impl Iterator<Item = &'a Object> {
        let subject = *self;
        let renamed: Vec<(&Name, &Name)> = self
            .touched(&Kind::RELATIONS)
            .filter_map(|change| Some((change.was()?, change.now()?)))
            .map(|(was, now)| (&was.name, &now.name))
            .filter(|(was, now)| was != now)
            .collect();
        // What belongs to a new table is no change of its own, and what belongs to a renamed one was there.
        let of_new = self
            .after
            .objects()
            .filter(move |object| object.kind == kind && subject.before.relation(&object.name).is_none());
        let added = self.changes.iter().filter(move |change| change.kind == kind && change.is_added());
        let added = added
            .filter_map(|change| change.now())
            .filter(move |part| subject.before.relation(&part.name).is_some());
        let was_there = move |part: &Object| {
            renamed.iter().any(|(was, now)| {
                let older = Name { part: part.name.part.clone(), ..(*was).clone() };
                **now == part.name.parent() && subject.before.get(kind, &older).is_some()
            })
        };
        added
            .chain(of_new)
            .map(|object| &**object)
            .filter(move |part| !was_there(part) && subject.is_written(part))
    }

    /// Is this a part of a table that the older release may write? Of one that was there, or of a new one that is
    /// written through what was there: as a partition or child, through a view, by a function. What a new partition
    /// has from its parent is said of the parent.
    fn is_written(&self, part: &Object) -> bool {
        let table = part.name.parent();
        if self.before.has_table(&table) {
            return true;
        }
        let Some(now) = self.after.relation(&table) else { return false };
        let parents = [Fact::PartitionBound, Fact::Inherits].into_iter().filter_map(|fact| now.fact(fact));
        let parents: Vec<String> = parents.flat_map(crate::sql::words_of).collect();
        let is_parent = |other: &Object| parents.contains(&other.name.object.to_lowercase());
        let is_reached = match self.uses {
            Some(uses) => uses.written_beyond_keys(&table),
            None => {
                self.before.objects().any(|other| Kind::RELATIONS.contains(&other.kind) && is_parent(other))
            }
        };
        let is_alike = |other: &Object| match part.kind {
            Kind::Column => {
                let facts = [Fact::NotNull, Fact::Generated];
                other.name.part == part.name.part
                    && facts.iter().all(|fact| other.fact(*fact) == part.fact(*fact))
            }
            _ => printed(other) == printed(part),
        };
        let is_of_parent = |other: &Object| other.kind == part.kind && is_parent(other) && is_alike(other);
        is_reached && !self.after.objects().any(|other| is_of_parent(other))
    }

    /// The constraints of a domain.
    fn limits_of(&self, domain: &'a Object) -> impl Iterator<Item = &'a Object> {
        let of_it = |object: &&std::sync::Arc<Object>| {
            object.kind == Kind::DomainConstraint && object.name.parent() == domain.name
        };
        self.after.objects().filter(of_it).map(|object| &**object)
    }

    fn removed(&self, kinds: &[Kind]) -> impl Iterator<Item = &'a Object> {
        self.touched(kinds)
            .filter(|change| change.is_removed())
            .filter_map(|change| change.was().map(|was| &**was))
    }

    /// Changes of one fact, with its older and newer value; empty where there was none.
    fn altered(&self, kinds: &[Kind], fact: Fact) -> impl Iterator<Item = (&'a Change, &'a str, &'a str)> {
        self.touched(kinds).filter_map(move |change| {
            let (of, was, now) = change.altered()?;
            (of == fact).then_some((change, was.unwrap_or_default(), now.unwrap_or_default()))
        })
    }

    /// Everything through which a query may come to values of a type: the type's own name, those of types that are
    /// made of it, and the tables that have a column of one of them.
    fn ways_to_type(&self, name: &Name) -> Vec<Need> {
        let mut words = vec![name.object.clone()];
        let mut at = 0;
        while let Some(word) = words.get(at).cloned() {
            let made_of_it = self.before.objects().filter(|object| {
                let of_type = match object.kind {
                    Kind::Column | Kind::Domain => object.fact(Fact::Type),
                    Kind::Composite | Kind::Range => object.fact(Fact::Definition),
                    _ => None,
                };
                of_type.is_some_and(|of_type| of_type.contains(word.as_str()))
            });
            let new: Vec<String> = made_of_it.map(|object| object.name.object.clone()).collect();
            for word in new {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            at += 1;
        }
        let what = format!("values of {name}");
        words.into_iter().map(|word| Need::Unreached { word, what: what.clone() }).collect()
    }

    /// Everything through which a query may take a number from a sequence: its own name, and the tables that have a
    /// column which it fills.
    fn ways_to_sequence(&self, sequence: &Object) -> Vec<Need> {
        let name = &sequence.name;
        let owner = sequence.fact(Fact::OwnedBy).and_then(|column| column.rsplit('.').nth(1));
        let filled = self.before.objects().filter(|object| {
            object.kind == Kind::Column
                && object.fact(Fact::Default).is_some_and(|default| default.contains(name.object.as_str()))
        });
        let mut words: Vec<String> = filled.map(|column| column.name.object.clone()).collect();
        words.extend(owner.map(str::to_owned));
        words.push(name.object.clone());
        // `nextval($1)` may mean any.
        let by_parameter = |uses: &Uses| {
            uses.queries().any(|query| query.facts.parameters > 0 && query.facts.calls.contains("nextval"))
        };
        words.extend(self.uses.is_some_and(by_parameter).then(|| "nextval".to_owned()));
        words.sort();
        words.dedup();
        let what = format!("numbers of {name}");
        words.into_iter().map(|word| Need::Unreached { word, what: what.clone() }).collect()
    }

    /// Row changes, without those in tables that this migration creates.
    fn rows(&self) -> impl Iterator<Item = &'a Dml> {
        let (before, after) = (self.before, self.after);
        self.facts.dml().filter(move |dml| {
            let Some(table) = &dml.table else { return true };
            let named = |catalog: &Catalog| {
                catalog.objects().any(|object| {
                    Kind::RELATIONS.contains(&object.kind)
                        && object.name.object == table.name
                        && table.schema.as_ref().is_none_or(|schema| *schema == object.name.schema)
                })
            };
            // A name that is in neither catalog is a temporary table, or one that was dropped again.
            named(before) || (!named(after) && table.schema.is_some())
        })
    }
}

/// Names of these kinds that are not there any more.
fn gone(subject: &Subject, kinds: &[Kind]) -> Vec<Finding> {
    subject
        .touched(kinds)
        .filter_map(|change| {
            let was: &Name = change.takes_a_name_away()?;
            let text = if change.is_removed() {
                format!("{} {was} is gone", change.kind.word())
            } else {
                format!("{} {was} is called {} now", change.kind.word(), change.name)
            };
            Some(Finding::breaks(text).needing(Need::Unnamed { kind: change.kind, name: was.clone() }))
        })
        .collect()
}
