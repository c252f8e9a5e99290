//! Reads SQL text: where a statement starts and ends, and what it does as far as text can tell.
//!
//! Owns the parser and lexer crates: no other module names their types. Reads PostgreSQL's dialect only;
//! what a migration does to a catalog is found out by running it, never here. Does no I/O.
//!
//! Limits, checked before any recursive code runs: [`PARSE_BYTES_MAX`], [`NESTING_MAX`], [`RUN_TOKENS_MAX`].
//! Cutting and word-level facts have no limit of their own and take time in proportion to the length; how long
//! a file may be is [`crate::tools::FILE_BYTES_MAX`].

mod dropped;
mod facts;
mod guard;
mod lex;
mod name;
mod query;
pub mod quote;
mod split;
mod using;

pub use dropped::{DroppedTables, dropped_tables, replace_dropped};
pub use facts::{
    Control, Dml, DmlKind, Escape, EscapeKind, Facts, Inserted, MetaFact, NoTransaction, ObjectAction,
    ObjectChange, Opaque, Place, Reading, SessionChange, StatementFacts, facts,
};
pub use guard::{NESTING_MAX, PARSE_BYTES_MAX, RUN_TOKENS_MAX, Refusal};
pub(crate) use lex::{Lexeme, LexemeKind, lexemes};
pub use name::ObjectName;
pub use query::{
    QueryFacts, QueryWrite, WriteKind, query_facts, takes_all_columns, takes_trigger_row, words_of,
};
pub use split::{Meta, MetaEffect, Open, Piece, Split, Statement, batches, is_blank, line_comments, split};
pub use using::computes_values;
