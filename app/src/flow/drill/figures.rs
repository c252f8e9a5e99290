//! Requests and failures by phase, with whose they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use unship_core::release::Tag;

use crate::load::attribution::{Attribution, Blame, Holding, InstanceLife, Unfit, Window};
use crate::load::summary::{Latency, latency};
use crate::load::{Recording, Sample};

/// When unship acted, on the load's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// From the deploy of the bad release until it was proved.
    pub deploy: Window,
    /// From the first action of the rollback, or of bringing the hotfix out, until the target was verified.
    pub rollback: Window,
    /// Since when the good release may have found a schema that it cannot run on; none where it runs on the bad
    /// release's, or where that is not known.
    pub unfit_us: Option<u64>,
    /// That the rollback held the service.
    pub holding: Option<Holding>,
}

/// The phases of a drill, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The good release serves.
    Before,
    /// The bad release is deployed.
    Deploy,
    /// The bad release serves, or tries to.
    Bad,
    /// It is taken back, or superseded by its hotfix.
    Rollback,
    /// What was wanted serves.
    After,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 5] = [Phase::Before, Phase::Deploy, Phase::Bad, Phase::Rollback, Phase::After];
}

impl Windows {
    /// The phase of a request: one that touches a window in which unship acted belongs to it.
    pub fn phase(&self, sample: &Sample) -> Phase {
        if self.rollback.touches(sample) {
            Phase::Rollback
        } else if self.deploy.touches(sample) {
            Phase::Deploy
        } else if sample.scheduled_us < self.deploy.from_us {
            Phase::Before
        } else if sample.scheduled_us < self.rollback.from_us {
            Phase::Bad
        } else {
            Phase::After
        }
    }

    /// When a phase begins and ends, microseconds; `end` is when the load ended.
    fn bounds(&self, phase: Phase, end: u64) -> (u64, u64) {
        match phase {
            Phase::Before => (0, self.deploy.from_us),
            Phase::Deploy => (self.deploy.from_us, self.deploy.until_us),
            Phase::Bad => (self.deploy.until_us, self.rollback.from_us),
            Phase::Rollback => (self.rollback.from_us, self.rollback.until_us),
            Phase::After => (self.rollback.until_us, end.max(self.rollback.until_us)),
        }
    }
}

/// Failures of one kind in one phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureGroup {
    /// The kind of request.
    pub request: String,
    /// What became of it, in words.
    pub outcome: String,
    /// Whose they are: where unship did not act, `unship` stands for nobody that is known.
    pub whose: Blame,
    /// On connections that had carried a request before.
    pub on_reused_connection: u64,
    /// How many.
    pub count: u64,
}

/// One phase in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhaseFigures {
    /// Which.
    pub phase: Phase,
    /// When it began, milliseconds since the load began.
    pub from_ms: u64,
    /// When it ended.
    pub until_ms: u64,
    /// Its requests.
    pub requests: u64,
    /// Those that failed and are not proved to be the bad release's doing.
    pub failed: u64,
    /// Those that the bad release is proved to have failed.
    pub failed_by_bad_release: u64,
    /// Those that were answered as said beforehand, while the service was held.
    pub held: u64,
    /// Latency of right answers, microseconds; none without any.
    pub latency: Option<Latency>,
    /// The failures, most frequent first.
    pub failures: Vec<FailureGroup>,
}

/// All phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// In order, every phase once.
    pub phases: Vec<PhaseFigures>,
}

impl Figures {
    /// Adds up a recording. `lives` are the processes of the unit that was loaded.
    pub fn of(
        recording: &Recording,
        lives: &[InstanceLife],
        (good, bad): (&Tag, &Tag),
        windows: Windows,
    ) -> Figures {
        let unfit = windows.unfit_us.map(|from_us| Unfit { release: good, from_us });
        let deploy = Attribution::new(recording, lives, bad, windows.deploy).while_unfit(unfit);
        // After the target is verified the bad release still answers what it had accepted.
        let to_the_end = Window { from_us: windows.rollback.from_us, until_us: u64::MAX };
        let rollback = Attribution::new(recording, lives, bad, to_the_end)
            .while_held(windows.holding)
            // Its last processes may finish their requests still when the way out begins.
            .while_unfit(unfit);
        let whose = |phase: Phase, sample: &Sample| {
            let blame = match phase {
                Phase::Before => None,
                Phase::Deploy => deploy.blame(sample),
                // Nobody but the bad release acts there.
                Phase::Bad => Some(Blame::BadRelease),
                Phase::Rollback | Phase::After => rollback.blame(sample),
            };
            blame.unwrap_or(Blame::Unship)
        };
        let end = recording.samples.iter().map(|sample| sample.scheduled_us).max().unwrap_or(0);
        let mut phases = Vec::new();
        for phase in Phase::ALL {
            let samples: Vec<&Sample> =
                recording.samples.iter().filter(|sample| windows.phase(sample) == phase).collect();
            let mut groups: BTreeMap<(u16, String, Blame), (u64, u64)> = BTreeMap::new();
            for sample in samples.iter().filter(|sample| recording.failed(sample)) {
                let key = (sample.request, sample.outcome.to_string(), whose(phase, sample));
                let (count, reused) = groups.entry(key).or_default();
                *count += 1;
                *reused += u64::from(sample.reused);
            }
            let mut failures: Vec<FailureGroup> = groups
                .into_iter()
                .map(|((request, outcome, whose), (count, on_reused_connection))| FailureGroup {
                    request: recording.request_name(request).to_owned(),
                    outcome,
                    whose,
                    on_reused_connection,
                    count,
                })
                .collect();
            failures.sort_by_key(|group| std::cmp::Reverse(group.count));
            let sum = |whose: Blame| {
                failures.iter().filter(|group| group.whose == whose).map(|group| group.count).sum()
            };
            let (from_us, until_us) = windows.bounds(phase, end);
            phases.push(PhaseFigures {
                phase,
                from_ms: from_us / 1_000,
                until_ms: until_us / 1_000,
                requests: samples.len() as u64,
                failed: sum(Blame::Unship),
                failed_by_bad_release: sum(Blame::BadRelease),
                held: sum(Blame::Held),
                latency: latency(recording, samples.iter().copied()),
                failures,
            });
        }
        Figures { phases }
    }

    /// One phase.
    pub fn phase(&self, phase: Phase) -> Option<&PhaseFigures> {
        self.phases.iter().find(|figures| figures.phase == phase)
    }
}

#[cfg(test)]
mod tests;
