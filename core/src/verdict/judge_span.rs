//! The verdict on a span: the rules on the schema before its first migration and after its last, settled by what
//! the older release's queries use.
//!
//! What a later migration takes back is no difference of the span, and what one adds and another one narrows was
//! never there for the older release. So the span is judged as one step, and only what a script did to rows is
//! looked at migration by migration.

use std::collections::BTreeSet;

use super::rules::{self, Subject};
use super::{
    Boot, Effect, QueryEvidence, Reason, SpanMigration, SpanVerdict, StepReport, TableLock, Told, UpClass,
    Uses, Verdict,
};
use crate::schema::{Catalog, Change, What, diff};
use crate::sql::Facts;
use crate::tools::{Changed, Migration, NoteKind, SpanMigrations};

/// How to have queries looked at, for people.
pub const HOW_TO_GIVE_QUERIES: &str = "name the older release's queries in `[queries]` of unship.toml or with \
    `--queries`: sqlx's .sqlx folder, sqlc's query files, a folder of .sql files, or an export of \
    pg_stat_statements";

/// What a span is judged by.
#[derive(Debug, Clone, Copy)]
pub struct SpanEvidence<'a> {
    /// The schema that the older release leaves.
    pub before: &'a Catalog,
    /// The schema that the newer one leaves.
    pub after: &'a Catalog,
    /// The migrations between them, oldest first, with what they say and how each went.
    pub steps: &'a [SpanStep<'a>],
    pub compared: Option<&'a SpanMigrations<'a>>,
    pub uses: Option<&'a Uses>,
    pub boot: &'a Boot,
    pub locks: &'a [TableLock],
}

/// One migration of a span.
#[derive(Debug, Clone, Copy)]
pub struct SpanStep<'a> {
    pub migration: &'a Migration,
    pub told: &'a Told,
    pub report: &'a StepReport,
}

/// Judges a span.
pub fn judge_span(evidence: &SpanEvidence) -> SpanVerdict {
    let SpanEvidence { before, after, steps, uses, .. } = *evidence;
    let changes = diff(before, after);
    let nothing = Facts::default();
    let mut reasons = rules::reasons(&Subject { before, after, changes: &changes, facts: &nothing, uses });
    let of_catalog: BTreeSet<(String, String)> =
        reasons.iter().map(|reason| (reason.rule.to_string(), reason.text.clone())).collect();
    for step in steps {
        if let Some(error) = &step.report.up.error {
            reasons.push(rules::not_run(Some(error)).of(&step.migration.id));
            continue;
        }
        let subject = Subject { before, after, changes: &[], facts: &step.told.up, uses };
        let of_rows = rules::reasons(&subject).into_iter().filter(|reason| {
            rules::reads_the_script(&reason.rule)
                && !of_catalog.contains(&(reason.rule.to_string(), reason.text.clone()))
        });
        reasons.extend(of_rows.map(|reason| reason.of(&step.migration.id)));
    }
    reasons.extend(history(evidence));
    let verdict = settle(&mut reasons, steps);
    let mut seen = BTreeSet::new();
    reasons.retain(|reason| seen.insert((reason.rule.to_string(), reason.text.clone())));
    let queries =
        uses.map_or_else(|| QueryEvidence::No { how: HOW_TO_GIVE_QUERIES.to_owned() }, Uses::evidence);
    let touches = super::drift::touches(
        &changes,
        |name| uses.is_some_and(|uses| uses.reached_by(&name.object).is_some()),
        after,
    );
    let mut span = SpanVerdict {
        verdict,
        settles: settles(verdict, &reasons, &queries),
        reasons,
        migrations: steps.iter().map(|step| said(step.report)).collect(),
        queries,
        boot: evidence.boot.clone(),
        touches,
        remarks: steps.iter().flat_map(|step| step.report.remarks.clone()).collect(),
        locks: evidence.locks.to_vec(),
    };
    span.set_boot(evidence.boot.clone());
    span
}

/// Migrations that changed after their release, or come out of order.
fn history(evidence: &SpanEvidence) -> Vec<Reason> {
    let Some(compared) = evidence.compared else { return Vec::new() };
    let assumes = |rule: &'static str, text| Reason { rule: rule.into(), effect: Effect::Assumes, text };
    let edited = compared.changed.iter().filter_map(|changed| match changed {
        Changed::Up { new, .. } => Some(assumes(
            rules::MIGRATION_EDITED,
            format!(
                "{} was changed after its release; judged as databases have it, from the older file",
                new.id
            ),
        )),
        Changed::OnlyDown { .. } | Changed::OnlyName { .. } => None,
    });
    let order = compared.out_of_order.iter().map(|migration| {
        let text = format!(
            "{} sorts before what the older release has applied; judged as run after it",
            migration.id
        );
        assumes(rules::MIGRATION_ORDER, text)
    });
    edited.chain(order).collect()
}

