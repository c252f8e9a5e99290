//! What a drill came to, as a value.

use std::time::Duration;

use serde::Serialize;
use unship_core::journal::Outcome;
use unship_core::release::Tag;

use super::{Course, Figures, Phase, PhaseFigures, Scenario};
use crate::load::Recording;
use crate::load::attribution::Window;
use crate::load::summary::{Bucket, course};

/// The finest stretch of the latency chart.
const BUCKET_US: u64 = 100_000;
/// The most stretches that are kept.
const BUCKETS_MAX: u64 = 600;

/// What a drill came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillReport {
    /// The scenario.
    pub scenario: String,
    /// `rolled_back` when the rollback completed and everything that must hold held, `not_held` when it
    /// completed and something did not, `incomplete` when it did not complete.
    pub outcome: &'static str,
    /// The option of the runbook that was taken: 1, the code goes back and the schema stays.
    pub option: u8,
    /// The release that was taken back.
    pub from: Tag,
    /// The release that was gone back to.
    pub to: Tag,
    /// Requests of the whole drill.
    pub requests: u64,
    /// Failed requests of unship's, from its first action until the target was verified.
    pub failed_requests: u64,
    /// Requests that the bad release is proved to have failed, from its deploy until the target was
    /// verified.
    pub failed_by_bad_release: u64,
    /// From the first action of the rollback until the target was verified, milliseconds.
    pub ceremony_ms: f64,
    /// The same flip without unship, milliseconds.
    pub floor_ms: f64,
    /// `passed`, `failed`, or `none` when the service has no smoke command.
    pub smoke: &'static str,
    /// How the failure showed.
    pub seen: String,
    /// How long that took from the end of the deploy, milliseconds.
    pub seen_after_ms: u64,
    /// What had to hold.
    pub held: Vec<Held>,
    /// Figures by phase.
    pub phases: Vec<PhaseFigures>,
    /// What happened when.
    pub timeline: Vec<Moment>,
    /// The course of the latency, in stretches of [`DrillReport::bucket_ms`].
    #[serde(skip)]
    pub course: Vec<Bucket>,
    /// The length of one stretch, milliseconds.
    #[serde(skip)]
    pub bucket_ms: u64,
    /// Requests that the load itself sent late: not zero means that this machine was too busy to tell.
    pub sent_late: u64,
}

/// Something that had to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// What.
    pub what: String,
    /// Whether it did.
    pub held: bool,
    /// What was found instead.
    pub instead: Option<String>,
}

/// A point of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Milliseconds since the load began.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
}

impl Held {
    fn new(what: impl Into<String>, found: Result<(), String>) -> Held {
        Held { what: what.into(), held: found.is_ok(), instead: found.err() }
    }
}

impl DrillReport {
    #[allow(clippy::too_many_arguments)] // Each is one finding; a struct for them would be this one.
    pub(super) fn new(
        scenario: &Scenario,
        course: &Course,
        recording: &Recording,
        figures: &Figures,
        smoke: Option<Result<(), String>>,
        serves: Result<(), String>,
        floor: Duration,
        timeline: Vec<Moment>,
    ) -> DrillReport {
        let (smoke_word, smoke) = match smoke {
            None => ("none", None),
            Some(Ok(())) => ("passed", Some(Ok(()))),
            Some(Err(why)) => ("failed", Some(Err(why))),
        };
        let completed = course.rollback.outcome == Some(Outcome::Completed);
        let failed_requests = failed(figures, Phase::Rollback);
        let mut held = vec![
            Held::new("the rollback completes", if completed { Ok(()) } else { Err(incomplete(course)) }),
            Held::new(format!("{} serves, and nothing else", scenario.good), serves),
        ];
        held.extend(smoke.map(|found| Held::new("the smoke test passes", found)));
        held.push(Held::new(
            format!("at most {} requests are failed by the rollback", scenario.failed_requests_max),
            at_most(failed_requests, scenario.failed_requests_max),
        ));
        for (phase, what) in [
            (Phase::Before, "no request fails before"),
            (Phase::Deploy, "no request is failed by the deploy"),
            (Phase::After, "no request fails afterwards"),
        ] {
            held.push(Held::new(what, at_most(failed(figures, phase), 0)));
        }
        held.push(Held::new("every request is recorded", at_most(recording.unrecorded, 0)));
        let outcome = match (completed, held.iter().all(|held| held.held)) {
            (false, _) => "incomplete",
            (true, false) => "not_held",
            (true, true) => "rolled_back",
        };
        let (bucket_ms, course_buckets) = buckets(recording);
        DrillReport {
            scenario: scenario.name.clone(),
            outcome,
            option: 1,
            from: scenario.bad.clone(),
            to: course.rollback.to.tag.clone(),
            requests: recording.samples.len() as u64 + recording.unrecorded,
            failed_requests,
            failed_by_bad_release: figures.phases.iter().map(|phase| phase.failed_by_bad_release).sum(),
            ceremony_ms: tenths(course.ceremony),
            floor_ms: tenths(floor),
            smoke: smoke_word,
            seen: course.seen.clone(),
            seen_after_ms: course.seen_after_ms,
            held,
            phases: figures.phases.clone(),
            timeline,
            course: course_buckets,
            bucket_ms,
            sent_late: recording.late,
        }
    }

    /// Whether everything that had to hold held.
    pub fn all_held(&self) -> bool {
        self.outcome == "rolled_back"
    }
}

fn failed(figures: &Figures, phase: Phase) -> u64 {
    figures.phase(phase).map_or(0, |figures| figures.failed)
}

fn at_most(found: u64, max: u64) -> Result<(), String> {
    if found <= max { Ok(()) } else { Err(format!("{found}")) }
}

fn incomplete(course: &Course) -> String {
    let failed = course.rollback.steps.iter().find(|step| step.error.is_some());
    failed.map_or_else(
        || "it was stopped".to_owned(),
        |step| format!("{}: {}", step.title, step.error.as_deref().unwrap_or_default()),
    )
}

fn buckets(recording: &Recording) -> (u64, Vec<Bucket>) {
    let end = recording.samples.iter().map(|sample| sample.scheduled_us).max().unwrap_or(0);
    let length = (end / BUCKETS_MAX).max(BUCKET_US).next_multiple_of(BUCKET_US);
    let count = end / length + 1;
    let window = Window { from_us: 0, until_us: count * length - 1 };
    (length / 1_000, course(recording, window, usize::try_from(count).unwrap_or(1)))
}

/// Milliseconds with one decimal.
fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests;
