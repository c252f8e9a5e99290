//! SQLite: reading its schema, telling what a statement may touch before it runs, and a service's own database.
//!
//! Owns every word that is said to SQLite about its own schema. Knows nothing of migrations' meaning. SQLite's
//! dialect is not PostgreSQL's, so its statements are cut here, by a small scanner after SQLite's own.

pub mod guard;
pub mod live;
pub mod live_schema;
pub mod schema;
pub mod tokens;

#[cfg(test)]
mod tests;
