//! The ledger in memory: a lease on a clock of its own, append-only entries and marks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use unship::ports::{Ledger, LedgerError};
use unship_core::history::MarkEntry;
use unship_core::journal::{Entry, Event};
use unship_core::protocol::Holder;
use unship_core::release::RunId;

/// As long as the real one's.
pub const LEASE_MS: u64 = 30_000;

/// Everything that the ledger keeps.
#[derive(Debug, Clone, Default)]
pub struct LedgerState {
    lease: Option<(Holder, u64, u64)>,
    pub entries: BTreeMap<RunId, Vec<Entry>>,
    pub marks: Vec<MarkEntry>,
    /// The ledger's own clock.
    pub now_ms: u64,
    /// Processes that are known to be gone.
    pub gone: BTreeSet<u64>,
    /// It cannot be reached.
    pub is_down: bool,
}

/// The ledger as one process sees it.
#[derive(Debug, Clone)]
pub struct ModelLedger {
    pub state: Arc<Mutex<LedgerState>>,
    pub process: u64,
}

impl ModelLedger {
    fn lock(&self) -> Result<MutexGuard<'_, LedgerState>, LedgerError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_down {
            let why = "it cannot be reached".to_owned();
            return Err(LedgerError::Failed { place: "model".into(), why });
        }
        Ok(state)
    }
}

impl LedgerState {
    fn live(&self) -> Option<&Holder> {
        let (holder, process, expires) = self.lease.as_ref()?;
        (*expires > self.now_ms && !self.gone.contains(process)).then_some(holder)
    }
}

#[async_trait]
impl Ledger for ModelLedger {
    async fn acquire(&self, holder: &Holder) -> Result<(), LedgerError> {
        let mut state = self.lock()?;
        if let Some(other) = state.live() {
            return Err(LedgerError::Held { holder: Box::new(other.clone()) });
        }
        let expires = state.now_ms + LEASE_MS;
        state.lease = Some((holder.clone(), self.process, expires));
        Ok(())
    }

    async fn renew(&self, run: &RunId) -> Result<(), LedgerError> {
        let mut state = self.lock()?;
        let until = state.now_ms + LEASE_MS;
        match &mut state.lease {
            Some((holder, process, expires)) if holder.run == *run && *process == self.process => {
                *expires = until;
                Ok(())
            }
            _ => Err(LedgerError::Lost { run: run.clone() }),
        }
    }

    async fn release(&self, run: &RunId) -> Result<(), LedgerError> {
        let mut state = self.lock()?;
        let own = |(holder, process, _): &(Holder, u64, u64)| holder.run == *run && *process == self.process;
        if state.lease.as_ref().is_some_and(own) {
            state.lease = None;
        }
        Ok(())
    }

    async fn take(&self) -> Result<Option<Holder>, LedgerError> {
        let mut state = self.lock()?;
        let holder = state.live().cloned();
        state.lease = None;
        Ok(holder)
    }

    async fn verify(&self) -> Result<Vec<String>, LedgerError> {
        self.lock().map(|_| Vec::new())
    }

    async fn holder(&self) -> Result<Option<Holder>, LedgerError> {
        Ok(self.lock()?.live().cloned())
    }

    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), LedgerError> {
        let mut state = self.lock()?;
        for entry in entries {
            let known = state.entries.entry(run.clone()).or_default();
            if known.iter().any(|old| old.seq == entry.seq) {
                continue;
            }
            known.push(entry.clone());
            known.sort_by_key(|entry| entry.seq);
            if let Event::Marked { release, mark, why } = &entry.event {
                let (release, why, at) = (release.clone(), why.clone(), entry.at);
                state.marks.push(MarkEntry { release, mark: *mark, why, at, run: Some(run.clone()) });
            }
        }
        Ok(())
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.lock()?.entries.get(run).cloned().unwrap_or_default())
    }

    async fn runs(&self, count_max: u32) -> Result<Vec<RunId>, LedgerError> {
        let state = self.lock()?;
        Ok(state.entries.keys().rev().take(count_max as usize).cloned().collect())
    }

    async fn mark(&self, mark: &MarkEntry) -> Result<(), LedgerError> {
        self.lock()?.marks.push(mark.clone());
        Ok(())
    }

    async fn marks(&self) -> Result<Vec<MarkEntry>, LedgerError> {
        Ok(self.lock()?.marks.clone())
    }
}
