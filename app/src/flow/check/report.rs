//! The answer of one check, as it goes into the JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use unship_core::schema::Catalog;
use unship_core::tools::{Changed, SpanMigrations};
use unship_core::verdict::{DownClass, SpanVerdict, StepReport, Verdict};

/// The releases that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    pub old: String,
    pub new: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    pub tool: String,
    /// The shadow: `PostgreSQL 17.10`.
    pub server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Does the older release run on the newest schema? That of the span, its boot included; without a span the worst
    /// of the steps.
    pub verdict: Verdict,
    /// Why, with what the older release's queries say, and whether it boots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_verdict: Option<SpanVerdict>,
    pub summary: Summary,
    pub steps: Vec<StepReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The schemas at both ends of a span; not a part of the document.
    #[serde(skip)]
    pub schemas: Option<Schemas>,
}

/// What the migrations of two releases leave.
#[derive(Debug, Clone)]
pub struct Schemas {
    pub before: Catalog,
    pub after: Catalog,
}

/// The steps counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    pub steps: usize,
    pub could_not_run: usize,
    pub up: BTreeMap<&'static str, usize>,
    pub down: BTreeMap<&'static str, usize>,
    pub verdict: BTreeMap<&'static str, usize>,
    pub exact_only_as_group: usize,
    pub schema_restored_data_gone: usize,
    pub down_destroys: usize,
    pub not_atomic: usize,
    /// Everything, without the start of the server.
    pub ms: u64,
    pub steps_per_second: f64,
}

impl CheckReport {
    /// The span judged anew with what was found out since.
    pub fn amend(&mut self, amend: impl FnOnce(&mut SpanVerdict)) {
        if let Some(span) = &mut self.span_verdict {
            amend(span);
            self.verdict = span.overall();
        }
    }

    pub(super) fn of(
        [tool, server]: [String; 2],
        span: Option<Span>,
        span_verdict: Option<SpanVerdict>,
        steps: Vec<StepReport>,
        remarks: Vec<String>,
        schemas: Option<Schemas>,
        [whole, judging]: [Duration; 2],
    ) -> Self {
        let of_steps = || steps.iter().map(|step| step.verdict).max().unwrap_or(Verdict::Compatible);
        let verdict = span_verdict.as_ref().map_or_else(of_steps, SpanVerdict::overall);
        let summary = Summary::of(&steps, whole, judging);
        Self { tool, server, span, verdict, span_verdict, summary, steps, remarks, schemas }
    }
}

impl Summary {
    fn of(steps: &[StepReport], whole: Duration, judging: Duration) -> Self {
        let mut summary = Self { steps: steps.len(), ..Self::default() };
        for step in steps {
            let up = step.up.class.map_or("could_not_run", unship_core::verdict::UpClass::word);
            summary.could_not_run += usize::from(step.up.class.is_none());
            *summary.up.entry(up).or_default() += 1;
            *summary.down.entry(step.down.class.word()).or_default() += 1;
            *summary.verdict.entry(step.verdict.word()).or_default() += 1;
            summary.exact_only_as_group += usize::from(!step.down.exact_only_as_group.is_empty());
            summary.schema_restored_data_gone += usize::from(!step.down.schema_restored_data_gone.is_empty());
            summary.down_destroys += usize::from(!step.down.destroys.objects.is_empty());
            summary.not_atomic += usize::from(step.up.not_atomic.is_some() || step.down.not_atomic.is_some());
        }
        summary.ms = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        let seconds = judging.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "counts of steps are small")]
        if seconds > 0.0 {
            summary.steps_per_second = (steps.len() as f64 / seconds * 10.0).round() / 10.0;
        }
        summary
    }
}

/// Does the down of this step need a person's eye?
pub fn is_wrong_down(class: DownClass) -> bool {
    matches!(class, DownClass::Missing | DownClass::EmptyButUpChanged | DownClass::Fails | DownClass::Inexact)
}

/// What two folders say about each other beside what was added.
pub(super) fn span_remarks(compared: &SpanMigrations<'_>) -> Vec<String> {
    let mut remarks = Vec::new();
    for migration in &compared.removed {
        remarks.push(format!("{} is in the older release only", migration.id));
    }
    for changed in &compared.changed {
        remarks.push(match changed {
            Changed::Up { new, .. } => {
                format!("{} was changed after its release: databases have the older one applied", new.id)
            }
            Changed::OnlyDown { new, .. } => format!("the down of {} was changed after its release", new.id),
            Changed::OnlyName { old, new } => format!("{} was renamed to {}", old.id, new.id),
        });
    }
    for migration in &compared.out_of_order {
        remarks.push(format!("{} sorts before what the older release has applied", migration.id));
    }
    remarks
}
