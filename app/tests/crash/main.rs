//! What happens when a run is killed, raced, delayed, or finds a broken disk.
//!
//! `UNSHIP_PROVE=1` (set by `make prove-crash`) runs all of it; without it each suite takes a sample that
//! fits into an ordinary test run.

mod kill_model;
mod model;
mod points;
mod scenario;

/// Whether everything is to be tried and not only a sample.
fn thorough() -> bool {
    std::env::var_os("UNSHIP_PROVE").is_some()
}
