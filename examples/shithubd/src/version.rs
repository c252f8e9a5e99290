//! The one place that knows which release this is.

/// The tag that this source is released as. `Cargo.toml` holds the number.
pub const TAG: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// The value of the `Server` header.
pub const SERVER: &str = concat!("shithubd/v", env!("CARGO_PKG_VERSION"));
