//! SQLite: reading its schema, and telling what a statement may touch before it runs.
//!
//! Owns every word that is said to SQLite about its own schema. Knows nothing of migrations' meaning. SQLite's
//! dialect is not PostgreSQL's, so its statements are cut here, by a small scanner after SQLite's own.

pub mod guard;
pub mod schema;
pub mod tokens;

#[cfg(test)]
mod tests;
