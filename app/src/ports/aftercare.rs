//! Telling people: what is owed to whom, and what became of it.

use async_trait::async_trait;
use serde::Serialize;
use unship_core::aftercare::{Kind, Notice};
use unship_core::release::RunId;
use unship_core::time::Timestamp;

use super::CheckFailure;

/// Tells people what came of a rollback. It fails no rollback, and being asked twice it tells once.
#[async_trait]
pub trait Aftercare: Send + Sync {
    /// Makes sure that the notice is told, now or later; when this returns it is on the disk.
    async fn tell(&self, notice: &Notice) -> Result<(), CheckFailure>;

    /// Brings what is due, for so long at most, and says what became of each.
    async fn deliver(&self, _budget_ms: u64) -> Vec<Delivery> {
        Vec::new()
    }

    /// Everything that is or was to be brought, oldest first.
    fn list(&self) -> Result<Vec<Delivery>, CheckFailure> {
        Ok(Vec::new())
    }

    /// Makes a delivery due now, also one that was given up.
    fn retry(&self, id: &str) -> Result<Delivery, CheckFailure> {
        Err(no_such(id))
    }

    /// Gives a delivery up for good.
    fn drop_it(&self, id: &str, _why: &str) -> Result<Delivery, CheckFailure> {
        Err(no_such(id))
    }
}

/// There is no delivery of that name.
pub fn no_such(id: &str) -> CheckFailure {
    CheckFailure {
        message: format!("there is no delivery `{id}`"),
        hint: Some("`unship aftercare list` names them".into()),
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried when its time comes.
    Waiting,
    /// It was sent, and whether it arrived is not known. It is tried again as far as its receiver allows.
    InDoubt,
    /// It arrived.
    Delivered,
    /// Nothing is tried any more.
    GaveUp,
    /// Somebody said that it is not to be brought.
    Dropped,
}

impl DeliveryState {
    /// Whether somebody still waits for it.
    pub fn is_owed(self) -> bool {
        match self {
            DeliveryState::Waiting | DeliveryState::InDoubt | DeliveryState::GaveUp => true,
            DeliveryState::Delivered | DeliveryState::Dropped => false,
        }
    }

    /// The word for it.
    pub fn words(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::InDoubt => "in doubt",
            DeliveryState::Delivered => "delivered",
            DeliveryState::GaveUp => "given up",
            DeliveryState::Dropped => "dropped",
        }
    }
}

/// One notice to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Run, kind and courier: what makes it one.
    pub id: String,
    /// The run.
    pub run: RunId,
    /// What it is about.
    pub kind: Kind,
    /// The name of the courier.
    pub courier: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
    /// Why the last try did not succeed.
    pub error: Option<String>,
    /// Where it can be looked at.
    pub place: Option<String>,
    /// It was sent twice, because whether it had arrived was not known.
    pub repeated: bool,
}
