//! The agent under a real systemd: every failure that was measured, and the orders that avoid them. Each test
//! runs inside a host of the testbed; without root they are skipped, loudly.

#[macro_use]
mod support;

mod boot;
mod flip;
mod hold;
mod limits;
mod plain;
