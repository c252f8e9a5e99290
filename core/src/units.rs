//! Unit files as text: those that miss nothing for `overlap`, and what hand-written ones miss. Writes and reads
//! no file.

mod files;
mod missing;
mod text;

pub use files::{UnitAccount, UnitText, unit_files};
pub use missing::gaps_of_files;
pub use text::{Parsed, parse};

#[cfg(test)]
mod tests;
