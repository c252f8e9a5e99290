//! The service from outside: the real binary, a real database, real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]
#![allow(clippy::needless_pass_by_value, clippy::format_push_string, reason = "for shorter tests")]

mod api;
mod auth;
mod drain;
mod flips;
mod http;
mod migrations;
mod service;
