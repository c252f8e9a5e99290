//! The program on real hosts: systemd over OpenSSH, three of them, with real faults.
//!
//! One fleet is made for the test run by `testbed/fleet`. It needs root on Linux; elsewhere these tests say loudly that
//! they were skipped, and in CI they fail then.

mod additive;
mod crash;
mod faults;
mod forge;
mod hostile;
mod lives;
mod releases;
mod rollback;
mod runbook;
mod testbed;
mod units;
mod users;
mod world;
