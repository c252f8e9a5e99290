//! The ledger of a run that acts on the hosts alone: it keeps nobody out and remembers nothing. What such a run
//! wrote into its journal is merged by the first command that reaches the real ledger.

use async_trait::async_trait;
use unship_core::history::MarkEntry;
use unship_core::journal::Entry;
use unship_core::protocol::Holder;
use unship_core::release::RunId;

use crate::ports::{Ledger, LedgerError};

/// No ledger.
#[derive(Debug, Clone, Copy)]
pub struct BlindLedger;

#[async_trait]
impl Ledger for BlindLedger {
    async fn acquire(&self, _holder: &Holder) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn renew(&self, _run: &RunId) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn release(&self, _run: &RunId) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn take(&self) -> Result<Option<Holder>, LedgerError> {
        Ok(None)
    }

    async fn holder(&self) -> Result<Option<Holder>, LedgerError> {
        Ok(None)
    }

    /// An error, so that the journal stays where the next command finds and merges it.
    async fn append(&self, _run: &RunId, _entries: &[Entry]) -> Result<(), LedgerError> {
        Err(LedgerError::NotAsked)
    }

    async fn entries(&self, _run: &RunId) -> Result<Vec<Entry>, LedgerError> {
        Ok(Vec::new())
    }

    async fn runs(&self, _count_max: u32) -> Result<Vec<RunId>, LedgerError> {
        Ok(Vec::new())
    }

    async fn mark(&self, _mark: &MarkEntry) -> Result<(), LedgerError> {
        Err(LedgerError::NotAsked)
    }

    async fn marks(&self) -> Result<Vec<MarkEntry>, LedgerError> {
        Ok(Vec::new())
    }

    async fn verify(&self) -> Result<Vec<String>, LedgerError> {
        Err(LedgerError::NotAsked)
    }
}
