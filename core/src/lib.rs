//! core
pub mod release;
pub mod sql;
pub mod tools;
