//! One delivery as it is kept.

use serde::{Deserialize, Serialize};
use unship_core::aftercare::{Notice, Suspects};
use unship_core::release::Digest;
use unship_core::time::Timestamp;

use crate::ports::{Delivery, DeliveryState};

/// A delivery with everything that a later command needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    /// Run, kind and courier.
    pub id: String,
    /// The courier's name.
    pub courier: String,
    /// What is told.
    pub notice: Notice,
    /// The commits that the bad release added, as they were listed for the first try.
    #[serde(default)]
    pub suspects: Option<Suspects>,
    /// How far it is.
    pub state: DeliveryState,
    /// A sending was begun, and what came of it is not written.
    pub sending: bool,
    /// It was sent twice, not knowing whether it had arrived.
    pub repeated: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// Why the last try did not succeed.
    pub error: Option<String>,
    /// Where it can be looked at.
    pub place: Option<String>,
}

impl Item {
    pub(super) fn new(notice: &Notice, courier: &str, now: Timestamp) -> Item {
        Item {
            id: format!("{}.{}.{courier}", notice.run, notice.kind.name()),
            courier: courier.to_owned(),
            notice: notice.clone(),
            suspects: None,
            state: DeliveryState::Waiting,
            sending: false,
            repeated: false,
            attempts: 0,
            next_at: Some(now),
            error: None,
            place: None,
        }
    }

    /// When it is to be tried; never for what has come to its end.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let open = matches!(self.state, DeliveryState::Waiting | DeliveryState::InDoubt);
        self.next_at.filter(|_| open)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    pub(super) fn delivered(&mut self, place: Option<String>) {
        self.state = DeliveryState::Delivered;
        self.sending = false;
        self.next_at = None;
        self.error = None;
        self.place = place;
    }

    /// A try that did not succeed; without a next time it is given up.
    pub(super) fn failed(&mut self, now: Timestamp, why: &str, next_at: Option<Timestamp>) {
        self.error = Some(crate::plain::plain(&unship_core::aftercare::mask(why)));
        self.next_at = next_at.map(|at| at.max(now));
        self.state = if next_at.is_some() { DeliveryState::Waiting } else { DeliveryState::GaveUp };
    }

    /// Somebody wants it tried again, from the beginning. What was sent and may have arrived stays in doubt.
    pub(super) fn again(&mut self, now: Timestamp) {
        if self.state != DeliveryState::Delivered {
            self.state = if self.sending { DeliveryState::InDoubt } else { DeliveryState::Waiting };
            self.attempts = 0;
            self.repeated = false;
            self.next_at = Some(now);
        }
    }

    pub(super) fn dropped(&mut self, why: &str) {
        if self.state != DeliveryState::Delivered {
            self.state = DeliveryState::Dropped;
            self.next_at = None;
            self.error = Some(crate::plain::plain(why));
        }
    }

    /// A number that is the same for the same try and otherwise spread.
    pub(super) fn spread(&self) -> u8 {
        let digest = Digest::of(format!("{} {}", self.id, self.attempts).as_bytes()).to_string();
        let hex: String = digest.chars().rev().take(2).collect();
        u8::from_str_radix(&hex, 16).unwrap_or(0)
    }

    pub(super) fn delivery(&self) -> Delivery {
        Delivery {
            id: self.id.clone(),
            run: self.notice.run.clone(),
            kind: self.notice.kind,
            courier: self.courier.clone(),
            state: self.state,
            attempts: self.attempts,
            next_at: self.due_at(),
            error: self.error.clone(),
            place: self.place.clone(),
            repeated: self.repeated,
        }
    }
}
