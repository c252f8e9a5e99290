//! Rows whose foreign keys point nowhere.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::failure::failed;
use crate::ports::DatabaseFailure;

/// How many there are, by table and by the table that they should point into. None where SQLite cannot tell, because a
/// foreign key points to what is no key.
pub type Violations = Option<BTreeMap<(String, String), i64>>;

/// Counts those of a schema.
pub async fn count(conn: &mut SqliteConnection, schema: &str) -> Result<Violations, DatabaseFailure> {
    let sql = format!(
        "SELECT \"table\", \"parent\", count(*) FROM pragma_foreign_key_check WHERE schema = '{schema}' GROUP BY 1, 2"
    );
    let counted: Result<Vec<(String, String, i64)>, sqlx::Error> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(conn).await;
    match counted {
        Ok(rows) => {
            Ok(Some(rows.into_iter().map(|(table, parent, count)| ((table, parent), count)).collect()))
        }
        Err(error) if error.to_string().contains("foreign key mismatch") => Ok(None),
        Err(error) => Err(failed("checking foreign keys", &error)),
    }
}

/// What is worse than before, in words; none where nothing is.
pub fn worse(before: &Violations, after: &Violations) -> Option<String> {
    match (before, after) {
        (None, _) => None,
        (Some(_), None) => Some("a foreign key points to columns that are no key any more".to_owned()),
        (Some(before), Some(after)) => {
            let more = after.iter().find_map(|(place, count)| {
                let more = count - before.get(place).copied().unwrap_or(0);
                (more > 0).then_some((place, more))
            });
            more.map(|((table, parent), more)| {
                format!("{more} rows of `{table}` would point to rows of `{parent}` that are not there")
            })
        }
    }
}

/// Whether a table has any, as far as can be told.
pub fn has(all: &Violations, table: &str) -> bool {
    all.as_ref().is_none_or(|all| all.keys().any(|(of, _)| of.eq_ignore_ascii_case(table)))
}
