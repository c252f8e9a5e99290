//! Lease and history. The ledger is append-only; the lease is the one row that changes.

mod journal;
mod local;

pub use journal::JournalFolder;
pub use local::LocalLedger;
