//! From what was seen to what is said: classes by definition, the verdict by rules.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::execution::{RunFailure, StepRun};
use super::report::{Destroys, DownReport, Reup, StepReport, UpReport};
use super::rules::{self, Subject};
use super::{Destroyed, DownClass, Leftover, UpClass, Uses, up_class};
use crate::schema::diff;
use crate::sql::{Control, Dml, DmlKind, Facts, NoTransaction};
use crate::tools::{Down, Migration, NoteKind, Script, Wrap};

/// Does the release before a migration run on the schema after it?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Compatible,
    Unknown,
    Breaks,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Unknown => "unknown",
            Self::Breaks => "breaks",
        }
    }
}

/// What a reason does to the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Compatible, provided that this holds.
    Assumes,
    /// The schema cannot tell.
    Unknown,
    Breaks,
}

/// Why a verdict is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Id of the rule; `unship explain` prints its page.
    pub rule: Cow<'static, str>,
    pub effect: Effect,
    pub text: String,
}

/// What the text of a script says, beside what running it shows.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub up: Facts,
    pub down: Facts,
}

/// Says everything about one step; `uses` is what the older release's queries say, if any are known.
pub fn judge(migration: &Migration, told: &Told, run: &StepRun, uses: Option<&Uses>) -> StepReport {
    let (class, changes) = match &run.up {
        Ok(after) => {
            let changes = diff(&run.before, after);
            (Some(up_class(&run.before, &changes)), changes)
        }
        Err(_) => (None, Vec::new()),
    };
    let up = UpReport {
        class,
        error: run.up.as_ref().err().cloned(),
        not_atomic: not_atomic(&migration.up, &told.up),
        rows: row_changes(told.up.dml()),
        changes,
    };
    let down = down_report(migration, told, run, class);
    let mut reasons = match (&run.up, &up.error) {
        (Ok(after), _) => rules::reasons(&Subject {
            before: &run.before,
            after,
            changes: &up.changes,
            facts: &told.up,
            uses,
        }),
        (Err(_), error) => vec![rules::not_run(error.as_ref())],
    };
    // Queries are planned on both ends of a span; which of its steps a failing one is due to is not known.
    reasons.retain(|reason| !rules::is_about_a_query(&reason.rule));
    let verdict = settle(migration, &mut reasons);
    StepReport {
        id: migration.id.clone(),
        path: migration.up.path.clone(),
        up,
        down,
        verdict,
        reasons,
        remarks: run.remarks.clone(),
        ms: run.took_ms,
    }
}

/// The worst reason decides. A reviewed line in the file settles what the schema cannot know, and can only make
/// it worse where the schema knows.
fn settle(migration: &Migration, reasons: &mut Vec<Reason>) -> Verdict {
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.effect));
    let by_rules = match reasons.first().map(|reason| reason.effect) {
        Some(Effect::Breaks) => Verdict::Breaks,
        Some(Effect::Unknown) => Verdict::Unknown,
        Some(Effect::Assumes) | None => Verdict::Compatible,
    };
    let Some(note) = &migration.compatible_note else { return by_rules };
    let text = format!("line {} of the file says: {}", note.line, note.reason);
    match (note.kind, by_rules) {
        (NoteKind::Breaks, _) => {
            reasons.insert(0, Reason { rule: rules::REVIEWED_LINE.into(), effect: Effect::Breaks, text });
            Verdict::Breaks
        }
        (NoteKind::Compatible, Verdict::Breaks) => {
            let text = format!("{text}; it does not settle what is known to break");
            reasons.push(Reason { rule: rules::REVIEWED_LINE.into(), effect: Effect::Assumes, text });
            Verdict::Breaks
        }
        (NoteKind::Compatible, _) => {
            reasons.insert(0, Reason { rule: rules::REVIEWED_LINE.into(), effect: Effect::Assumes, text });
            Verdict::Compatible
        }
    }
}

