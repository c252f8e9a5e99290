//! PostgreSQL: the catalog reader.

pub mod catalog;
