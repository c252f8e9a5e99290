//! The real program, against a real service in real processes: what it prints, what it leaves, how it exits.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it skips and what it counted"
)]

mod advise;
mod beside;
mod down;
mod failures;
mod help;
mod picture;
mod readme;
mod site;
mod story;
