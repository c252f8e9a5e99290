//! Whose failure a failed request is. A pure rule over what was recorded.
//!
//! From unship's first action until the target is verified, every failed request is unship's, except
//! those that the bad release can be proved to have caused:
//!
//! - an answer of 500 or more by a process of the bad release, named by `X-Instance` or `Server`, or by
//!   there having been no process of another release while the request ran. Once unship has told that
//!   process to stop, only an answer that the bad release also gave before unship's first action counts: a
//!   503 of a service that is shutting down is ours.
//! - a connection lost because a process of the bad release ended without a signal from unship: the
//!   process that an earlier answer on the connection, or the head of this one, named; where none did, the
//!   one whose end was nearest to the loss, unless one that unship had told to stop ended about as near.
//!
//! Two more are nobody's failure of that kind:
//!
//! - while unship holds the service, as it said beforehand, an answer of 503 with the `Retry-After` that it said:
//!   that request is *held*, which is a figure of its own;
//! - once the bad release's migrations were begun, and where the good release is known not to run on its schema, an
//!   answer of 500 by a process of the good release that is older than they are, or of more than 500 by one that was
//!   not told to stop: whoever brought those migrations failed it, and that is the bad release.
//!
//! Whatever cannot be proved is unship's. A request belongs to the window if it was due or running at any
//! time in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use unship_core::release::Tag;

use super::sample::{Outcome, Recording, Sample};

/// How much later than a client saw a connection break the host may have noted that the process ended, and
/// how much earlier: both are ordinary programs on a machine that may be busy.
const NOTED_LATE_US: i64 = 200_000;
const NOTED_EARLY_US: i64 = 100_000;
/// Two ends that differ in their distance from a loss by less than this are equally near.
const TIE_US: u64 = 20_000;
/// Hosts note times in milliseconds, rounded down.
const ROUNDED_US: i64 = 1_000;

/// One process of the service, from its start to its end. Times are microseconds on the load's clock,
/// negative before the load began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLife {
    /// The release that it ran.
    pub release: Tag,
    /// Its process id.
    pub pid: u32,
    /// Its invocation.
    pub invocation: String,
    /// When it started; `None` when nobody saw it, which counts as long ago.
    pub started_us: Option<i64>,
    /// When unship sent it a signal; for a process that is known to have got one at a time that is not
    /// known, the earliest time possible.
    pub signalled_us: Option<i64>,
    /// When it ended; `None` while it runs.
    pub ended_us: Option<i64>,
}

/// A stretch of the load's clock, microseconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From.
    pub from_us: u64,
    /// Until.
    pub until_us: u64,
}

impl Window {
    /// Whether a request was due or running at any time of the window.
    pub fn touches(&self, sample: &Sample) -> bool {
        sample.scheduled_us.min(sample.start_us) <= self.until_us && sample.end_us >= self.from_us
    }
}

/// Whose failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// unship's: it acted at that time and nothing else explains the failure.
    Unship,
    /// The bad release's.
    BadRelease,
    /// Nobody's: the service was held as said beforehand, and the answer said so.
    Held,
}

/// That unship holds the service: since when, until when, and what every answer says meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// From its beginning until the target was verified.
    pub window: Window,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u32,
}

/// That a release serves on a schema that it cannot run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit<'a> {
    /// The release.
    pub release: &'a Tag,
    /// Since when the schema may be like that, on the load's clock.
    pub from_us: u64,
}

/// Judges failed requests of one window of one recording.
pub struct Attribution<'a> {
    recording: &'a Recording,
    lives: &'a [InstanceLife],
    bad: &'a Tag,
    window: Window,
    holding: Option<Holding>,
    unfit: Option<Unfit<'a>>,
    /// Kinds of requests and statuses that the bad release's processes gave before the window.
    given_before: BTreeSet<(u16, u16)>,
}

