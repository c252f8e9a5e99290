//! What a drill came to, as a value.

use std::time::Duration;

use serde::Serialize;
use unship_core::flags::FlagName;
use unship_core::journal::Outcome;
use unship_core::release::Tag;

use super::{Compared, Course, Figures, Found, Phase, PhaseFigures, Scenario, Way};
use crate::load::Recording;
use crate::load::attribution::Window;
use crate::load::summary::{Bucket, course};

/// The finest stretch of the latency chart.
const BUCKET_US: u64 = 100_000;
/// The most stretches that are kept.
const BUCKETS_MAX: u64 = 600;

/// The outcomes of a drill in which everything held.
const ROLLED_BACK: &str = "rolled_back";
const ROLLED_FORWARD: &str = "rolled_forward";
const FLAG_OFF: &str = "flag_off";

/// What a drill came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillReport {
    /// The scenario.
    pub scenario: String,
    /// `rolled_back`, `flag_off`, or `rolled_forward` to a hotfix, when the run completed and everything that must hold
    /// held, `not_held` when it completed and something did not, `incomplete` when it did not complete.
    pub outcome: &'static str,
    /// The option of the runbook that was taken: 1, the code goes back and the schema stays; 2, a hotfix; 3, the
    /// migrations are taken down and the code goes back; none when a flag was turned off.
    pub option: Option<u8>,
    /// The flag that was turned off in place of a rollback.
    pub flag: Option<FlagName>,
    /// The bad release.
    pub from: Tag,
    /// What serves in the end.
    pub to: Tag,
    /// The release that served before the bad one.
    pub good: Tag,
    /// Requests of the whole drill.
    pub requests: u64,
    /// Failed requests of unship's, from its first action on the way out until the target was verified.
    pub failed_requests: u64,
    /// Requests that the bad release is proved to have failed, from its deploy until the target was
    /// verified.
    pub failed_by_bad_release: u64,
    /// Requests that were answered with 503 and the `Retry-After` that was said beforehand, while the service was held.
    pub held_requests: u64,
    /// For how long no release served, where the run held the service, milliseconds.
    pub held_ms: Option<u64>,
    /// What was destroyed, as it was said and accepted beforehand; all of it is salvaged.
    pub losses: Vec<String>,
    /// What users wrote, compared at the end; none where the drill has no users.
    pub users: Option<Compared>,
    /// From the first action on the way out until the target was verified, or the flag read back as off, milliseconds.
    pub ceremony_ms: f64,
    /// The same flip without unship, milliseconds; the same start where the bad release had to be stopped first;
    /// none where nothing is flipped.
    pub floor_ms: Option<f64>,
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
    pub(super) fn new(
        scenario: &Scenario,
        course: &Course,
        recording: &Recording,
        figures: &Figures,
        found: Found,
        timeline: Vec<Moment>,
    ) -> DrillReport {
        let Found { smoke, serves, users, floor } = found;
        let (promise, by, good_outcome) = match &scenario.way {
            Way::Back | Way::Down => ("the rollback completes".to_owned(), "the rollback", ROLLED_BACK),
            Way::Flag(flag) => (format!("{flag} is turned off and read back"), "turning it off", FLAG_OFF),
            Way::Hotfix(hotfix) => (format!("{hotfix} is brought out"), "the hotfix", ROLLED_FORWARD),
        };
        let (smoke_word, smoke) = match smoke {
            None => ("none", None),
            Some(Ok(())) => ("passed", Some(Ok(()))),
            Some(Err(why)) => ("failed", Some(Err(why))),
        };
        let completed = course.run.outcome == Some(Outcome::Completed);
        let failed_requests = failed(figures, Phase::Rollback);
        let mut held = vec![
            Held::new(promise, if completed { Ok(()) } else { Err(incomplete(course)) }),
            Held::new(format!("{} serves, and nothing else", scenario.ends_on()), serves),
        ];
        if let Some(wanted) = scenario.way.option() {
            held.push(Held::new(format!("it is option {wanted}"), is_option(wanted, course.option)));
        }
        held.extend(course.gone.clone().map(|found| Held::new("the failure is gone", found)));
        held.extend(smoke.map(|found| Held::new("the smoke test passes", found)));
        held.extend(
            users.iter().map(|users| Held::new("what users wrote is there, value by value", users.held())),
        );
        held.push(Held::new(
            format!("at most {} requests are failed by {by}", scenario.failed_requests_max),
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
            (true, true) => good_outcome,
        };
        let (bucket_ms, course_buckets) = buckets(recording);
        DrillReport {
            scenario: scenario.name.clone(),
            outcome,
            option: course.option,
            flag: match &scenario.way {
                Way::Flag(flag) => Some(flag.clone()),
                Way::Back | Way::Hotfix(_) | Way::Down => None,
            },
            from: scenario.bad.clone(),
            to: course.run.to.tag.clone(),
            good: scenario.good.clone(),
            requests: recording.samples.len() as u64 + recording.unrecorded,
            failed_requests,
            failed_by_bad_release: figures.phases.iter().map(|phase| phase.failed_by_bad_release).sum(),
            held_requests: figures.phases.iter().map(|phase| phase.held).sum(),
            held_ms: course.run.held_ms,
            losses: course.losses.clone(),
            users,
            ceremony_ms: tenths(course.ceremony),
            floor_ms: floor.map(tenths),
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
        [ROLLED_BACK, ROLLED_FORWARD, FLAG_OFF].contains(&self.outcome)
    }
}

fn is_option(wanted: u8, taken: Option<u8>) -> Result<(), String> {
    match taken {
        Some(taken) if taken == wanted => Ok(()),
        Some(taken) => Err(format!("option {taken}")),
        None => Err("none of the options".into()),
    }
}

fn failed(figures: &Figures, phase: Phase) -> u64 {
    figures.phase(phase).map_or(0, |figures| figures.failed)
}

fn at_most(found: u64, max: u64) -> Result<(), String> {
    if found <= max { Ok(()) } else { Err(format!("{found}")) }
}

fn incomplete(course: &Course) -> String {
    let failed = course.run.steps.iter().find(|step| step.error.is_some());
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
