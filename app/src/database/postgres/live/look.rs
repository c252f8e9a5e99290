//! What a database is, what its version table says, and whether anything can be changed there.

use sqlx::{PgConnection, Row as _};
use unship_core::sql::ObjectName;
use unship_core::tools::Tool;

use super::failure::failed;
use super::name::quoted;
use super::{home, rows};
use crate::ports::{DatabaseFailure, Live};

const SERVER: &str =
    "SELECT current_setting('server_version') AS version, current_database()::text AS database,
    pg_is_in_recovery() AS is_replica, current_setting('transaction_read_only') = 'on' AS is_read_only";

/// Looks.
pub async fn look(conn: &mut PgConnection, tool: Tool) -> Result<Live, DatabaseFailure> {
    let looked = async {
        let row = sqlx::query(SERVER).fetch_one(&mut *conn).await?;
        let (version, database): (String, String) = (row.try_get("version")?, row.try_get("database")?);
        let (is_replica, is_read_only): (bool, bool) =
            (row.try_get("is_replica")?, row.try_get("is_read_only")?);
        Ok::<_, sqlx::Error>((version, database, is_replica, is_read_only))
    };
    let (version, database, is_replica, is_read_only) =
        looked.await.map_err(|error| failed("looking at the database", &error))?;
    let table = rows::find(conn, tool).await?;
    let (applied, checksums) = match &table {
        Some(table) => rows::read(conn, tool, table).await?,
        None => rows::Said::default(),
    };
    let cannot_change = if is_replica {
        Some(
            "it is a read-only replica: the primary has to be named in the file of `database.url_file`"
                .to_owned(),
        )
    } else if is_read_only {
        Some(
            "its transactions are read-only (`default_transaction_read_only` of the role or the database)"
                .to_owned(),
        )
    } else {
        why_not(conn, table.as_slice()).await?
    };
    let version = version.split(' ').next().unwrap_or_default();
    Ok(Live {
        name: format!("PostgreSQL {version}, database {database}"),
        database,
        table,
        applied,
        checksums,
        cannot_change,
    })
}

/// Why this role cannot take steps on these relations, if so.
pub async fn why_not(
    conn: &mut PgConnection,
    relations: &[ObjectName],
) -> Result<Option<String>, DatabaseFailure> {
    for relation in relations {
        if let Some(why) = not_owned(conn, relation).await? {
            return Ok(Some(why));
        }
    }
    match home::is_made(conn).await {
        Ok(_) => Ok(None),
        Err(failure) => {
            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            Ok(Some(format!("{}{hint}", failure.message)))
        }
    }
}

/// Whose a relation is, if it is not this role's; nothing where it is not there.
pub async fn not_owned(
    conn: &mut PgConnection,
    relation: &ObjectName,
) -> Result<Option<String>, DatabaseFailure> {
    let other: Option<(String, String)> = sqlx::query_as(
        "SELECT pg_get_userbyid(relowner)::text, current_user::text FROM pg_class
        WHERE oid = to_regclass($1) AND NOT pg_has_role(relowner, 'USAGE')",
    )
    .bind(quoted(relation)?)
    .fetch_optional(conn)
    .await
    .map_err(|error| failed(format_args!("looking whose {relation} is"), &error))?;
    Ok(other.map(|(owner, role)| {
        format!("{relation} belongs to `{owner}`, and `{role}` may not act as that role: GRANT \"{owner}\" TO \"{role}\"")
    }))
}
