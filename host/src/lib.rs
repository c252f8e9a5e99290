//! What unship does on one host: releases on disk, the epoch, the child runner and the agent in front of
//! them. It runs as root on a server, so it is small: no SQL client, no HTTP client, no git, no shell.
//!
//! [`agent`] serves the requests of [`unship_core::protocol`]; [`epoch`] says whose requests are served;
//! [`serve`] puts it at the end of a pipe; [`hold`] answers for a host that is held; [`store`] keeps releases;
//! [`look`] reads what systemd units run, whoever put it there; [`systemd`] runs releases, and [`supervise`]
//! where there is no systemd.

pub mod agent;
pub mod epoch;
pub mod hold;
pub mod look;
pub mod serve;
pub mod store;
pub mod supervise;
pub mod systemd;

mod clock;
mod durable;
mod paths;

// The unit tests share a real host with the integration tests, which know this crate by its name.
#[cfg(test)]
extern crate self as unship_host;
