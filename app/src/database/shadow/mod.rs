//! Throwaway databases on which migrations are run to see what they do.
//!
//! Owns their life: made here, limited, and gone afterwards, also after a `kill -9`. Never touches a database
//! that it did not make.

mod account;
pub mod postgres;
pub mod sqlite;

use std::time::Duration;

/// What a migration may use up before it is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall clock for one direction of one step.
    pub step_ms_max: u64,
    /// How much the data directory may grow during one direction of one step.
    pub disk_bytes_max: u64,
    /// Address space of one server process.
    pub memory_bytes_max: u64,
    /// Longest script that is run.
    pub script_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step_ms_max: 60_000,
            disk_bytes_max: 1 << 30,
            memory_bytes_max: 4 << 30,
            script_bytes_max: 32 << 20,
        }
    }
}

impl Limits {
    pub fn step_time(&self) -> Duration {
        Duration::from_millis(self.step_ms_max)
    }
}
