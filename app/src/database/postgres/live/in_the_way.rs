//! Rows that are in the way of a step: what its constraints and types would not take.
//!
//! What is asked is read off two readings of a throwaway database, before and after the step. Expressions in it are
//! the server's own print of a constraint or an index; they are run in a read-only session.

mod asks;
mod printed;

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::schema::{Catalog, Kind, touched};
use unship_core::sql::ObjectName;

use super::failure::{failed, is_code};
use super::look;
use crate::ports::DatabaseFailure;
use asks::asks;

/// Nothing of what is asked is there under that name: the step makes it first. Undefined column, table, function,
/// object, schema.
const NOT_THERE: [&str; 5] = ["42703", "42P01", "42883", "42704", "3F000"];

/// A question about live rows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ask {
    /// Gives one number: the rows in the way.
    sql: String,
    /// Texts bound as `$1`, if the question has them.
    values: Option<Vec<String>>,
    /// What is the matter with them: `{}` stands for how many there are.
    words: String,
}

/// A sentence for each thing that is in the way.
pub async fn in_the_way(
    conn: &mut PgConnection,
    before: &Catalog,
    after: &Catalog,
) -> Result<Vec<String>, DatabaseFailure> {
    let mut found = Vec::new();
    for name in touched(before, after) {
        let has = [Kind::Table, Kind::View, Kind::MaterializedView]
            .iter()
            .any(|kind| before.get(*kind, &name).is_some());
        let relation = ObjectName { schema: Some(name.schema), name: name.object };
        if has && let Some(why) = look::not_owned(conn, &relation).await? {
            found.push(why);
        }
    }
    let read_only = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
    sqlx::raw_sql(read_only)
        .execute(&mut *conn)
        .await
        .map_err(|error| failed("the session's settings", &error))?;
    for Ask { sql, values, words } in asks(before, after)? {
        let mut query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql));
        if let Some(values) = values {
            query = query.bind(values);
        }
        match query.fetch_one(&mut *conn).await {
            Ok(0) => {}
            Ok(count) => found.push(words.replace("{}", &rows(count))),
            Err(error) if is_code(&error, &NOT_THERE) => {}
            Err(error) => return Err(failed("looking for rows in the way", &error)),
        }
    }
    Ok(found)
}

fn rows(count: i64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

#[cfg(test)]
mod tests;
