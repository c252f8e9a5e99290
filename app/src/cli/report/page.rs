//! What is on a page: the facts of a run, and when each of its steps was under way.

use std::collections::BTreeMap;

use unship_core::aftercare::Notice;
use unship_core::explain::Tone;
use unship_core::journal::{Entry, Event, State};
use unship_core::time::Timestamp;

use crate::ports::Delivery;

/// Everything that a page is made of.
pub(super) struct Page<'a> {
    pub(super) notice: &'a Notice,
    pub(super) state: &'a State,
    pub(super) entries: &'a [Entry],
    pub(super) deliveries: &'a [Delivery],
}

/// A step and when it was under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) title: String,
    /// From the start of the run, in milliseconds; none when it was never tried.
    pub(super) span: Option<(u64, u64)>,
    pub(super) tone: Tone,
    pub(super) state: &'static str,
}

impl Page<'_> {
    /// One lane a step, in the order of the plan.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        let start = self.notice.at;
        let mut begun: BTreeMap<usize, Timestamp> = BTreeMap::new();
        let mut ended: BTreeMap<usize, (Timestamp, Tone, &'static str)> = BTreeMap::new();
        for entry in self.entries {
            match &entry.event {
                Event::Intent { step, .. } | Event::UndoIntent { step, .. } => {
                    begun.entry(*step).or_insert(entry.at);
                }
                Event::Done { step, .. } => {
                    ended.insert(*step, (entry.at, Tone::Good, "done"));
                }
                Event::Failed { step, .. } => {
                    ended.insert(*step, (entry.at, Tone::Bad, "failed"));
                }
                Event::Undone { step } => {
                    ended.insert(*step, (entry.at, Tone::Warn, "undone"));
                }
                Event::UndoFailed { step, .. } => {
                    ended.insert(*step, (entry.at, Tone::Bad, "undo failed"));
                }
                _ => {}
            }
        }
        let lane = |(index, title): (usize, String)| match (begun.get(&index), ended.get(&index)) {
            (Some(from), Some((to, tone, state))) => {
                Lane { title, span: Some((from.since_ms(start), to.since_ms(start))), tone: *tone, state }
            }
            (Some(from), None) => {
                let from = from.since_ms(start);
                Lane { title, span: Some((from, self.notice.took_ms)), tone: Tone::Warn, state: "not known" }
            }
            (None, _) => Lane { title, span: None, tone: Tone::Plain, state: "not tried" },
        };
        self.state.plan.steps().map(unship_core::plan::Step::title).enumerate().map(lane).collect()
    }
}
