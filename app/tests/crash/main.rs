//! What happens when a run is killed, raced, delayed, or finds a broken disk.
//!
//! `UNSHIP_PROVE=1` (set by `make prove-crash`) runs all of it; without it each suite takes a sample that
//! fits into an ordinary test run.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::pedantic,
    reason = "a test says what it skips and what it counted; a model follows what it models"
)]

mod agents;
mod chance;
mod conformance;
mod disk;
mod kill_model;
mod kill_real;
mod model;
mod overlap;
mod points;
mod races;
mod real;
mod scenario;
mod simulation;

/// Whether everything is to be tried and not only a sample.
fn thorough() -> bool {
    std::env::var_os("UNSHIP_PROVE").is_some()
}

/// One line for whoever runs the tests and wants figures.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Without a word from panics of this thread: they are expected, or told in another way.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = work();
    QUIET.set(false);
    result
}

/// Where a failure was: assertions do not know.
struct Where(pub String);

impl Drop for Where {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("killed at {}", self.0));
        }
    }
}