/// The worst reason decides. A reviewed line settles what its own migration leaves unknown.
fn settle(reasons: &mut Vec<Reason>, steps: &[SpanStep]) -> Verdict {
    for step in steps {
        let Some(note) = &step.migration.compatible_note else { continue };
        let id = &step.migration.id;
        let text = format!("{id}: line {} of the file says: {}", note.line, note.reason);
        match note.kind {
            NoteKind::Breaks => {
                reasons.push(Reason { rule: rules::REVIEWED_LINE.into(), effect: Effect::Breaks, text });
            }
            NoteKind::Compatible => {
                let of_step = |reason: &Reason| {
                    reason.text.starts_with(&format!("{id}: "))
                        || step
                            .report
                            .reasons
                            .iter()
                            .any(|other| other.rule == reason.rule && shared(&other.text, &reason.text))
                };
                for reason in reasons.iter_mut().filter(|reason| reason.effect == Effect::Unknown) {
                    if of_step(reason) {
                        reason.effect = Effect::Assumes;
                    }
                }
                reasons.push(Reason { rule: rules::REVIEWED_LINE.into(), effect: Effect::Assumes, text });
            }
        }
    }
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.effect));
    match reasons.first().map(|reason| reason.effect) {
        Some(Effect::Breaks) => Verdict::Breaks,
        Some(Effect::Unknown) => Verdict::Unknown,
        Some(Effect::Assumes) | None => Verdict::Compatible,
    }
}

/// Is it the same finding, with and without what queries said of it?
fn shared(a: &str, b: &str) -> bool {
    let head = |text: &str| text.split("; ").next().unwrap_or(text).to_owned();
    head(a) == head(b)
}

/// What would settle what is unknown.
fn settles(verdict: Verdict, reasons: &[Reason], queries: &QueryEvidence) -> Vec<String> {
    if verdict != Verdict::Unknown {
        return Vec::new();
    }
    let mut settles = Vec::new();
    let unknown = || reasons.iter().filter(|reason| reason.effect == Effect::Unknown);
    if matches!(queries, QueryEvidence::No { .. }) {
        settles.push(HOW_TO_GIVE_QUERIES.to_owned());
    }
    if unknown()
        .any(|reason| reason.rule == "query-unusable" || reason.text.contains("does not plan even on"))
    {
        settles
            .push("give the queries that do not plan in the form in which the program sends them".to_owned());
    }
    if unknown().any(|reason| reason.rule == "grants-changed") {
        settles
            .push("say as which role the service connects: `role` in `[queries]` of unship.toml".to_owned());
    }
    if unknown().any(|reason| reason.rule == rules::NOT_RUN) {
        settles.push("mend the migration, or give a server on which it runs with `--shadow-url`".to_owned());
    }
    if unknown().any(|reason| reason.rule != rules::NOT_RUN) {
        settles.push(
            "look at what the older code does there, and write what you found into the migration: \
             `-- unship: compatible: <reason>` or `-- unship: breaks: <reason>`"
                .to_owned(),
        );
    }
    settles
}

/// Longest list in the one line about a migration.
const NAMED_MAX: usize = 3;

/// One line about a migration: what it adds, takes away and changes.
fn said(report: &StepReport) -> SpanMigration {
    let did = match (&report.up.error, report.up.class) {
        (Some(error), _) => format!("could not run: {}", error.message),
        (None, None) => "was not run".to_owned(),
        (None, Some(UpClass::None)) if report.up.rows.is_empty() => "changes nothing".to_owned(),
        (None, Some(_)) => did(&report.up.changes, &report.up.rows),
    };
    SpanMigration { id: report.id.clone(), did }
}

fn did(changes: &[Change], rows: &[String]) -> String {
    // What belongs to something new is said with it.
    let is_new = |change: &&Change| {
        change.kind.is_part()
            && changes
                .iter()
                .any(|other| other.is_added() && !other.kind.is_part() && other.name == change.name.parent())
    };
    let mut words: Vec<String> = changes
        .iter()
        .filter(|change| !is_new(change))
        .map(|change| {
            let (kind, name) = (change.kind.word(), &change.name);
            match &change.what {
                What::Added { now } => match now.fact(crate::schema::Fact::Default) {
                    Some(default) => format!("adds {kind} {name}, default {default}"),
                    None => format!("adds {kind} {name}"),
                },
                What::Removed { .. } => format!("drops {kind} {name}"),
                What::Renamed { was, .. } => format!("renames {kind} {} to {name}", was.name),
                What::Altered { fact, .. } => format!("changes {} of {kind} {name}", fact.word()),
                What::Reordered { .. } => format!("reorders the columns of {name}"),
            }
        })
        .collect();
    words.dedup();
    words.extend(rows.iter().cloned());
    let more = words.len().saturating_sub(NAMED_MAX);
    words.truncate(NAMED_MAX);
    let mut text = words.join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

impl Reason {
    /// With the migration that it is about in front.
    fn of(mut self, id: &str) -> Reason {
        self.text = format!("{id}: {}", self.text);
        self
    }
}
