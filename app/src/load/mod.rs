//! Open-loop HTTP/1.1 load, and whose fault a failed request is.
//!
//! Owns: sending requests at a fixed rate whatever the answers do, on a thread and runtime of its own;
//! recording every one of them; and [`attribution`], the pure rule that says whose failure each is.
//!
//! Never: retries a request, follows a redirect, waits with a request because an earlier one is slow, or
//! forgets one. Latency counts from the time a request was due, so a stall of the service (or of this
//! program) shows in every request that it delayed.

pub mod attribution;
mod connection;
mod exchange;
mod generator;
mod mix;
pub mod plan;
mod pool;
mod recorder;
pub mod sample;
pub mod summary;

pub use generator::{Load, LoadError};
pub use mix::Variables;
pub use plan::LoadPlan;
pub use sample::{Outcome, Recording, Sample, TransportKind};
