//! For how long nothing served.

use super::Event;
use crate::plan::Step;
use crate::time::Timestamp;

/// For how long a run kept the service from serving.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// When the first host was told to hold.
    pub from: Option<Timestamp>,
    /// When the last host served again.
    pub until: Option<Timestamp>,
}

impl Held {
    /// The time between the two in milliseconds, once the service serves again.
    pub fn ms(self) -> Option<u64> {
        Some(self.until?.since_ms(self.from?))
    }

    pub(super) fn add(&mut self, step: &Step, event: &Event, at: Timestamp) {
        match (step, event) {
            (Step::Hold { .. }, Event::Intent { .. }) => self.from = self.from.or(Some(at)),
            (Step::Flip { .. }, Event::Done { .. }) | (Step::Hold { .. }, Event::Undone { .. })
                if self.from.is_some() =>
            {
                self.until = Some(at);
            }
            _ => {}
        }
    }
}
