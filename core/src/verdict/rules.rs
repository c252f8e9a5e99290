//! The one table of rules: from what changed to what the release before it makes of that.
//!
//! One rule is one file below `rules/`, one page below `docs/rules/`, one id. Rules see the schema before and
//! after and the text of the migration, not the older release's queries.

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
    column_gone,
    column_type_changed,
    constraint_added,
    default_changed,
    default_gone,
    domain_changed,
    enum_values,
    extension_gone,
    function_gone,
    grants_changed,
    not_null_dropped,
    not_null_set,
    opaque_sql,
    partition_changed,
    referenced_by_new_table,
    required_column,
    row_security_changed,
    rows_changed,
    rows_inserted,
    schema_gone,
    sequence_gone,
    table_gone,
    trigger_changed,
    type_gone,
    unique_gone,
    unique_index_added,
    view_gone,
}

/// Id for the reviewed line in a migration.
pub(super) const REVIEWED_LINE: &str = "reviewed-line";
/// Id for a migration that could not be run.
const NOT_RUN: &str = "not-run";

/// Ids that are given outside the rules above, with their pages.
const BESIDE: &[Rule] = &[
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
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    effect: Effect,
    text: String,
}

/// All reasons, in the order of the table.
pub(super) fn reasons(subject: &Subject) -> Vec<Reason> {
    RULES
        .iter()
        .flat_map(|rule| (rule.find)(subject).into_iter().map(move |finding| (rule, finding)))
        .map(|(rule, finding)| Reason { rule: rule.id, effect: finding.effect, text: finding.text })
        .collect()
}

/// The reason for a migration of which nothing was seen.
pub(super) fn not_run(error: Option<&RunFailure>) -> Reason {
    let why = error.map_or_else(|| "it was not tried".to_owned(), RunFailure::placed);
    Reason { rule: NOT_RUN, effect: Effect::Unknown, text: format!("could not run, because {why}") }
}

impl Finding {
    fn assumes(text: String) -> Self {
        Self { effect: Effect::Assumes, text }
    }

    fn unknown(text: String) -> Self {
        Self { effect: Effect::Unknown, text }
    }

    fn breaks(text: String) -> Self {
        Self { effect: Effect::Breaks, text }
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
            Some(if change.is_removed() {
                Finding::breaks(format!("{} {was} is gone", change.kind.word()))
            } else {
                Finding::breaks(format!("{} {was} is called {} now", change.kind.word(), change.name))
            })
        })
        .collect()
}
