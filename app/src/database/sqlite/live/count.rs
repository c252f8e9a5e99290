//! Counts what would be destroyed, where a loss is known beforehand by its name.

use sqlx::{AssertSqlSafe, SqliteConnection};
use unship_core::down::{Loss, LossKind};
use unship_core::sql::quote::sqlite_identifier;

use super::compare::is_plain;
use super::failure::failed;
use super::name;
use crate::ports::DatabaseFailure;

/// Counts each. No row of SQLite tells when it was written.
pub async fn count(conn: &mut SqliteConnection, kinds: &[LossKind]) -> Result<Vec<Loss>, DatabaseFailure> {
    let mut losses = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let (affected, bytes) = match kind {
            LossKind::Table { .. } | LossKind::Rows { .. } => ("TRUE".to_owned(), None),
            LossKind::Column { column, default, .. } => {
                let column = sqlite_identifier(column)?;
                let written = match default.as_deref().filter(|default| is_plain(default)) {
                    Some(default) => {
                        format!("{column} IS NOT NULL AND {column} COLLATE BINARY IS NOT ({default})")
                    }
                    None => format!("{column} IS NOT NULL"),
                };
                (written, Some(column))
            }
            LossKind::Rewritten { column, .. } => {
                let column = sqlite_identifier(column)?;
                (format!("{column} IS NOT NULL"), Some(column))
            }
            // SQLite has none.
            LossKind::Sequence { .. } => {
                losses.push(Loss { kind: kind.clone(), rows: 0, affected: 0, bytes: 0, since_deploy: None });
                continue;
            }
        };
        let table = name::main(&kind.table().name)?;
        let bytes = match bytes {
            Some(column) => format!("(SELECT sum(octet_length({column})) FROM {table})"),
            None => "(SELECT sum(pgsize) FROM dbstat WHERE schema = 'main' AND name = ?)".to_owned(),
        };
        let sql =
            format!("SELECT count(*), count(*) FILTER (WHERE {affected}), coalesce({bytes}, 0) FROM {table}");
        let (rows, affected, bytes): (i64, i64, i64) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(&kind.table().name)
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| failed(format_args!("counting in `{}`", kind.table()), &error))?;
        let number = |of: i64| u64::try_from(of).unwrap_or(0);
        losses.push(Loss {
            kind: kind.clone(),
            rows: number(rows),
            affected: number(affected),
            bytes: number(bytes),
            since_deploy: None,
        });
    }
    Ok(losses)
}
