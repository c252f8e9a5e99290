//! Lease and history. The ledger is append-only; the lease is the one row that changes.

mod blind;
mod journal;
mod local;
mod owner;

pub use blind::BlindLedger;
pub use journal::JournalFolder;
pub use local::LocalLedger;
