//! The exit statuses, which tell the truth: 0 only when what was asked for is so and was proved.
//!
//! `docs/exit-codes.md` is this table in prose; a test holds the two together.

/// What was asked for is so, and was proved.
pub const OK: u8 = 0;
/// It failed before anything was changed, or everything that was changed is back.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong; nothing was changed.
pub const USAGE: u8 = 2;
/// Refused: it might lose data or break the service, and the word that accepts this was not given.
pub const REFUSED: u8 = 3;
/// Half done: some hosts or steps failed; they are named with the command that goes on.
pub const PARTIAL: u8 = 4;
/// Another run has the environment; it is named.
pub const LOCKED: u8 = 5;
/// The release is in quarantine.
pub const QUARANTINED: u8 = 6;
/// The run was stopped as asked between two steps; `unship resume` goes on.
pub const PAUSED: u8 = 7;
/// `check`: the release cannot be taken back by rolling back its code alone.
pub const CANNOT: u8 = 10;
/// `check`: it is not known whether the release can be taken back.
pub const UNKNOWN: u8 = 11;

/// Every status with its name and meaning, in order; what the documentation must list.
pub const ALL: &[(u8, &str)] = &[
    (OK, "ok"),
    (FAILED, "failed"),
    (USAGE, "usage"),
    (REFUSED, "refused"),
    (PARTIAL, "partial"),
    (LOCKED, "locked"),
    (QUARANTINED, "quarantined"),
    (PAUSED, "paused"),
    (CANNOT, "cannot"),
    (UNKNOWN, "unknown"),
];
