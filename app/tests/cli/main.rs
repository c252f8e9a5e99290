//! The real program, against a real service in real processes: what it prints, what it leaves, how it exits.

mod failures;
mod help;
mod picture;
mod readme;
mod site;
mod story;
