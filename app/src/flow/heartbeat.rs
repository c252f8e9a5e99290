//! Keeps a run's lease alive while its steps take their time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use unship_core::release::RunId;

use crate::ports::{LedgerError, World};

/// How often a run prolongs its lease; well below the ledger's expiry.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Prolongs the lease until it is dropped.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
    lost: Arc<Mutex<Option<LedgerError>>>,
}

impl Heartbeat {
    pub(super) fn start(world: &World, run: &RunId) -> Heartbeat {
        let (ledger, run) = (Arc::clone(&world.ledger), run.clone());
        let lost = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&lost);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEW_EVERY).await;
                // A ledger that cannot be reached is not a lost lease: the hosts fence, and it may come back.
                if let Err(error @ LedgerError::Lost { .. }) = ledger.renew(&run).await {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return;
                }
            }
        });
        Heartbeat { task, lost }
    }

    /// Fails once another run has taken the lease over: the hosts would refuse this one anyway.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        match &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}
