//! What is owed after a rollback: every courier, flags and CI against its real counterpart or its documented shape, killed between
//! send and record, and receivers that misbehave.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skips and what it counted"
)]

mod ci;
mod flagd;
mod forge;
mod github;
mod kill;
mod mail;
mod misbehave;
mod outbox;
mod parts;
mod receiver;
mod report;
mod servers;
#[path = "../cli/site.rs"]
#[allow(dead_code, reason = "the tests of the command line use the rest")]
mod site;
mod tls;
mod unleash;
