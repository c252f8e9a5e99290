//! Databases: reading what their catalog says, and running SQL in throwaway ones.
//!
//! Owns every word of SQL that is sent to PostgreSQL by the verdict. Knows nothing of migrations' meaning, of
//! flows or of the command line.

pub mod postgres;
pub mod shadow;
pub mod sqlite;
