//! Reads SQL text: where a statement starts and ends, and what it does as far as text can tell.
//!
//! Owns the parser and lexer crates: no other module names their types. Reads PostgreSQL's dialect only;
//! what a migration does to a catalog is found out by running it, never here. Does no I/O.
//!
//! Limits, all of them checked before any recursive code runs:
//! - [`TEXT_BYTES_MAX`] for anything that is split;

mod lex;
mod split;

pub use split::{Meta, MetaEffect, Open, Piece, Split, Statement, batches, is_blank, line_comments, split};

/// Longest text that is looked at, in bytes. A longer one is refused by whoever reads the file.
pub const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