impl<'a> Attribution<'a> {
    /// `lives` are all processes of the service that the host knew, `bad` the bad release, `window` from
    /// unship's first action until the target was verified.
    pub fn new(
        recording: &'a Recording,
        lives: &'a [InstanceLife],
        bad: &'a Tag,
        window: Window,
    ) -> Attribution<'a> {
        let mut attribution = Attribution {
            recording,
            lives,
            bad,
            window,
            holding: None,
            unfit: None,
            given_before: BTreeSet::new(),
        };
        attribution.given_before = recording
            .samples
            .iter()
            .filter(|sample| sample.end_us < window.from_us && recording.failed(sample))
            .filter_map(|sample| match sample.outcome {
                Outcome::Status(status) if attribution.answered_by(bad, sample) => {
                    Some((sample.request, status))
                }
                _ => None,
            })
            .collect();
        attribution
    }

    /// The same, where unship held the service meanwhile.
    #[must_use]
    pub fn while_held(mut self, holding: Option<Holding>) -> Attribution<'a> {
        self.holding = holding;
        self
    }

    /// The same, where a release served meanwhile on a schema that it cannot run on.
    #[must_use]
    pub fn while_unfit(mut self, unfit: Option<Unfit<'a>>) -> Attribution<'a> {
        self.unfit = unfit;
        self
    }

    /// Whose failure a sample is; `None` when it is no failure or does not touch the window.
    pub fn blame(&self, sample: &Sample) -> Option<Blame> {
        if !self.window.touches(sample) || !self.recording.failed(sample) {
            return None;
        }
        if self.is_held(sample) {
            return Some(Blame::Held);
        }
        let by_bad = match sample.outcome {
            Outcome::Status(status) => {
                let as_before = || self.given_before.contains(&(sample.request, status));
                let by_itself = status >= 500
                    && self.answered_by(self.bad, sample)
                    && (!self.was_signalled(self.bad, sample) || as_before());
                by_itself || self.is_unfit(sample, status)
            }
            Outcome::Transport(kind) => kind.is_connection_lost() && self.lost_by_bad(sample),
        };
        Some(if by_bad { Blame::BadRelease } else { Blame::Unship })
    }

    /// Whether the answer says what unship said that it would say.
    fn is_held(&self, sample: &Sample) -> bool {
        self.holding.is_some_and(|holding| {
            sample.outcome == Outcome::Status(503)
                && sample.retry_after_s == Some(holding.retry_after_s)
                && holding.window.touches(sample)
        })
    }

    /// Whether a release could not give a right answer, because of the schema that it found.
    fn is_unfit(&self, sample: &Sample, status: u16) -> bool {
        self.unfit.is_some_and(|unfit| {
            sample.end_us >= unfit.from_us
                && self.is_older(unfit, sample)
                && self.answered_by(unfit.release, sample)
                // A service that is shutting down may answer 503; 500 says that its own work failed.
                && (status == 500 || (status > 500 && !self.was_signalled(unfit.release, sample)))
        })
    }

    /// Whether the answer can only come from a process that was there before the schema changed: one that was started
    /// since was started by somebody who knew the schema.
    fn is_older(&self, unfit: Unfit<'_>, sample: &Sample) -> bool {
        let older = |life: &InstanceLife| life.started_us.is_none_or(|at| at <= us(unfit.from_us));
        let of_it = || self.running(sample).filter(|life| life.release == *unfit.release);
        if let Some(instance) = &sample.instance {
            let mut named = of_it().filter(|life| life.is_named(instance)).peekable();
            if named.peek().is_some() {
                return named.all(older);
            }
        }
        of_it().all(older)
    }

    /// Whether the answer is proved to come from a process of the release.
    fn answered_by(&self, release: &Tag, sample: &Sample) -> bool {
        if let Some(instance) = &sample.instance {
            let mut named = self.running(sample).filter(|life| life.is_named(instance)).peekable();
            if named.peek().is_some() {
                return named.all(|life| life.release == *release);
            }
        }
        if let Some(version) = sample.server.as_deref().and_then(server_version) {
            return names(version, release);
        }
        let mut running = self.running(sample).peekable();
        running.peek().is_some() && running.all(|life| life.release == *release)
    }

    /// Whether unship had told a process of the release that may have given the answer to stop before the answer
    /// ended.
    fn was_signalled(&self, release: &Tag, sample: &Sample) -> bool {
        let end = us(sample.end_us);
        let told = |life: &&InstanceLife| life.signalled_us.is_some_and(|at| at <= end + ROUNDED_US);
        let of_it = || self.running(sample).filter(|life| life.release == *release);
        if let Some(instance) = &sample.instance {
            let mut named = of_it().filter(|life| life.is_named(instance)).peekable();
            if named.peek().is_some() {
                return named.any(|life| told(&life));
            }
        }
        of_it().any(|life| told(&life))
    }

    /// Whether the connection was lost because a process of the bad release ended by itself.
    fn lost_by_bad(&self, sample: &Sample) -> bool {
        let (start, end) = (us(sample.start_us) - ROUNDED_US, us(sample.end_us));
        let by_itself = |life: &InstanceLife| life.release == *self.bad && life.signalled_us.is_none();
        if let Some(instance) = &sample.instance {
            let mut named = self.running(sample).filter(|life| life.is_named(instance)).peekable();
            if named.peek().is_some() {
                let while_it_ran = start..=end + NOTED_LATE_US;
                let ended = |life: &InstanceLife| life.ended_us.is_some_and(|at| while_it_ran.contains(&at));
                return named.all(|life| by_itself(life) && ended(life));
            }
        }
        let at_the_loss = (end - NOTED_EARLY_US).max(start)..=end + NOTED_LATE_US;
        let nearest = |wanted: &dyn Fn(&InstanceLife) -> bool| {
            let ends = self.lives.iter().filter(|life| wanted(life)).filter_map(|life| life.ended_us);
            ends.filter(|at| at_the_loss.contains(at)).map(|at| at.abs_diff(end)).min()
        };
        let told = nearest(&|life| life.signalled_us.is_some());
        nearest(&by_itself).is_some_and(|distance| told.is_none_or(|told| told > distance + TIE_US))
    }

    /// Processes that ran at any time of a request.
    fn running(&self, sample: &Sample) -> impl Iterator<Item = &'a InstanceLife> {
        let (from, until) = (us(sample.start_us), us(sample.end_us));
        self.lives.iter().filter(move |life| {
            life.started_us.is_none_or(|at| at <= until + ROUNDED_US)
                && life.ended_us.is_none_or(|at| at + ROUNDED_US >= from)
        })
    }
}

impl InstanceLife {
    /// Whether an `X-Instance` header is this process: its id or its invocation.
    fn is_named(&self, instance: &str) -> bool {
        instance == self.invocation || instance.parse() == Ok(self.pid)
    }
}

/// The version in `name/version` of a `Server` header.
fn server_version(server: &str) -> Option<&str> {
    let version = server.split_once('/')?.1.split_ascii_whitespace().next()?;
    version.contains(|c: char| c.is_ascii_digit()).then_some(version)
}

/// Whether a version names a tag, with or without the `v` that tags often begin with.
fn names(version: &str, tag: &Tag) -> bool {
    let tag = tag.as_str();
    version == tag || tag.strip_prefix('v') == Some(version)
}

fn us(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
