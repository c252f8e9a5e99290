//! Hosts over a real sshd: one of this test's own, on loopback, with keys and folders that go away with it.
//!
//! Needs OpenSSH's server. Without it the tests skip loudly on a laptop and fail under CI=true.

#![allow(clippy::print_stderr, clippy::pedantic, reason = "a test says what it skips and what it measured")]

mod ansible;
mod fakes;
mod jump;
mod names;
mod placing;
mod privileges;
mod server;
mod trouble;
mod tunnel;
mod way;

/// One line for whoever runs the tests and wants figures.
fn say(text: &str) {
    eprintln!("{text}");
}
