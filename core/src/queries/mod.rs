//! The queries that a release sends: read from the files that hold them, and what came of planning them.
//!
//! Owns the formats of query files and the outcome of planning a query. Plans nothing itself, and says nothing
//! about whether an outcome is good or bad: the verdict does.

mod csv;
mod placeholders;
mod read;

use serde::{Deserialize, Serialize};

pub use read::{PassedOver, QuerySet, is_query_file, read, statistics};

/// Most queries of one release that are looked at.
pub const QUERIES_MAX: usize = 20_000;

/// Longest text of one query, in bytes.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// Where a query comes from, as far as it matters for what its columns mean to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// sqlx's offline files. The program takes columns by their place, and more of them do it no harm.
    SqlxOffline,
    /// Files of SQL with `-- name:` lines, as sqlc and aiosql read them.
    Named,
    /// Files of plain SQL.
    File,
    /// `pg_stat_statements`: what the server saw, with constants taken out.
    Statistics,
}

impl Form {
    /// The words for a number of them.
    pub fn words(self) -> &'static str {
        match self {
            Form::SqlxOffline => "sqlx offline files",
            Form::Named => "named queries",
            Form::File => "SQL files",
            Form::Statistics => "pg_stat_statements",
        }
    }
}

/// One query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// How it is named to people: `queries/issue_insert.sql`, `query.sql: GetAuthor`.
    pub id: String,
    pub form: Form,
    /// One statement, with `$1`, `$2`, ... for its parameters.
    pub sql: String,
    /// Columns of its result that the program takes to hold no NULL, where that is written down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_null: Vec<String>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultColumn {
    pub name: String,
    /// As the database names it.
    pub of_type: String,
}

/// What planning a query came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Planned {
        /// The types of the parameters.
        parameters: Vec<String>,
        columns: Vec<ResultColumn>,
    },
    Failed {
        /// The database's own words.
        message: String,
        /// The database's code for it.
        code: Option<String>,
    },
    /// It touches no table: BEGIN, SET, LISTEN and their like.
    NoSchema,
    /// Statements of this kind cannot be planned.
    NotPlannable,
}

/// One query on the older schema and on the newer one.
#[derive(Debug, Clone)]
pub struct QueryRun {
    pub query: Query,
    pub before: Outcome,
    pub after: Outcome,
}

/// How a statement is to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// PREPARE takes it.
    Plannable,
    NoSchema,
    /// `COPY t ...`: its columns are planned as a SELECT.
    Copy,
    /// TRUNCATE and LOCK: run inside a transaction that is rolled back.
    Table,
    NotPlannable,
}

/// How the statement with this first word, in capitals, is to be tried.
pub fn sort_of(verb: &str) -> Sort {
    match verb {
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "VALUES" | "WITH" | "TABLE" | "REPLACE" => {
            Sort::Plannable
        }
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "SET" | "RESET"
        | "SHOW" | "LISTEN" | "UNLISTEN" | "NOTIFY" | "DISCARD" | "DEALLOCATE" | "ABORT" => Sort::NoSchema,
        "COPY" => Sort::Copy,
        "TRUNCATE" | "LOCK" => Sort::Table,
        _ => Sort::NotPlannable,
    }
}

#[cfg(test)]
mod tests;
