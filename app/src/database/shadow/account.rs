//! A tool's own account of what is applied, written as the tool does.

use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};
use unship_core::down::{RowChange, Value, row_changes};
use unship_core::tools::{Migration, VersionTable, about};

/// Every statement with its values, in order. The SQL is the tool's; names in it are fixed words.
fn writes(table: &VersionTable, applied: &[Migration]) -> Vec<RowChange> {
    let named = |change: RowChange| RowChange { sql: change.sql.replace("{table}", table.name), ..change };
    applied.iter().flat_map(|migration| row_changes(table, table.up, migration, None)).map(named).collect()
}

pub(super) async fn on_postgres(conn: &mut PgConnection, applied: &[Migration]) -> Result<(), sqlx::Error> {
    let Some(table) = applied.first().and_then(|migration| about(migration.tool).table) else {
        return Ok(());
    };
    let create = table.create_postgres.replace("{table}", table.name);
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *conn).await?;
    for RowChange { sql, values } in writes(&table, applied) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

pub(super) async fn on_sqlite(conn: &mut SqliteConnection, applied: &[Migration]) -> Result<(), sqlx::Error> {
    let Some(table) = applied.first().and_then(|migration| about(migration.tool).table) else {
        return Ok(());
    };
    let create = table.create_sqlite.replace("{table}", table.name);
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *conn).await?;
    for RowChange { sql, values } in writes(&table, applied) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}
