//! The `unship` command.

use std::process::ExitCode;

use unship_host::hold::{HOLD_VERB, answer_on_hold};
use unship_host::supervise::{SHIM_VERB, exec_shim};

fn main() -> ExitCode {
    // Before anything else: the time until the exec is on the path of every flip.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == SHIM_VERB) {
        return unship::cli::shim_failed(&exec_shim(std::env::args_os()));
    }
    if std::env::args_os().nth(1).is_some_and(|verb| verb == HOLD_VERB) {
        return unship::cli::hold_ended(answer_on_hold(std::env::args_os()));
    }
    unship::cli::main()
}
