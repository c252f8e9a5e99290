//! `check` on a real PostgreSQL: the fixtures, hostile SQL, the life of the throwaway server, the command line.
//!
//! Which PostgreSQL is `UNSHIP_PG_BIN`'s choice, as everywhere; `make test-pg-matrix` runs this over several.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skips and what it counted"
)]

mod chance;
mod classes;
mod command;
mod hostile;
mod life;
mod live;
mod pairs;
mod property;
mod queries;
mod reading;
mod world;