fn down_report(migration: &Migration, told: &Told, run: &StepRun, up: Option<UpClass>) -> DownReport {
    let mut report = DownReport {
        class: DownClass::NotRun,
        remains: Vec::new(),
        lost: Vec::new(),
        error: None,
        schema_restored_data_gone: Destroyed::default(),
        destroys: Destroys::default(),
        not_atomic: None,
        exact_only_as_group: Vec::new(),
        reup: None,
    };
    let script = match &migration.down {
        Down::Missing => {
            report.class = DownClass::Missing;
            return report;
        }
        Down::Empty(_) => {
            // Without a reading there is no telling whether the up changed anything.
            report.class = up.map_or(DownClass::NotRun, DownClass::of_empty);
            if let (DownClass::EmptyButUpChanged, Ok(after)) = (report.class, &run.up) {
                let left = Leftover::of(&diff(&run.before, after));
                (report.remains, report.lost) = (left.remains, left.lost);
            }
            return report;
        }
        Down::Script(script) => script,
    };
    report.not_atomic = not_atomic(script, &told.down);
    report.destroys.rows = row_changes(told.down.dml().filter(|dml| !is_insert(dml)));
    let (Ok(after), Some(down)) = (&run.up, &run.down) else { return report };
    match &down.outcome {
        Err(error) => {
            report.class = DownClass::Fails;
            report.error = Some(error.clone());
        }
        Ok(undone) => {
            let difference = diff(&run.before, undone);
            report.class = DownClass::of_difference(&difference);
            let left = Leftover::of(&difference);
            (report.remains, report.lost) = (left.remains, left.lost);
            report.destroys.objects = Destroyed::between(after, undone);
            if report.class.restores() {
                report.schema_restored_data_gone = Destroyed::between(&run.before, after);
            }
        }
    }
    report.reup = down.again.as_ref().map(|again| match again {
        Err(error) => Reup::Fails { error: error.clone() },
        Ok(again) => match diff(after, again) {
            changes if changes.iter().all(crate::schema::Change::is_reordered) => Reup::Same,
            changes => Reup::Differs { changes },
        },
    });
    report
}

/// Why a script may stop halfway and leave what it did, in words; None if it is all or nothing.
fn not_atomic(script: &Script, facts: &Facts) -> Option<String> {
    let line = |statement: &crate::sql::StatementFacts| script.first_line + statement.line - 1;
    if let Some(statement) = facts.not_atomic() {
        let line = line(statement);
        return Some(match statement.transaction_control {
            Some(Control::InBlock) => format!("commits inside a block on line {line}"),
            Some(_) => format!("own {} on line {line}", statement.verb),
            None if statement.cannot_run_in_transaction == Some(NoTransaction::Refused) => {
                let concurrently = if statement.concurrently { " CONCURRENTLY" } else { "" };
                format!("{}{concurrently} on line {line} runs outside any transaction", statement.verb)
            }
            None => format!("{} on line {line}", statement.verb),
        });
    }
    // One simple query is a transaction of its own; several are not.
    (script.wrap == Wrap::None && script.batches.len() > 1)
        .then(|| "runs without a transaction around its statements".to_owned())
}

fn is_insert(dml: &Dml) -> bool {
    matches!(dml.kind, DmlKind::Insert | DmlKind::CopyFrom)
}

/// `update users`, each once, in the order of the script.
fn row_changes<'a>(changes: impl Iterator<Item = &'a Dml>) -> Vec<String> {
    let mut said = Vec::new();
    for dml in changes {
        let kind = match dml.kind {
            DmlKind::Insert => "insert",
            DmlKind::Update => "update",
            DmlKind::Delete => "delete",
            DmlKind::Truncate => "truncate",
            DmlKind::Merge => "merge",
            DmlKind::CopyFrom => "copy",
        };
        let text = match &dml.table {
            Some(table) => format!("{kind} {table}"),
            None => kind.to_owned(),
        };
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said
}

impl RunFailure {
    /// With its place, as people and editors like it.
    pub fn placed(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}: {}", self.path, self.message),
            (Some(line), None) => format!("{}:{line}: {}", self.path, self.message),
            _ => format!("{}: {}", self.path, self.message),
        }
    }
}
