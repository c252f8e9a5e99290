//! Steps down on real databases: what they take away, what is salvaged, what comes back, and what happens when they
//! are killed, cut off, raced or refused.
//!
//! Which PostgreSQL is `UNSHIP_PG_BIN`'s choice, as everywhere. `UNSHIP_PROVE_CASES` says how many cases the property
//! tests generate; 500 unless given.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::pedantic,
    reason = "a test says what it skips and what it counted, and tells its story in one piece"
)]

#[path = "../check/chance.rs"]
mod chance;
mod cut;
mod judged;
mod pieces;
mod proxy;
mod rebuilt;
mod salvage;
mod server;
mod since;
mod sqlite_fence;
mod sqlite_interop;
mod sqlite_kill;
mod sqlite_property;
mod sqlite_restore;
mod sqlite_step;
mod sqlite_trouble;
mod sqlite_world;
mod trouble;
mod way;
mod whole;
mod world;
mod zero_loss;
